"""Leads and money as operators see them (`/admin/leads`, `/admin/money`), as OpenAPI tells them."""

from __future__ import annotations

from typing import Final

from auction.api.admin.leads import GROUPS, LEADS, MONEY
from auction.api.document.fields import Schema
from auction.api.document.operating import LIST, OPERATORS, READ, WRITE, in_path, in_query, operation, table
from auction.api.document.parts import KEY_HEADER, TEXT, answer, body, problems

_MAYBE: Final[Schema] = {"anyOf": [TEXT, {"type": "null"}]}
_SETTLING: Final[Schema] = {
    "type": "object",
    "required": ["outcome"],
    "additionalProperties": False,
    "properties": {
        "outcome": {"enum": ["accepted", "rejected"]},
        "order": _MAYBE,
        "reason": _MAYBE,
        "buyer_lead_id": _MAYBE,
    },
}


def leads() -> Schema:
    """Lists of leads, one in full, and what became of it."""
    lead_id = in_path("lead_id", TEXT)
    return {
        "/admin/leads": {
            "get": operation(
                "list_leads",
                "leads:read",
                "Leads of all sellers, the latest first",
                {"200": answer("Leads")} | problems(LIST),
                description=f"Nothing that names a person. `payout` with the scope `money:read`.{OPERATORS}",
                parameters=table(LEADS),
            )
        },
        "/admin/leads/{lead_id}": {
            "get": operation(
                "get_lead_file",
                "leads:read",
                "A lead with its offers, sales and history",
                {"200": answer("LeadFile")} | problems(READ),
                parameters=[lead_id],
            )
        },
        "/admin/leads/{lead_id}/settle": {
            "post": operation(
                "settle_lead",
                "leads:write",
                "What became of an offer of which nobody knows",
                {"200": answer("SettledLead")} | problems(WRITE),
                description="`order` may be left out where the lead has one such offer. It cannot be taken back.",
                parameters=[lead_id, KEY_HEADER],
                requestBody=body(_SETTLING),
            )
        },
    }


def money() -> Schema:
    """Sums of sales."""
    by = {
        **in_query("by", {"type": "array", "items": {"enum": list(GROUPS)}}, "What is summed by."),
        "explode": True,
    }
    return {
        "/admin/money": {
            "get": operation(
                "sum_money",
                "money:read",
                "What was sold, in sums",
                {"200": answer("Money")} | problems(LIST),
                description="Of the last 31 days, if nothing else is asked, and 400 at most; no tests, unless they are "
                "asked for. Of sales that stand; what was given back is told as `returned` and `credited`, at the "
                f"time of its sale.{OPERATORS}",
                parameters=[by, *table(MONEY)],
            )
        },
    }
