"""Sellers, for Locust:  locust -f loadtest/locustfile.py --host http://127.0.0.1:8080

Each user is a seller with leads of one campaign after the other: pings one, thinks, posts some of what it was
offered. Some repeat themselves, are late, or talk nonsense. What is asked of the answers stands in
`verdict`. All of `Habits` is a flag of Locust's (`--post 0.9`), a field of its web page, and a variable
(`LOADTEST_POST=0.9`).
"""

from __future__ import annotations

import itertools
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import gevent
import msgspec
from locust import FastHttpUser, events, task
from locust.argument_parser import LocustArgumentParser
from locust.env import Environment

from auction.catalogue.reading import read_catalogue
from auction.catalogue.yaml_source import Source
from loadtest import verdict
from loadtest.leads import LeadMaker
from loadtest.nonsense import make_nonsense
from loadtest.verdict import Answer


class Habits(msgspec.Struct, frozen=True):
    """How sellers behave; shares are of their leads, or of the offers they got."""

    post: float = 0.7
    repeat_ping: float = 0.05
    repeat_post: float = 0.05
    late_post: float = 0.02
    nonsense: float = 0.05
    think_ms: float = 300.0
    """On average, between an offer and its post, and between two leads."""


DEFAULTS: dict[str, str] = {
    "seller_key": "demo-acme-key",
    "campaign": "",
    "catalogue": "config/demo.yaml",
    "lead_seed": "7",
}
MOST_LATE = 50
MOST_SEEN = 100_000


def _add_arguments(parser: LocustArgumentParser) -> None:
    helps = {
        "seller_key": "Key that the sellers ping with",
        "campaign": "Id of the one campaign to ping; all of the catalogue's if empty",
        "catalogue": "Catalogue file to read the campaigns' fields from",
        "lead_seed": "The same seed makes the same leads",
    }
    for name, default in DEFAULTS.items():
        parser.add_argument(_flag(name), env_var=_variable(name), default=default, help=helps[name])
    for habit in msgspec.structs.fields(Habits):
        parser.add_argument(
            _flag(habit.name),
            env_var=_variable(habit.name),
            type=float,
            default=habit.default,
            help="Habit of the sellers",
        )


events.init_command_line_parser.add_listener(_add_arguments)  # type: ignore[no-untyped-call]


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def _variable(name: str) -> str:
    return "LOADTEST_" + name.upper()


class _Late(msgspec.Struct, frozen=True):
    """A post that waits for its offer to expire."""

    due_s: float
    body: dict[str, Any]


class _Seen:
    """Ping ids that were offered to any user here. Two random leads may say the same in their pings: then
    they are one ping to the exchange, and only one of them can be posted."""

    def __init__(self) -> None:
        self._ids: dict[str, None] = {}

    def is_new(self, ping_id: str) -> bool:
        if ping_id in self._ids:
            return False
        self._ids[ping_id] = None
        if len(self._ids) > MOST_SEEN:
            del self._ids[next(iter(self._ids))]
        return True


_seen = _Seen()
_numbers = itertools.count()


class SellerUser(FastHttpUser):
    """One seller's process."""

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        options = environment.parsed_options
        assert options is not None, "Locust parsed its command line"
        self._rng = Random(f"{options.lead_seed}:{next(_numbers)}")
        self._habits = Habits(**{name: getattr(options, name) for name in Habits.__struct_fields__})
        self._makers = _makers(Path(options.catalogue), options.campaign, self._rng)
        self._headers = {"authorization": f"Bearer {options.seller_key}", "content-type": "application/json"}
        self._late: deque[_Late] = deque(maxlen=MOST_LATE)

    def wait_time(self) -> float:
        """Seconds until the next lead."""
        return self._rng.expovariate(1000 / self._habits.think_ms) if self._habits.think_ms else 0.0

    @task
    def sell(self) -> None:
        """One lead's way, or one piece of nonsense."""
        rng, habits = self._rng, self._habits
        campaign, maker = rng.choice(self._makers)
        ping = {"campaign": campaign, "lead": maker.ping_fields()}
        if rng.random() < habits.nonsense:
            body = make_nonsense(ping, rng).body
            self._send("/ping", body, "POST /ping (nonsense)", verdict.of_nonsense)
            return
        offer = self._send("/ping", ping, "POST /ping", verdict.of_ping).said
        if offer.get("status") != "offer" or not _seen.is_new(offer["ping_id"]):
            return
        if rng.random() < habits.repeat_ping:
            self._send("/ping", ping, "POST /ping (repeat)", partial(verdict.of_repeated_ping, first=offer))
        self._decide(offer, {"ping_id": offer["ping_id"], "lead": maker.post_fields()})

    def _decide(self, offer: dict[str, Any], post: dict[str, Any]) -> None:
        rng, habits = self._rng, self._habits
        if self._late and self._late[0].due_s < time.monotonic():
            self._send("/post", self._late.popleft().body, "POST /post (late)", verdict.of_late_post)
        if rng.random() < habits.late_post:
            self._late.append(_Late(time.monotonic() + offer["expires_in"] + 2, post))
        elif rng.random() < habits.post:
            self._think()
            answer = self._send("/post", post, "POST /post", verdict.of_post)
            if answer.status == 200 and rng.random() < habits.repeat_post:
                again = partial(verdict.of_repeated_post, first=answer.said)
                self._send("/post", post, "POST /post (repeat)", again)

    def _think(self) -> None:
        gevent.sleep(self.wait_time())

    def _send(
        self, path: str, body: bytes | dict[str, Any], name: str, judge: Callable[[Answer], str | None]
    ) -> Answer:
        data: Any = (
            body if isinstance(body, bytes) else msgspec.json.encode(body)
        )  # typed as text, takes bytes
        with self.client.post(path, data=data, headers=self._headers, name=name, catch_response=True) as got:
            content_type = (got.headers or {}).get("content-type") or ""
            answer = Answer(got.status_code, content_type, got.content or b"")
            fault = judge(answer)
            if fault is None:
                got.success()
            else:
                got.failure(f"{fault}: {got.error}" if answer.status == 0 else fault)
        return answer


def _makers(catalogue: Path, only: str, rng: Random) -> list[tuple[str, LeadMaker]]:
    campaigns = read_catalogue([Source(str(catalogue), catalogue.read_text(encoding="utf-8"))]).campaigns
    makers = [(one.id, LeadMaker(one.fields, rng)) for one in campaigns if only in ("", one.id)]
    if not makers:
        raise SystemExit(
            f"no campaign {only!r} in {catalogue}; known: {', '.join(one.id for one in campaigns)}"
        )
    return makers
