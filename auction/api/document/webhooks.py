"""What the house sends to sellers by itself, as OpenAPI tells it: postbacks signed by Standard Webhooks."""

from __future__ import annotations

from typing import Final

from auction.api.document.fields import Schema
from auction.api.document.parts import body, ref
from auction.postbacks.payload import LeadEvent, Webhook

STRUCTS: Final = (LeadEvent, Webhook)
_HEADERS: Final = {
    "webhook-id": "The event: the same at every try, and for every endpoint of yours. Do twice what came once, once.",
    "webhook-timestamp": "When this try was made, in seconds since the epoch.",
    "webhook-signature": "`v1,` and the base64 HMAC-SHA256 of `id.timestamp.body` under your secret.",
}
_ANSWERS: Final = {
    "2XX": "Heard. The next event of the lead may come.",
    "410": "Never tell me this again.",
    "429": "Later: a `Retry-After` is kept to, up to six hours.",
    "default": "Not heard: it is sent again, after 5 s at first, for three days in all.",
}


def webhooks() -> Schema:
    """The calls that a seller with a signed postback gets."""
    return {
        "lead": {
            "post": {
                "operationId": "lead_webhook",
                "tags": ["Selling"],
                "summary": "A lead's status changed.",
                "description": "Sent to a seller's postbacks that have a secret, in the order of each lead, until it "
                "is heard (standardwebhooks.com). Postbacks without one get the same by macros of their URL.",
                "parameters": [
                    {
                        "name": name,
                        "in": "header",
                        "required": True,
                        "description": sentence,
                        "schema": {"type": "string"},
                    }
                    for name, sentence in _HEADERS.items()
                ],
                "requestBody": body(ref("Webhook")),
                "responses": {status: {"description": sentence} for status, sentence in _ANSWERS.items()},
            }
        }
    }
