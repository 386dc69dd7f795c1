"""URLs of sellers with macros in them, such as `https://tracker.example/p?id={sub_id}&pay={payout}`. Pure.

A macro stands behind the host only: whoever chooses a `sub_id` must not choose whom we call. What it stands for is
percent-encoded down to the letters that need no encoding anywhere, so it can end neither its parameter nor its path.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Self
from urllib.parse import quote

import msgspec

MACROS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "lead_id": "the lead",
        "ping_id": "its ping",
        "event_id": "this change of the lead's status, the same however often it is sent",
        "status": "sold, rejected, pending, delivered, converted or returned",
        "told": "what a buyer told that changed it: delivered, converted, returned (by one buyer, a shared lead is "
        "still sold)",
        "payout": "what the lead earns its seller now, such as 25.20",
        "currency": "of all amounts, such as USD",
        "value": "what a conversion was worth, as its buyer told",
        "reason": "why it was rejected or returned, in a word",
        "sub_id": "the seller's own, from the ping",
        "campaign": "the campaign's id",
        "seller": "the seller's id",
        "test": "true or false",
        "at": "when it happened, such as 2026-01-01T12:00:00.000Z",
        "timestamp": "the same in seconds since the epoch",
    }
)
"""Every macro, and what it stands for. What is not known is the empty text."""

_PART = re.compile(r"\{([^{}]*)\}")
_ORIGIN = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^/?#]*")


class MacroError(ValueError):
    """A template that cannot be used: a sentence for the operator. `unknown` is the macro that there is not."""

    def __init__(self, sentence: str, unknown: str | None = None) -> None:
        super().__init__(sentence)
        self.unknown = unknown


class UrlTemplate(msgspec.Struct, frozen=True):
    """A URL in parts: texts, and between each two of them a macro."""

    texts: tuple[str, ...]
    macros: tuple[str, ...]

    @classmethod
    def from_text(cls, text: str) -> Self:
        """Raises `MacroError` for the first thing that is wrong with the macros (not for what is with the URL)."""
        found = _PART.split(text)
        texts, macros = tuple(found[::2]), tuple(found[1::2])
        for macro in macros:
            if macro not in MACROS:
                raise MacroError(f"there is no macro `{{{macro}}}`", macro)
        if any("{" in part or "}" in part for part in texts):
            raise MacroError(
                "a `{` or `}` stands alone; write macros as {lead_id}, and braces as %7B and %7D"
            )
        origin = _ORIGIN.match(text)
        if origin is not None and "{" in origin[0]:
            raise MacroError("macros may stand only behind the host, in the path or the query")
        return cls(texts, macros)

    def fill(self, values: Mapping[str, str]) -> str:
        """The URL with these values; a macro without one is empty."""
        filled = [self.texts[0]]
        for macro, text in zip(self.macros, self.texts[1:], strict=True):
            filled += (quote(values.get(macro, ""), safe=""), text)
        return "".join(filled)

    @property
    def sample(self) -> str:
        """The URL with every macro filled with a letter: what is left to check is an ordinary URL."""
        return "x".join(self.texts)
