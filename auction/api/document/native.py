"""The native door and the quiet ones, as OpenAPI tells them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from auction.api.document.fields import Schema, direct_lead, ping_lead, post_lead
from auction.api.document.parts import (
    KEY_HEADER,
    RATE,
    TEXT,
    answer,
    body,
    headers_told,
    json_of,
    problems,
    ref,
    security,
)
from auction.market.model import Campaign
from auction.market.money import MICROS, MOST_MICROS
from auction.ping.offer import PingAnswer
from auction.post.answer import PostAnswer
from auction.views.sellers import LeadView, PingView

_ANY_LEAD: Final[Schema] = {"type": "object", "description": "The fields of the campaign, by name."}

_BODY_PROBLEMS: Final = (400, 401, 403, 404, 408, 409, 413, 415, 422, 429, 431, 500, 503)
_OWN_PROBLEMS: Final = (400, 401, 403, 404, 431, 500, 503)
_AFTER_POST: Final = {
    "lead": {"operationId": "get_lead", "parameters": {"lead_id": "$response.body#/lead_id"}},
}
_AFTER_PING: Final = {
    "post": {"operationId": "post", "requestBody": {"ping_id": "$response.body#/ping_id"}},
    "ping": {"operationId": "get_ping", "parameters": {"ping_id": "$response.body#/ping_id"}},
}
"""What an answer leads to (OpenAPI's links)."""

Lead = Callable[[Campaign], Schema]
STRUCTS: Final = (PingAnswer, PostAnswer, LeadView, PingView)


def paths(campaigns: Sequence[Campaign]) -> Schema:
    """The paths; with the leads of these campaigns written out, or any lead where there is none."""
    return {
        "/ping": {"post": _ping(campaigns)},
        "/post": {"post": _post(campaigns)},
        "/direct": {"post": _direct(campaigns)},
        "/leads/{lead_id}": {"get": _own("lead", "LeadView", "What became of a lead, with its history.")},
        "/pings/{ping_id}": {"get": _own("ping", "PingView", "What was offered on a ping.")},
        "/healthz": {"get": _health("Whether this process answers at all.", (200,))},
        "/readyz": {"get": _health("Whether pings can be served.", (200, 503))},
        "/metrics": {"get": _metrics()},
    }


def _ping(campaigns: Sequence[Campaign]) -> Schema:
    return {
        "operationId": "ping",
        "tags": ["Selling"],
        "summary": "One auction for a lead that is not named yet",
        "description": "Asks every eligible buyer and answers with the best offer, or that nobody bid. The same "
        "ping again, while its offer lives, gets the same offer.",
        "security": security(),
        "parameters": [KEY_HEADER],
        "requestBody": body(_envelopes(campaigns, "campaign", ping_lead, _asking())),
        "responses": {"200": {**answer("PingAnswer", RATE | _TIMING), "links": _AFTER_PING}}
        | problems(_BODY_PROBLEMS),
    }


def _post(campaigns: Sequence[Campaign]) -> Schema:
    leads = [post_lead(campaign) for campaign in campaigns]
    envelope = {
        "type": "object",
        "required": ["ping_id", "lead"],
        "additionalProperties": False,
        "properties": {"ping_id": TEXT, "lead": {"anyOf": leads} if leads else _ANY_LEAD},
    }
    return {
        "operationId": "post",
        "tags": ["Selling"],
        "summary": "The full lead, against the offer of its ping",
        "description": "Commits the lead to the winners. A post is idempotent by its `ping_id`: the same again "
        "gets the same answer, and the lead is sold once.",
        "security": security(),
        "parameters": [KEY_HEADER],
        "requestBody": body(envelope),
        "responses": {"200": {**answer("PostAnswer", RATE), "links": _AFTER_POST}}
        | problems((*_BODY_PROBLEMS, 410)),
    }


def _direct(campaigns: Sequence[Campaign]) -> Schema:
    return {
        "operationId": "direct",
        "tags": ["Selling"],
        "summary": "Ping and post in one",
        "description": "The ping fields go to auction, all fields to the winners. The answer is the post's, or the "
        "ping's where nobody bid.",
        "security": security(),
        "parameters": [KEY_HEADER],
        "requestBody": body(_envelopes(campaigns, "campaign", direct_lead, _asking())),
        "responses": {
            "200": {
                "description": "What became of the lead.",
                "headers": headers_told(RATE | _TIMING),
                "content": json_of({"anyOf": [ref("PostAnswer"), ref("PingAnswer")]}),
            }
        }
        | problems((*_BODY_PROBLEMS, 410)),
    }


_TIMING: Final = {"Server-Timing": "`own`: our own time; `buyers`: how long buyers were waited for, in ms."}


def _asking() -> Schema:
    """What stands in a ping's envelope beside the campaign and the lead. A null is a key left out."""
    return {
        "tmax": {
            "type": ["integer", "null"],
            "minimum": 10,
            "maximum": 60_000,
            "description": "How long you will wait, in ms; the campaign's time bounds it.",
        },
        "floor": {
            "type": ["number", "null"],
            "minimum": 0,
            "maximum": MOST_MICROS // MICROS,
            "description": "The least payout that you take; at most four decimals.",
        },
        "sub_id": {**TEXT, "type": ["string", "null"], "description": "Your own word for where it is from."},
        "test": {
            "type": ["boolean", "null"],
            "description": "A real auction that touches no cap and no money.",
        },
    }


def _envelopes(campaigns: Sequence[Campaign], name: str, lead: Lead, more: Schema) -> Schema:
    def envelope(of: Schema, fields: Schema) -> Schema:
        return {
            "type": "object",
            "required": [name, "lead"],
            "additionalProperties": False,
            "properties": {name: of, "lead": fields, **more},
        }

    if not campaigns:
        return envelope({**TEXT, "description": "The campaign's id."}, _ANY_LEAD)
    written = [envelope({"const": campaign.id}, lead(campaign)) for campaign in campaigns]
    return written[0] if len(written) == 1 else {"oneOf": written}


def _own(kind: str, view: str, summary: str) -> Schema:
    return {
        "operationId": f"get_{kind}",
        "tags": ["Looking up"],
        "summary": summary,
        "security": security(),
        "parameters": [
            {
                "name": f"{kind}_id",
                "in": "path",
                "required": True,
                "schema": {"type": "string", "minLength": 1},
            }
        ],
        "responses": {"200": answer(view)} | problems(_OWN_PROBLEMS),
    }


def _health(summary: str, statuses: Sequence[int]) -> Schema:
    told = {"type": "object", "required": ["status"], "properties": {"status": {"type": "string"}}}
    good = {"200": {"description": "It does.", "content": json_of(told)}}
    return {
        "operationId": "ready" if 503 in statuses else "healthy",
        "tags": ["Running"],
        "summary": summary,
        "responses": good | problems((431, 500, *statuses[1:])),
    }


def _metrics() -> Schema:
    return {
        "operationId": "metrics",
        "tags": ["Running"],
        "summary": "What all workers counted, for Prometheus",
        "responses": {
            "200": {
                "description": "Prometheus' text format.",
                "content": {"text/plain": {"schema": {"type": "string"}}},
            }
        }
        | problems((401, 431, 500)),
    }
