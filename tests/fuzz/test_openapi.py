"""The document against the server: schemathesis sends what it allows and what it forbids, and reads the answers.

What a schema cannot say (that a state is one of the fifty, that a date exists) the decoder says with 422, so that is
no failure for a request that the schema lets through. What it forbids must be refused; every answer must be one of
those that are written down, in the shape that is written down; nothing may be a 5xx.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from hashlib import sha256
from pathlib import Path

import pytest

from tests.fuzz.effort import EFFORT
from tests.fuzz.schema import fuzzed
from tests.house import CAMPAIGN, KEY, SELLER, House, open_house

CONFIG = """
[checks]
positive_data_acceptance.expected-statuses = ["2xx", 404, 409, 410, 422]
negative_data_rejection.expected-statuses = [400, 403, 404, 405, 409, 410, 413, 415, 422]

[[operations]]  # which sellers and categories there are, no schema says: 400 by that API's document
include-path = "/api/leads"
[operations.checks]
positive_data_acceptance.expected-statuses = ["2xx", 400, 409, 422]

[[operations]]  # those doors are for buyers; tokens and signatures that a schema makes up are nobody's
include-path-regex = "^/(postback|lead-routes|teams|campaigns|lead-sources|contact-sources)"
headers = { Authorization = "Bearer a-buyers-key" }
"""
BUYER_KEY = f"sha256:{sha256(b'a-buyers-key').hexdigest()}"
ROUTED = {
    "teams": [{"id": "home", "name": "Home", "buyers": ["a-co"]}],
    "sources": [
        {"id": "web", "name": "Web", "buyers": ["a-co"]},
        {"id": "friend", "name": "A Friend", "kind": "contact", "buyers": ["a-co"]},
    ],
    "lead_routes": [
        {"id": "mine", "owner": "a-co", "made_by": "owner", "target": "none", "source": "web", "filter": "x"}
    ],
}
DISTRO_FIELDS = {"last_name": "first_name", "monthly": "bill"}
EVERY_TYPE = {
    **CAMPAIGN,
    "doors": {"router": {"keyless": "acme"}, "leads": {"name": "Solar"}},
    "pending_hours": 1,
    "auction": {"tmax_ms": 60_000},
    "fields": [
        *CAMPAIGN["fields"],
        {"name": "zip", "type": "us_zip", "required": "ping"},
        {"name": "own", "type": "boolean", "ping": True},
        {"name": "credit", "type": "choice", "choices": ["good", "poor"], "ping": True},
        {"name": "ratio", "type": "number", "min": 0.5, "max": 2, "ping": True},
        {"name": "built", "type": "date", "ping": True},
        {"name": "email", "type": "email", "pii": True, "ping_as": "hash"},
        {"name": "page", "type": "url"},
    ],
}
DISTRO = {**EVERY_TYPE, "id": "distro", "doors": {"distro": {"name": "D", "fields": DISTRO_FIELDS}}}
LAX = {**CAMPAIGN, "id": "lax", "unknown_fields": "ignore", "auction": {"tmax_ms": 60_000}}


@pytest.fixture
async def house(tmp_path: Path, emptied_valkey: str, sqlite_ledger: str) -> AsyncIterator[House]:
    orders = [{"id": "a", "buyer": "a-co"}]
    manners = {"a-co": {"bid": {"price": 30}}}
    async with open_house(
        tmp_path,
        emptied_valkey,
        sqlite_ledger,
        orders,
        manners,
        campaign=EVERY_TYPE,
        more_campaigns=[LAX, DISTRO],
        buyers={"a-co": {"keys": [BUYER_KEY]}},
        sections=ROUTED,
        sellers=[{**SELLER, "rate_limit": "1000000/second"}],  # where no key is asked for, a limit is
        settings=dict.fromkeys(("leads_per_minute", "postbacks_per_second", "changes_per_minute"), 1_000_000),
    ) as one:
        yield one


@pytest.mark.timeout(300 * EFFORT)  # 4,000 requests: half a minute on a machine that has nothing else to do
async def test_the_server_is_as_the_document_says(house: House, tmp_path: Path) -> None:
    output = await fuzzed(house.url, tmp_path, KEY, CONFIG, 10, "--exclude-path-regex", "^/admin")
    assert b"Tested: 21" in output or b"Tested: 23" in output, output.decode()[-2_000:]
    assert house.app.bugs == 0
