"""Sellers, for Locust:  locust -f loadtest/locustfile.py --host http://127.0.0.1:8080

Each user is a seller with leads of one campaign after the other: pings one, thinks, posts some of what it was
offered. Some repeat themselves, are late, or talk nonsense. What is asked of the answers stands in
`verdict`, how many sellers there are and when in `shapes`. All of `Habits` is a flag of Locust's (`--post 0.9`), a
field of its web page, and a variable (`LOADTEST_POST=0.9`).

With `--processes N` each process pings as a sub-source of its own (`sub_id`): two random leads may say the same in
their pings, and are one ping to the exchange unless these differ.
"""

from __future__ import annotations

import itertools
import time
from collections import deque
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from random import Random
from typing import Any

import gevent
import msgspec
from locust import FastHttpUser, LoadTestShape, events, stats, task
from locust.argument_parser import LocustArgumentParser
from locust.env import Environment
from locust.runners import WorkerRunner

from auction.catalogue.reading import read_catalogue
from auction.catalogue.yaml_source import Source
from auction.market.model import Campaign
from loadtest import verdict
from loadtest.leads import LeadMaker
from loadtest.nonsense import make_nonsense
from loadtest.rows import (
    OWN,
    PING,
    PING_NONSENSE,
    PING_REPEAT,
    POST,
    POST_LATE,
    POST_REPEAT,
    Counted,
    Fault,
    Results,
    named,
)
from loadtest.shapes import KINDS, TIMES, USERS, Shape, make_shape
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
    "shape": "",
    "seconds": "",
    "times": str(TIMES),
    "results": "",
}
MOST_LATE = 50
MOST_SEEN = 100_000
NO_ANSWER_WITHIN_S = 20.0


