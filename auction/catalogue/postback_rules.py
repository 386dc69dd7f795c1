"""What is wrong with the postbacks of a seller: URL templates, their macros, secrets."""

from __future__ import annotations

from collections.abc import Iterator

from auction.catalogue.endpoint_rules import secret_error, url_error
from auction.catalogue.mistakes import Names, Path, Problem
from auction.market.macros import MACROS, MacroError, UrlTemplate
from auction.market.model import Postback, Seller

MOST_POSTBACKS = 10
"""Endpoints of one seller: each hears of every lead."""
MOST_URL = 2_048

_MACROS = Names(MACROS)


def postback_problems(seller: Seller, path: Path) -> Iterator[Problem]:
    """What is wrong with the postbacks of the seller at `path`."""
    if len(seller.postbacks) > MOST_POSTBACKS:
        yield Problem((*path, "postbacks"), f"expected at most {MOST_POSTBACKS}; take some out")
    firsts: dict[str, Path] = {}
    for at, postback in enumerate(seller.postbacks):
        here = (*path, "postbacks", at)
        error = _template_error(postback)
        if error is not None:
            yield Problem((*here, "url"), error)
        elif firsts.setdefault(postback.url, here) != here:
            error = "this URL stands twice; put its statuses together"
            yield Problem((*here, "url"), error, firsts[postback.url])
        if postback.secret is not None and (error := secret_error(postback.secret)) is not None:
            yield Problem((*here, "secret"), error)
        if len(set(postback.statuses)) < len(postback.statuses):
            yield Problem((*here, "statuses"), "a status stands twice; take one out")


def _template_error(postback: Postback) -> str | None:
    if len(postback.url) > MOST_URL:
        return f"expected a URL of at most {MOST_URL} characters"
    try:
        template = UrlTemplate.from_text(postback.url)
    except MacroError as error:
        if error.unknown is None:
            return str(error)
        return f"{error}{_MACROS.hint(error.unknown) or '; there are ' + ', '.join(MACROS)}"
    return url_error(template.sample)
