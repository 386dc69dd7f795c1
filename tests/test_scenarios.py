"""Auctions as documents: each file in `scenarios/` is a catalogue, what each buyer answers, and what must come out.

A file holds a list of scenarios, each run in a whole house (real sockets, real stores):

- `what`: the sentence that is tested.
- `auction`, `seller`, `fields`: what differs from the plainest campaign and seller.
- `orders`: a buyer of its own each (`<id>-co`) unless it names one.
- `sections`: other sections of the catalogue, such as `teams`.
- `buyers`: how the mock plays them (`{bid: {price: 30}}`), or a number: what they bid. `terms`: their catalogue entry.
- `steps`: `ping` (changes to the plain ping) with `offer` (must be in the answer) and `why` (order → reason), then
  `post` with `sale`; `wait_s` moves the clock; `sent` counts what each buyer was posted. `status` if not 200.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest
import yaml

from auction.ledger.engine import open_engine, transaction
from tests.house import PERSON, PING, SELLER, House, open_house

FOLDER = Path(__file__).parent / "scenarios"
SCENARIOS = [
    pytest.param(scenario, id=f"{path.stem}: {scenario['what']}")
    for path in sorted(FOLDER.glob("*.yaml"))
    for scenario in yaml.safe_load(path.read_text(encoding="utf-8"))
]


@pytest.mark.parametrize("scenario", SCENARIOS)
async def test_scenario(
    scenario: dict[str, Any], tmp_path: Path, emptied_valkey: str, sqlite_ledger: str
) -> None:
    async with _house(scenario, tmp_path, emptied_valkey, sqlite_ledger) as house:
        played = _Played(house, sqlite_ledger)
        for step in scenario["steps"]:
            await played.step(step)


def _house(
    scenario: dict[str, Any], folder: Path, redis_url: str, ledger_url: str
) -> AbstractAsyncContextManager[House]:
    orders = [{"buyer": f"{order['id']}-co", **order} for order in scenario["orders"]]
    manners = {
        buyer: {"bid": {"price": manner}} if isinstance(manner, int | float) else manner
        for buyer, manner in scenario.get("buyers", {}).items()
    }
    return open_house(
        folder,
        redis_url,
        ledger_url,
        orders,
        manners,
        campaign=scenario.get("campaign"),
        auction=scenario.get("auction"),
        buyers=scenario.get("terms"),
        sections=scenario.get("sections"),
        sellers=[{**SELLER, **scenario.get("seller", {})}],
    )


class _Played:
    """One scenario on its way: the last ping's id is the one that is posted."""

    def __init__(self, house: House, ledger_url: str) -> None:
        self._house = house
        self._ledger_url = ledger_url
        self._ping_ids: list[str] = []

    async def step(self, step: Mapping[str, Any]) -> None:
        kinds: dict[str, Callable[[Mapping[str, Any]], Any]] = {
            "ping": self._ping,
            "post": self._post,
            "direct": self._direct,
            "wait_s": self._wait,
            "manner": self._manner,
            "sent": self._sent,
        }
        (kind,) = [kind for kind in kinds if kind in step]
        await kinds[kind](step)

    async def _ping(self, step: Mapping[str, Any]) -> None:
        ping = {**PING, **step["ping"]}
        ping["lead"] = {**PING["lead"], **step["ping"].get("lead", {})}
        status, answer = await self._house.post("/ping", ping)
        assert status == step.get("status", 200), answer
        if "ping_id" in answer:
            self._ping_ids.append(answer["ping_id"])
        _holds(answer, step.get("offer", {}))
        if step.get("repeat"):
            assert self._ping_ids[-1] == self._ping_ids[-2], "the same offer again"
        if "why" in step:
            assert await self._why(answer["ping_id"]) == step["why"]

    async def _post(self, step: Mapping[str, Any]) -> None:
        body = {"ping_id": self._ping_ids[step.get("of", -1)], "lead": {**PERSON, **step["post"]}}
        status, answer = await self._house.post("/post", body)
        assert status == step.get("status", 200), answer
        _holds(answer, step.get("sale", {}))

    async def _direct(self, step: Mapping[str, Any]) -> None:
        lead = {**PING["lead"], **PERSON, **step["direct"].get("lead", {})}
        status, answer = await self._house.post("/direct", {**PING, **step["direct"], "lead": lead})
        assert status == step.get("status", 200), answer
        _holds(answer, step.get("sale", {}))

    async def _wait(self, step: Mapping[str, Any]) -> None:
        self._house.clock.move(int(step["wait_s"] * 1000))

    async def _manner(self, step: Mapping[str, Any]) -> None:
        for buyer, manner in step["manner"].items():
            await self._house.change_manner(buyer, manner)

    async def _sent(self, step: Mapping[str, Any]) -> None:
        for buyer, count in step["sent"].items():
            assert len(await self._house.seen(buyer, "post")) == count, buyer

    async def _why(self, ping_id: str) -> dict[str, str]:
        from auction.cli.explain import explained

        await self._house.exchange.writer.flush()
        engine = open_engine(self._ledger_url)
        try:
            with transaction(engine) as conn:
                return {one.order_id: one.reason.value for one in explained(conn, ping_id)[1]}
        finally:
            engine.dispose()


def _holds(answer: Any, expected: Any, at: str = "answer") -> None:
    """Everything expected is in the answer; what is not spoken of may be anything."""
    if isinstance(expected, dict):
        for key, value in expected.items():
            assert key in answer, f"{at}.{key} is missing in {answer}"
            _holds(answer[key], value, f"{at}.{key}")
    elif isinstance(expected, list):
        assert len(answer) == len(expected), f"{at}: {answer}"
        for number, (one, value) in enumerate(zip(answer, expected, strict=True)):
            _holds(one, value, f"{at}[{number}]")
    else:
        assert answer == expected, f"{at}: {answer!r}, expected {expected!r}"
