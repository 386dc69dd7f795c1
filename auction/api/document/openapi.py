"""`/openapi.json`: all doors in one OpenAPI 3.1 document.

Without a key it tells what is the same for everybody. With a seller's key the leads of that seller's campaigns are
written out, field by field: what campaigns ask for is the business of those who sell in them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

import msgspec

from auction.api.document import admin, distro, leads, native, postbacks, router, routes
from auction.api.document import webhooks as sent
from auction.api.document.fields import Schema
from auction.api.document.parts import TEXT
from auction.errors import FieldMistake
from auction.ledger.outbox import TOLD
from auction.market.model import Campaign, House, Seller

ABOUT = """A ping-post exchange for leads.

*Ping* with what is known about a lead but names nobody; the answer is a price and how long it holds. *Post* the full
lead against that ping. Business outcomes are 200; errors are `application/problem+json` (RFC 9457) with a `code` that
never changes its meaning, and every bad field named at once."""

DOORS = (native, postbacks, router, distro, leads, routes, admin)
"""Each tells its `paths(campaigns)`, and the `STRUCTS` that they name."""

_FOR_THE_HOUSE = re.compile(r" \(P[0-9]+\)")
"""What a docstring tells those who work on the house, and nobody else."""
_PING_STATES = ("offer", "no_bid")
_POST_STATES = ("sold", "rejected", "pending")


class Problem(msgspec.Struct, frozen=True):
    """What every error is answered with (RFC 9457)."""

    type: str
    title: str
    status: int
    code: str
    detail: str
    errors: list[FieldMistake] = []


def document(
    house: House, campaigns: Sequence[Campaign] = (), seller: Seller | None = None
) -> dict[str, Any]:
    """The whole document; the leads of `campaigns`, and what `seller` is called, are written out."""
    return {
        "openapi": "3.1.0",
        "info": {"title": house.name, "version": version("auction"), "description": ABOUT},
        "tags": [
            {"name": "Selling", "description": "Pings and posts."},
            {"name": "Other doors", "description": "The same exchange, as other APIs speak."},
            {"name": "Lead routes", "description": "For buyers: whose leads come to them first."},
            {"name": "Looking up", "description": "A seller's own pings and leads."},
            {"name": "Buying", "description": "What buyers tell of the leads that they were offered."},
            {"name": "Running", "description": "For those who run it."},
            {
                "name": "Operating",
                "description": "The catalogue, leads and money, by keys of operators with scopes.",
            },
        ],
        "paths": {path: told for door in DOORS for path, told in door.paths(campaigns).items()},
        "webhooks": sent.webhooks(),
        "components": {
            "securitySchemes": postbacks.SECURITY
            | {
                "bearer": {"type": "http", "scheme": "bearer"},
                "apiKey": {"type": "apiKey", "in": "header", "name": "x-api-key"},
            },
            "schemas": {**_schemas(), **admin.schemas(), "SellerName": _seller_name(seller)},
        },
    }


def _seller_name(seller: Seller | None) -> Schema:
    known: Schema = TEXT
    if seller is not None:
        known = {"enum": list(dict.fromkeys(filter(None, (seller.id, seller.slug, seller.code))))}
    return {**known, "description": "Your own id, slug or code."}


def _schemas() -> Schema:
    told = [Problem, *sent.STRUCTS, *(struct for door in DOORS for struct in door.STRUCTS)]
    _, schemas = msgspec.json.schema_components(told, ref_template="#/components/schemas/{name}")
    for schema in schemas.values():
        schema["description"] = _FOR_THE_HOUSE.sub("", schema["description"])
    schemas["PingAnswer"]["properties"]["status"]["enum"] = list(_PING_STATES)
    schemas["PostAnswer"]["properties"]["status"]["enum"] = list(_POST_STATES)
    schemas["LeadEvent"]["properties"]["status"]["enum"] = list(TOLD)
    return schemas
