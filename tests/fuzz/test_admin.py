"""The doors of operators against their document: one that reads, and one that writes in a house of its own.

The one that writes may do all but change operators, for it could take away its own key, and would learn nothing more.
In the suite it changes some kinds of entries; `make fuzz` changes all.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.api.conftest import hash_of_key
from tests.fuzz.effort import EFFORT
from tests.fuzz.schema import fuzzed
from tests.house import CAMPAIGN, House, open_house

CONFIG = """
[checks]
positive_data_acceptance.expected-statuses = ["2xx", 400, 404, 409, 412, 422, 428]
negative_data_rejection.expected-statuses = [400, 404, 405, 409, 412, 413, 415, 422, 428]
missing_required_header.expected-statuses = [428]
"""
READS = ["catalogue:read", "leads:read", "money:read"]
ADMINS: list[dict[str, Any]] = [
    {"id": "reader", "keys": [hash_of_key("reader-key")], "scopes": READS},
    {
        "id": "writer",
        "keys": [hash_of_key("writer-key")],
        "scopes": [*READS, "catalogue:write", "leads:write"],
    },
]
SOME = "^/admin/(exchange|orders|sellers/.*keys)"
ALL = "^/admin/(?!admins)"


@pytest.fixture
async def house(tmp_path: Path, emptied_valkey: str, sqlite_ledger: str) -> AsyncIterator[House]:
    orders = [{"id": "a", "buyer": "a-co", "filter": {"field": "bill", "at_least": 5}}]
    lists = [{"id": "dnc", "fields": ["phone"]}]
    changes: dict[str, Any] = {
        "campaign": CAMPAIGN,
        "sections": {"admins": ADMINS},
        "suppression_lists": lists,
    }
    settings = {"changes_per_minute": 1_000_000}
    async with open_house(
        tmp_path, emptied_valkey, sqlite_ledger, orders, settings=settings, **changes
    ) as one:
        yield one


async def test_who_reads(house: House, tmp_path: Path) -> None:
    which = "^/admin/(teams$|money|leads)" if EFFORT == 1 else "^/admin"
    writing = [word for method in ("POST", "PUT", "PATCH", "DELETE") for word in ("--exclude-method", method)]
    await fuzzed(house.url, tmp_path, "reader-key", CONFIG, 5, "--include-path-regex", which, *writing)
    assert house.app.bugs == 0


@pytest.mark.slow
async def test_who_writes(house: House, tmp_path: Path) -> None:
    which = SOME if EFFORT == 1 else ALL
    await fuzzed(house.url, tmp_path, "writer-key", CONFIG, 3, "--include-path-regex", which)
    assert house.app.bugs == 0
    headers = {"x-api-key": "writer-key"}
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{house.url}/admin/audit?who=admin:writer&$limit=1000", headers=headers) as response,
    ):
        told = await response.json()
    assert told["total"], "it did change something"
