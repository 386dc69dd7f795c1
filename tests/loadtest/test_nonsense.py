from __future__ import annotations

from pathlib import Path
from random import Random

import msgspec

from loadtest import verdict
from loadtest.nonsense import all_nonsense, make_nonsense
from tests.api.wired import wired
from tests.house import PING, open_house

ORDERS = [{"id": "a", "buyer": "a-co"}]
MANNERS = {"a-co": {"bid": {"price": 30}}}


async def test_a_house_refuses_every_kind_as_the_sellers_fault(
    tmp_path: Path, emptied_valkey: str, sqlite_ledger: str
) -> None:
    async with (
        open_house(tmp_path, emptied_valkey, sqlite_ledger, ORDERS, MANNERS) as house,
        wired(house.url) as line,
    ):
        fine = await line.send("/ping", msgspec.json.encode(PING))
        assert fine.status == 200
        for nonsense in all_nonsense(PING):
            got = await line.send("/ping", nonsense.body)
            body = msgspec.json.encode(got.json)
            answer = verdict.Answer(got.status, got.headers["content-type"], body)
            assert verdict.of_nonsense(answer) is None, nonsense.what


def test_every_kind_is_made() -> None:
    rng = Random(7)
    assert {make_nonsense(PING, rng).what for _ in range(500)} == {one.what for one in all_nonsense(PING)}
