"""The document of the lead distribution API as files, and a house that its supplier calls."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.house import KEY_HASH, House

EXAMPLES = Path(__file__).parent / "002"
FIELDS: list[dict[str, Any]] = [
    {"name": "state", "type": "us_state", "ping": True},
    {"name": "bill", "type": "integer", "ping": True},
    {"name": "first_name", "type": "text", "required": "post", "pii": True},
    {"name": "last_name", "type": "text", "required": "post", "pii": True},
    {"name": "phone", "type": "phone", "required": "post", "pii": True, "ping_as": "hash"},
    {"name": "email", "type": "email", "required": "post", "pii": True},
]
CAMPAIGN: dict[str, Any] = {
    "id": "campaign_abc123",
    "fields": FIELDS,
    "doors": {"distro": {"name": "Roofs of Texas", "fields": {"monthly_bill": "bill"}}},
}
SUPPLIER = {"id": "supplier_xyz789", "code": "ACME1234", "slug": "acme", "keys": [KEY_HASH], "margin": "20%"}
OTHER = {"id": "other", "keys": ["sha256:" + "0" * 64]}
ORDERS: list[dict[str, Any]] = [
    {"id": "abc", "buyer": "buyer_abc", "filter": {"field": "state", "in": ["TX"]}},
    {"id": "def", "buyer": "buyer_def", "filter": {"field": "state", "in": ["TX"]}},
]
MANNERS = {"buyer_abc": {"bid": {"price": 30}}, "buyer_def": {"bid": {"price": 25}}}
Open = Callable[..., Any]


def example(name: str, **changes: Any) -> dict[str, Any]:
    """One of the files, with some keys said otherwise."""
    read: dict[str, Any] = json.loads((EXAMPLES / f"{name}.json").read_text())
    return {**read, **changes}


def plain(answer: dict[str, Any]) -> dict[str, Any]:
    """An answer as the files have it: ids and times are no two times the same."""
    data = dict(answer["data"])
    for name, placeholder in (("id", "lead_id"), ("ping_id", "ping_id"), ("expires_at", "expires_at")):
        if data.get(name):
            data[name] = placeholder
    if "buyers" in data:
        data["buyers"] = [{**buyer, "expires_at": "expires_at"} for buyer in data["buyers"]]
    return {"data": data}


async def ping(house: House, **changes: Any) -> dict[str, Any]:
    """A ping that must be answered 200: its data."""
    status, answer = await house.post("/api/v1/ping", example("ping.request", **changes))
    assert status == 200, answer
    data: dict[str, Any] = answer["data"]
    return data


async def ingest(house: House, name: str = "ingest", **changes: Any) -> dict[str, Any]:
    """A lead that must be answered 200: its data."""
    status, answer = await house.post("/api/v1/ingest", example(f"{name}.request", **changes))
    assert status == 200, answer
    data: dict[str, Any] = answer["data"]
    return data
