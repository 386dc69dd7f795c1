"""The ledger and the counters tell the same window for the same sale: else a cap that was met would look broken, and
counters rebuilt from the ledger would not be those that were lost (P2, P10)."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select

from auction.ledger.schema import sales

HOUR_MS = 3_600_000


async def test_a_sale_is_written_with_the_instant_at_which_its_place_was_kept(
    open_test_house: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The hour ends while the place is being kept."""
    house = await open_test_house([{"id": "a", "buyer": "ann", "caps": [{"leads": 1, "per": "hour"}]}])
    counters = house.exchange.counters
    keep, kept_at_ms = counters.keep, []

    def slow_keep(place: Any, now_ms: int) -> Any:
        kept_at_ms.append(now_ms)
        house.clock.move(HOUR_MS)
        return keep(place, now_ms)

    monkeypatch.setattr(counters, "keep", slow_keep)
    offer = await house.ping()
    assert (await house.sell(offer["ping_id"]))["status"] == "sold"
    offered_at_ms = await house.exchange.reader.read(
        lambda conn: conn.execute(select(sales.c.offered_at_ms)).scalar_one()
    )
    assert [offered_at_ms] == kept_at_ms
