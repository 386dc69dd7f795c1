"""Whether an answer of the exchange is one that its door promises. PURE.

A business outcome is no failure: a ping without a bid and a lead that was rejected are answers. A verdict is
None for what was promised, else a sentence for the report; they hold no ids, so that Locust can count them.
"""

from __future__ import annotations

from typing import Any

import msgspec


class Answer(msgspec.Struct, frozen=True):
    """What came back. `status` is 0 where nothing did."""

    status: int
    content_type: str = ""
    body: bytes = b""

    @property
    def said(self) -> dict[str, Any]:
        """The body's JSON object; empty if it is none."""
        try:
            said = msgspec.json.decode(self.body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return {}
        return said if isinstance(said, dict) else {}


def of_ping(answer: Answer) -> str | None:
    """An offer with its price and expiry, or no bid with its reason."""
    said = answer.said
    if answer.status != 200:
        return _unexpected(answer)
    if said.get("status") == "no_bid":
        return None if said.get("ping_id") and said.get("reason") else "a no_bid without ping_id or reason"
    if said.get("status") != "offer":
        return "neither an offer nor a no_bid"
    whole = said.get("ping_id") and said.get("payout", -1) >= 0 and said.get("expires_in", -1) >= 0
    return None if whole else "an offer without ping_id, payout or expires_in"


def of_repeated_ping(answer: Answer, first: dict[str, Any]) -> str | None:
    """The same offer again."""
    fault = of_ping(answer)
    if fault is None and any(answer.said.get(key) != first.get(key) for key in ("ping_id", "payout", "bids")):
        return "a repeated ping got another offer"
    return fault


def of_post(answer: Answer) -> str | None:
    """Sold with its payout, rejected with its reason, or pending."""
    said = answer.said
    if answer.status != 200:
        return _unexpected(answer)
    if said.get("status") not in ("sold", "rejected", "pending"):
        return "neither sold, rejected nor pending"
    if not said.get("lead_id"):
        return "a post's answer without lead_id"
    needed = {"sold": "payout", "rejected": "reason"}.get(said["status"])
    return f"{said['status']} without {needed}" if needed and said.get(needed) is None else None


def of_repeated_post(answer: Answer, first: dict[str, Any]) -> str | None:
    """The same lead again: sold once."""
    fault = of_post(answer)
    return (
        "a repeated post made another lead"
        if fault is None and answer.said["lead_id"] != first["lead_id"]
        else fault
    )


def of_late_post(answer: Answer) -> str | None:
    """The offer is gone: 410, or 404 once it is forgotten."""
    return _problem(answer) if answer.status in (404, 410) else _unexpected(answer, "410 or 404")


def of_nonsense(answer: Answer) -> str | None:
    """4xx, and a problem that says why."""
    return (
        _problem(answer) if 400 <= answer.status < 500 else _unexpected(answer, "a problem of the seller's")
    )


def _problem(answer: Answer) -> str | None:
    if not answer.content_type.startswith("application/problem+json"):
        return f"{answer.status} that is no problem+json"
    return None if answer.said.get("code") else f"{answer.status} without a code"


def _unexpected(answer: Answer, wanted: str = "200") -> str:
    """The status with the problem's code, and the keys that it finds wrong."""
    if not answer.status:
        return "no answer"
    errors = answer.said.get("errors")
    fields = [one.get("field") for one in errors if isinstance(one, dict)] if isinstance(errors, list) else []
    wrong = f" ({', '.join(map(str, fields))})" if fields else ""
    return f"{answer.status} {answer.said.get('code', '')}".strip() + f"{wrong} instead of {wanted}"


def own_ms(server_timing: str) -> float | None:
    """Our own time of `own;dur=0.812, buyers;dur=45.2`; None where it is not told."""
    for part in server_timing.split(","):
        name, _, value = part.strip().partition(";dur=")
        if name == "own":
            try:
                return float(value)
            except ValueError:
                return None
    return None
