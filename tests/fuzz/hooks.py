"""What schemathesis need not send: values that are told apart in JSON and are the same bytes in a query; and pings that
leave a busy machine no time, for it says truly that their time is up.
"""

from __future__ import annotations

from typing import Any

import schemathesis

from auction.api.envelope import LEAST_TMAX_MS, MOST_TMAX_MS

_WORDS = {"null", "true", "false"}
"""What null and a flag are written as: no query can tell them from text."""


@schemathesis.hook
def filter_case(context: Any, case: schemathesis.Case[Any]) -> bool:
    """Of what should be refused, not what a query cannot say otherwise: a null, a flag, one value where a list is."""
    forbidden = case.meta is not None and case.meta.generation.mode == schemathesis.GenerationMode.NEGATIVE
    return not (forbidden and any(_ambiguous(name, value) for name, value in (case.query or {}).items()))


@schemathesis.hook
def before_call(context: Any, case: schemathesis.Case[Any], **kwargs: Any) -> None:
    """A ping that says how long its seller waits, and may say so, waits as long as one may."""
    body: Any = case.body
    tmax_ms = body.get("tmax") if isinstance(body, dict) else None
    if type(tmax_ms) is int and LEAST_TMAX_MS <= tmax_ms <= MOST_TMAX_MS:
        case.body = {**body, "tmax": MOST_TMAX_MS}


def _ambiguous(name: str, value: Any) -> bool:
    if isinstance(value, list):
        return any(each is None or str(each).lower() in _WORDS for each in value)
    return value is None or str(value).lower() in _WORDS or name.endswith(("[$in]", "[$nin]"))
