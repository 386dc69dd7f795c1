"""One `auction serve --workers 2` on each kind of database, which all tests of exactness share.

Its clock is shifted so that an hour ends at `Trading.hour_ends_s`, a few seconds after the start: one
test is about that moment, and all others care for days. It is noon, so no day ends.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from msgspec import Struct

from tests.house import CAMPAIGN, SELLER
from tests.servers import Served, running_buyers, running_server
from tests.stores import PostgresServer

DAY_MS, HOUR_MS = 86_400_000, 3_600_000

ORDERS: dict[str, list[dict[str, Any]]] = {
    # five places, and somebody to take the rest
    "few": [
        {"id": "few-five", "buyer": "hannah", "price": 30, "caps": [{"leads": 5, "per": "day"}]},
        {"id": "few-rest", "buyer": "hugo", "price": 20},
    ],
    # the first rejects every lead, so all posts come to five places that nobody holds
    "second": [
        {"id": "second-front", "buyer": "rejecter", "price": 40},
        {"id": "second-five", "buyer": "rita", "price": 30, "caps": [{"leads": 5, "per": "day"}]},
    ],
    # 6 by the spend of a day, 3 by an hour's leads, and then what tina herself leaves of her 10
    "caps": [
        {
            "id": "caps-all",
            "buyer": "tina",
            "price": 30,
            "caps": [
                {"leads": 7, "per": "hour"},
                {"leads": 9, "per": "day"},
                {"spend": 200.00, "per": "day"},
            ],
        },
        {"id": "caps-hour", "buyer": "tina", "price": 25, "caps": [{"leads": 3, "per": "hour"}]},
        {"id": "caps-day", "buyer": "tina", "price": 15, "caps": [{"leads": 20, "per": "day"}]},
        {"id": "caps-rest", "buyer": "tom", "price": 5},
    ],
    "hours": [
        {"id": "hours-capped", "buyer": "wanda", "price": 30, "caps": [{"leads": 60, "per": "hour"}]},
        {"id": "hours-rest", "buyer": "walt", "price": 5},
    ],
    "once": [
        {"id": "once-first", "buyer": "paula", "price": 30},
        {"id": "once-next", "buyer": "paul", "price": 20},
    ],
}
BUYER_CAPS = {"tina": [{"leads": 10, "per": "day"}]}
MANNERS: dict[str, dict[str, Any]] = {
    "rejecter": {"post": {"accept": 0}},
    "paula": {"post": {"latency_ms": 150}},
}


class Trading(Struct, frozen=True):
    """A server with two workers, its ledger, and the time at which its hour ends (`time.time()`)."""

    served: Served
    ledger_url: str
    hour_ends_s: float
    offset_ms: int


def market(mock_url: str) -> str:
    """The catalogue: a campaign for each test, every order with a fixed price."""
    orders = [
        {**order, "campaign": campaign, "price": {"fixed": order["price"]}}
        for campaign, listed in ORDERS.items()
        for order in listed
    ]
    return yaml.safe_dump(
        {
            "exchange": {"name": "Exactness", "timezone": "UTC"},
            "campaigns": [{**CAMPAIGN, "id": campaign} for campaign in ORDERS],
            "sellers": [SELLER],
            "buyers": [
                {
                    "id": buyer,
                    "post_url": f"{mock_url}/{buyer}/post",
                    "post_timeout_ms": 20_000,
                    "caps": BUYER_CAPS.get(buyer, []),
                }
                for buyer in sorted({str(order["buyer"]) for order in orders})
            ],
            "orders": orders,
        }
    )


@pytest.fixture(scope="module", params=[pytest.param("sqlite", marks=pytest.mark.slow), "postgresql"])
def trading(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trading]:
    """The server. Where the machine is so slow that the hour has ended before it is ready, it is started again."""
    postgres: PostgresServer | None = None
    if request.param == "postgresql":
        postgres = request.getfixturevalue("postgres")
    buyers = {str(order["buyer"]) for listed in ORDERS.values() for order in listed}
    for ahead_s in (15, 40):
        folder: Path = tmp_path_factory.mktemp(request.param)
        database_url = postgres.new_database() if postgres else None
        hour_ends_s = time.time() + ahead_s
        offset_ms = (DAY_MS // 2 - int(hour_ends_s * 1000)) % DAY_MS
        with (
            running_buyers(folder, {name: MANNERS.get(name, {}) for name in buyers}) as mock_url,
            running_server(
                folder,
                mock_url,
                market,
                workers=2,
                database_url=database_url,
                environ={"AUCTION_CLOCK_OFFSET_MS": str(offset_ms)},
            ) as served,
        ):
            if time.time() < hour_ends_s - 1:
                ledger_url = database_url or f"sqlite:///{served.data_dir}/ledger.sqlite3"
                yield Trading(served, ledger_url, hour_ends_s, offset_ms)
                return
    raise AssertionError("the server took 40 s to start")
