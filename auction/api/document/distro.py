"""The door of the lead distribution API (`api.distro`), as OpenAPI tells it. Forms are taken too, and told in words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from auction.api.distro import ENVELOPE, DistroIngested, DistroPinged
from auction.api.document.fields import Schema, field_schema, ping_lead, post_lead
from auction.api.document.parts import KEY_HEADER, RATE, TEXT, answer, body, problems, ref, security
from auction.market.doors import DISTRO_NEEDED, DoorNames
from auction.market.model import Campaign

STRUCTS: Final = (DistroIngested, DistroPinged)
_PROBLEMS: Final = (400, 401, 403, 404, 408, 409, 413, 415, 422, 429, 431, 500, 503)
_TIMING: Final = {"Server-Timing": "`own`: our own time; `buyers`: how long buyers were waited for, in ms."}
_AFTER_PING: Final = {
    "ingest": {"operationId": "distro_ingest", "requestBody": {"ping_id": "$response.body#/data/ping_id"}},
}
_FORMS: Final = " The same as `application/x-www-form-urlencoded` or `multipart/form-data` will do."


def paths(campaigns: Sequence[Campaign]) -> Schema:
    """The paths; with the leads of those of these campaigns that are open at this door written out."""
    here = [(one, one.doors.distro) for one in campaigns if one.doors.distro is not None]
    return {"/api/v1/ping": {"post": _ping(here)}, "/api/v1/ingest": {"post": _ingest(here)}}


_Here = Sequence[tuple[Campaign, DoorNames]]


def _ping(here: _Here) -> Schema:
    return {
        "operationId": "distro_ping",
        "tags": ["Other doors"],
        "summary": "The buyers that are available for a lead, and what they bid",
        "description": "Creates no lead. What names a person is dropped unless the campaign says that a ping may carry "
        "a hash of it. Post the lead to `/api/v1/ingest` with the buyer that you choose." + _FORMS,
        "security": security(),
        "parameters": [KEY_HEADER],
        "requestBody": body(_bodies([_ping_body(*one) for one in here], {})),
        "responses": {"200": {**answer("DistroPinged", RATE | _TIMING), "links": _AFTER_PING}}
        | problems(_PROBLEMS),
    }


def _ingest(here: _Here) -> Schema:
    naming: Schema = {
        "ping_id": {
            **TEXT,
            "type": ["string", "null"],
            "description": "The ping whose offer is taken up; without one a named buyer's newest offer to you for "
            "the same ping fields.",
        },
        "buyer_id": {
            **TEXT,
            "type": ["string", "null"],
            "description": "The buyer that you choose; its bid is what you get. Without one the best.",
        },
    }
    return {
        "operationId": "distro_ingest",
        "tags": ["Other doors"],
        "summary": "A lead, to the buyer that was chosen or to the best",
        "description": "`ACCEPTED`, with its buyer; `UNMATCHED` where nobody has it, with the reason; `PENDING` where "
        "a buyer's answer was lost, until it is known what became of it (see `/leads/{lead_id}`)." + _FORMS,
        "security": security(),
        "parameters": [KEY_HEADER],
        "requestBody": body(_bodies([_ingest_body(*one, naming) for one in here], naming)),
        "responses": {"200": answer("DistroIngested", RATE | _TIMING)} | problems((*_PROBLEMS, 410)),
    }


def _bodies(written: list[Schema], more: Schema) -> Schema:
    if not written:
        return {
            "type": "object",
            "description": "The fields of the lead stand beside these, by their names at this door.",
            "required": ["flo_campaign_id", "flo_supplier_id"],
            "properties": {**_envelope({**TEXT, "description": "The campaign's name or id."}), **more},
        }
    return written[0] if len(written) == 1 else {"anyOf": written}


def _envelope(campaign: Schema) -> Schema:
    return {
        "flo_campaign_id": campaign,
        "flo_supplier_id": ref("SellerName"),
    }


def _called(campaign: Campaign, names: DoorNames) -> Schema:
    return {"enum": [campaign.id] if names.name is None else [names.name, campaign.id]}


def _ping_body(campaign: Campaign, names: DoorNames) -> Schema:
    """Fields that only go with the lead may be there, whatever they hold."""
    lead = ping_lead(campaign)
    for spec in campaign.fields:
        lead["properties"].setdefault(spec.name, {"description": "Dropped: it goes with the lead."})
    return _by_their_names(lead, campaign, names, {"ping_id": {}, "buyer_id": {}}, ())


def _ingest_body(campaign: Campaign, names: DoorNames, naming: Schema) -> Schema:
    """A ping's fields need not be repeated where the ping is named, so none of them is required here."""
    lead = post_lead(campaign)
    specs = {spec.name: spec for spec in campaign.fields}
    for name in DISTRO_NEEDED:
        spec = specs.get(names.fields.get(name, name))
        if spec is not None:
            lead["properties"][spec.name] = field_schema(spec, optional=False)
    return _by_their_names(lead, campaign, names, naming, DISTRO_NEEDED)


def _by_their_names(
    lead: Schema, campaign: Campaign, names: DoorNames, more: Schema, needed: Sequence[str]
) -> Schema:
    """The lead's fields beside the envelope's keys, under each of the names that they have here."""
    fields: dict[str, Any] = {}
    required = ["flo_campaign_id", "flo_supplier_id", *needed]
    for name, schema in lead["properties"].items():
        called = _theirs(names, name)
        fields |= dict.fromkeys(called, schema)
        if name in lead.get("required", ()) and len(called) == 1:
            required += called
    return {
        **lead,
        "required": list(dict.fromkeys(required)),
        "properties": {**fields, **_envelope(_called(campaign, names)), **more},
    }


def _theirs(names: DoorNames, ours: str) -> list[str]:
    """What a field is called at this door: as it is mapped, and by its own name unless that means another."""
    own = [] if ours in names.fields or ours in ENVELOPE else [ours]
    return [theirs for theirs, mapped in names.fields.items() if mapped == ours] + own
