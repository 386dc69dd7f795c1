"""Postbacks that are right in everything a test does not care about."""

from __future__ import annotations

from typing import Any

from auction.ledger.postbacks import Due

AT_MS = 1_767_268_800_123


def a_due(number: int = 1, **more: Any) -> Due:
    known: dict[str, Any] = {
        "lead_id": f"lead-{number}",
        "seq": 3,
        "endpoint": "acme:1",
        "tries": 0,
        "seller": "acme",
        "at_ms": AT_MS,
        "state": "sold",
        "payout_micros": 1_234_500_000,
        "detail": {"offers": {"sunrise-tx": "accepted"}, "by": "operator olga"},
        "ping_id": f"ping-{number}",
        "campaign": "solar",
        "sub_id": "fb-7",
        "test": False,
        "ping_fields": {"state": "TX"},
        "sealed": b"sealed",
    }
    return Due(**(known | more))
