"""What sellers are told: all of it, the same at every try, and nobody by name."""

from __future__ import annotations

import msgspec

from auction.market.macros import MACROS
from auction.postbacks.payload import body_of, event_of, macro_values
from tests.postbacks.dues import AT_MS, a_due


def test_a_body_tells_what_happened_and_nothing_of_the_house() -> None:
    body = body_of(a_due(), "USD")
    assert msgspec.json.decode(body) == {
        "type": "lead.sold",
        "timestamp": "2026-01-01T12:00:00.123Z",
        "data": {
            "event_id": "lead-1-3",
            "lead_id": "lead-1",
            "ping_id": "ping-1",
            "campaign": "solar",
            "seller": "acme",
            "status": "sold",
            "payout": 1234.5,
            "currency": "USD",
            "at": "2026-01-01T12:00:00.123Z",
            "test": False,
            "sub_id": "fb-7",
        },
    }
    assert body == body_of(a_due(tries=5, endpoint="acme:2"), "USD")


def test_what_a_buyer_told_is_passed_on() -> None:
    detail = {"by": "buyer sunrise", "told": "converted", "value": 2500.0, "reason": "good"}
    event = event_of(a_due(state="converted", detail=detail, sub_id=None, test=True), "USD")
    assert (event.told, event.value, event.reason, event.sub_id, event.test) == (
        "converted",
        2500.0,
        "good",
        None,
        True,
    )


def test_every_macro_stands_for_something() -> None:
    detail = {"told": "converted", "value": 2500.1234, "reason": "good"}
    values = macro_values(a_due(detail=detail, test=True), "USD")
    assert values.keys() == MACROS.keys()
    assert all(values.values())
    assert (values["payout"], values["value"], values["test"]) == ("1234.50", "2500.1234", "true")
    assert values["timestamp"] == str(AT_MS // 1_000)
    empty = macro_values(a_due(sub_id=None), "USD")
    assert {name for name, value in empty.items() if not value} == {"told", "value", "reason", "sub_id"}
