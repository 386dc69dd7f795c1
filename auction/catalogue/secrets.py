"""Secrets of entries where they are shown and sent back: hidden on the way out, kept on the way in.

An entry is shown with `(kept)` in place of each secret. Who sends `(kept)` back means what is there: so an entry can be
read, changed and written whole by somebody who never sees its secrets.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from auction.errors import FieldMistake

KEPT: Final = "(kept)"
SECRET_KEYS: Final = ("signing_secret", "secret")
"""Hidden wherever they stand. (`keys` are hashes, and shown.)"""
_MISSING: Final = "there is no secret here that could be kept; send the secret itself"


def hidden(document: Mapping[str, Any]) -> dict[str, Any]:
    """The document of an entry without its secrets."""
    shown = {key: KEPT if key in SECRET_KEYS else value for key, value in document.items()}
    if "headers" in shown:
        shown["headers"] = dict.fromkeys(document["headers"], KEPT)
    if "postbacks" in shown:
        shown["postbacks"] = [hidden(postback) for postback in document["postbacks"]]
    return shown


def with_kept(
    document: Mapping[str, Any], before: Mapping[str, Any], mistakes: list[FieldMistake], path: str = ""
) -> dict[str, Any]:
    """What was sent, with the secrets of `before` wherever it says `(kept)`; what is not there is told in `mistakes`.

    A postback's secret is that of the postback with the same URL.
    """
    whole = dict(document)
    for key in SECRET_KEYS:
        _keep(whole, key, before, mistakes, path)
    headers = whole.get("headers")
    if isinstance(headers, dict):
        whole["headers"] = kept = dict(headers)
        for name in headers:
            _keep(kept, name, before.get("headers", {}), mistakes, f"{path}headers.")
    postbacks = whole.get("postbacks")
    if isinstance(postbacks, list):
        whole["postbacks"] = [
            with_kept(one, _same_url(one, before), mistakes, f"{path}postbacks[{at}].")
            if isinstance(one, dict)
            else one
            for at, one in enumerate(postbacks)
        ]
    return whole


def _keep(
    whole: dict[str, Any], key: str, before: Mapping[str, Any], mistakes: list[FieldMistake], path: str
) -> None:
    if whole.get(key) == KEPT:
        del whole[key]
        if key in before:
            whole[key] = before[key]
        else:
            mistakes.append(FieldMistake(path + key, _MISSING))


def _same_url(one: Mapping[str, Any], before: Mapping[str, Any]) -> Mapping[str, Any]:
    return next((known for known in before.get("postbacks", ()) if known["url"] == one.get("url")), {})