def _add_arguments(parser: LocustArgumentParser) -> None:
    helps = {
        "seller_key": "Key that the sellers ping with",
        "campaign": "Id of the one campaign to ping; all of the catalogue's if empty",
        "catalogue": "Catalogue file to read the campaigns' fields from",
        "lead_seed": "The same seed makes the same leads",
        "shape": f"One of {', '.join(KINDS)}; as many users as Locust is told if empty",
        "seconds": "How long the shape takes; its usual time if empty",
        "times": "How many times the users a spike has in its burst",
        "results": "File to write what was counted to, as JSON",
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


class _Run:
    """The run in this process: its shape, and when it began."""

    shape: Shape | None = None
    started_s = 0.0

    def named(self, name: str) -> str:
        """What `name` is counted under just now."""
        return named(name, self.shape.at(time.monotonic() - self.started_s)) if self.shape else name


_run = _Run()


class ShapedLoad(LoadTestShape):
    """A shape, for Locust: `abstract` to it, since which one it is stands in the options."""

    abstract = True

    def __init__(self, shape: Shape) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._shape = shape

    def tick(self) -> tuple[int, float] | None:
        """Asked once a second: how many users there are to be, all of them at once; None ends the run."""
        phase = self._shape.at(self.get_run_time())  # type: ignore[no-untyped-call]
        return (phase.users, float(self._shape.most_users)) if phase else None


@events.init.add_listener  # type: ignore[untyped-decorator]
def _on_init(environment: Environment, **_: object) -> None:
    options = environment.parsed_options
    assert options is not None, "Locust parsed its command line"
    if options.shape:
        if options.shape not in KINDS:
            raise SystemExit(f"no shape {options.shape!r}; known: {', '.join(KINDS)}")
        seconds = float(options.seconds) if options.seconds else None
        _run.shape = make_shape(options.shape, options.num_users or USERS, seconds, int(options.times))
        environment.shape_class = ShapedLoad(_run.shape)
    stats.bucket_response_time = _rounded  # type: ignore[assignment]


@events.test_start.add_listener  # type: ignore[untyped-decorator]
def _on_start(**_: object) -> None:
    _run.started_s = time.monotonic()


@events.quitting.add_listener  # type: ignore[untyped-decorator]
def _on_quitting(environment: Environment, **_: object) -> None:
    options, runner = environment.parsed_options, environment.runner
    if options is None or not options.results or runner is None or isinstance(runner, WorkerRunner):
        return
    counted = msgspec.convert(runner.stats.serialize_stats(), list[Counted])
    faults = [_fault(one.name, one.error, one.occurrences) for one in runner.stats.errors.values()]
    broken = [f"{one['msg']}\n{one['traceback']}" for one in runner.exceptions.values()]
    Path(options.results).write_bytes(msgspec.json.encode(Results(counted, faults, broken)))


def _rounded(time_ms: float) -> float:
    """Two digits, where Locust keeps whole milliseconds: our own time of a ping is below one."""
    return float(f"{time_ms:.2g}")


def _fault(name: str, error: object, times: int) -> Fault:
    """Another process of Locust's tells its errors as `CatchResponseError('why')`."""
    why = stats.StatsError.parse_error(error)  # type: ignore[arg-type]
    return Fault(name, why.removeprefix("CatchResponseError(").removesuffix(")").strip("'\""), times)


class SellerUser(FastHttpUser):
    """One seller's process."""

    connection_timeout = NO_ANSWER_WITHIN_S
    network_timeout = NO_ANSWER_WITHIN_S

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        options = environment.parsed_options
        assert options is not None, "Locust parsed its command line"
        place = getattr(environment.runner, "worker_index", 0)
        self._rng = Random(f"{options.lead_seed}:{place}:{next(_numbers)}")
        self._habits = Habits(**{name: getattr(options, name) for name in Habits.__struct_fields__})
        self._makers = _makers(Path(options.catalogue), options.campaign, self._rng)
        self._headers = {"authorization": f"Bearer {options.seller_key}", "content-type": "application/json"}
        self._sub_id = f"locust-{place}"
        self._late: deque[_Late] = deque(maxlen=MOST_LATE)

    def wait_time(self) -> float:
        """Seconds until the next lead."""
        return self._rng.expovariate(1000 / self._habits.think_ms) if self._habits.think_ms else 0.0

    @task
    def sell(self) -> None:
        """One lead's way, or one piece of nonsense."""
        rng, habits = self._rng, self._habits
        campaign, maker = rng.choice(self._makers)
        ping = {"campaign": campaign, "lead": maker.ping_fields(), "sub_id": self._sub_id}
        if rng.random() < habits.nonsense:
            body = make_nonsense(ping, rng).body
            self._send("/ping", body, PING_NONSENSE, verdict.of_nonsense)
            return
        offer = self._send("/ping", ping, PING, verdict.of_ping).said
        if offer.get("status") != "offer" or not _seen.is_new(offer["ping_id"]):
            return
        if rng.random() < habits.repeat_ping:
            self._send("/ping", ping, PING_REPEAT, partial(verdict.of_repeated_ping, first=offer))
        self._decide(offer, {"ping_id": offer["ping_id"], "lead": maker.post_fields()})

    def _decide(self, offer: dict[str, Any], post: dict[str, Any]) -> None:
        rng, habits = self._rng, self._habits
        if self._late and self._late[0].due_s < time.monotonic():
            self._send("/post", self._late.popleft().body, POST_LATE, verdict.of_late_post)
        if rng.random() < habits.late_post:
            self._late.append(_Late(time.monotonic() + offer["expires_in"] + 2, post))
        elif rng.random() < habits.post:
            self._think()
            answer = self._send("/post", post, POST, verdict.of_post)
            if answer.status == 200 and rng.random() < habits.repeat_post:
                again = partial(verdict.of_repeated_post, first=answer.said)
                self._send("/post", post, POST_REPEAT, again)

    def _think(self) -> None:
        gevent.sleep(self.wait_time())

    def _send(
        self, path: str, body: bytes | dict[str, Any], name: str, judge: Callable[[Answer], str | None]
    ) -> Answer:
        # typed as text, takes bytes
        data: Any = body if isinstance(body, bytes) else msgspec.json.encode(body)
        counted, own = _run.named(name), _run.named(OWN)
        with self.client.post(
            path, data=data, headers=self._headers, name=counted, catch_response=True
        ) as got:
            headers = got.headers or {}
            answer = Answer(got.status_code, headers.get("content-type") or "", got.content or b"")
            fault = judge(answer)
            if fault is None:
                got.success()
            else:
                got.failure(f"{fault}: {got.error}" if answer.status == 0 else fault)
            own_ms = verdict.own_ms(headers.get("server-timing") or "") if name == PING else None
        if own_ms is not None:  # logged past Locust's totals, which are of requests
            self.environment.stats.get(own, "").log(own_ms, 0)
        return answer


@cache
def _campaigns(catalogue: Path) -> tuple[Campaign, ...]:
    return read_catalogue([Source(str(catalogue), catalogue.read_text(encoding="utf-8"))]).campaigns


def _makers(catalogue: Path, only: str, rng: Random) -> list[tuple[str, LeadMaker]]:
    campaigns = _campaigns(catalogue)
    makers = [(one.id, LeadMaker(one.fields, rng)) for one in campaigns if only in ("", one.id)]
    if not makers:
        raise SystemExit(
            f"no campaign {only!r} in {catalogue}; known: {', '.join(one.id for one in campaigns)}"
        )
    return makers
