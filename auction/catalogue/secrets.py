"""Secrets of entries where they are shown and sent back: hidden on the way out, kept on the way in.

An entry is shown with `(kept)` in place of each secret, and of each value in the query of a URL: many tools take their
key there. Who sends `(kept)` back means what is there: so an entry can be read, changed and written whole by somebody
who never sees its secrets. In a URL it means so only as long as the URL leads to the same place.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from auction.errors import FieldMistake
from auction.market.shown_urls import masked, unmasked

KEPT: Final = "(kept)"
SECRET_KEYS: Final = ("signing_secret", "secret")
"""Hidden wherever they stand. (`keys` are hashes, and shown.)"""
URL_KEYS: Final = ("ping_url", "post_url", "url")
_MISSING: Final = "there is no secret here that could be kept; send the secret itself"
_URL_MISSING: Final = "`(kept)` holds as long as the URL stays as it is up to the `?`; send the URL whole"


def hidden(document: Mapping[str, Any]) -> dict[str, Any]:
    """The document of an entry without its secrets."""
    shown = {key: _shown(key, value) for key, value in document.items()}
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
    for key in URL_KEYS:
        _keep_url(whole, key, before, mistakes, path)
    headers = whole.get("headers")
    if isinstance(headers, dict):
        whole["headers"] = kept = dict(headers)
        for name in headers:
            _keep(kept, name, before.get("headers", {}), mistakes, f"{path}headers.")
    postbacks = whole.get("postbacks")
    if isinstance(postbacks, list):
        known = before.get("postbacks", ())
        whole["postbacks"] = [
            with_kept(one, _meant(one, postbacks, at, known), mistakes, f"{path}postbacks[{at}].")
            if isinstance(one, dict)
            else one
            for at, one in enumerate(postbacks)
        ]
    return whole


def _shown(key: str, value: Any) -> Any:
    if key in SECRET_KEYS:
        return KEPT
    return masked(value, KEPT) if key in URL_KEYS and isinstance(value, str) else value


def _keep(
    whole: dict[str, Any], key: str, before: Mapping[str, Any], mistakes: list[FieldMistake], path: str
) -> None:
    if whole.get(key) == KEPT:
        del whole[key]
        if key in before:
            whole[key] = before[key]
        else:
            mistakes.append(FieldMistake(path + key, _MISSING))


def _keep_url(
    whole: dict[str, Any], key: str, before: Mapping[str, Any], mistakes: list[FieldMistake], path: str
) -> None:
    sent = whole.get(key)
    if not isinstance(sent, str) or KEPT not in sent:
        return
    url = unmasked(sent, before.get(key) or "", KEPT)
    if url is None:
        del whole[key]
        mistakes.append(FieldMistake(path + key, _URL_MISSING))
    else:
        whole[key] = url


def _meant(
    one: Mapping[str, Any], sent: list[Any], at: int, before: Sequence[Mapping[str, Any]]
) -> Mapping[str, Any]:
    """The postback of `before` that `one`, the `at`-th that was sent, has its secrets from; empty if that cannot be
    told.

    Several may look alike without their secrets. Then it is the one that is as it was in all else; of some that are
    alike in all, the first is the first, as long as all were sent back.
    """
    url = str(one.get("url"))
    found = [known for known in before if unmasked(url, known["url"], KEPT) == known["url"]] or [
        known for known in before if unmasked(url, known["url"], KEPT) is not None and KEPT in url
    ]
    if len(found) > 1:
        found = [known for known in found if hidden(known) == one]
    if len(found) > 1 and sent.count(one) == len(found):
        return found[sent[:at].count(one)]
    return found[0] if len(found) == 1 else {}
