"""What all entries of the catalogue are made of: the shared base, and the shapes of ids, names and keys."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

Id = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}\Z")]
FieldName = Annotated[str, Meta(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,63}\Z")]
KeyHash = Annotated[str, Meta(pattern=r"^sha256:[0-9a-f]{64}\Z")]
RateText = Annotated[str, Meta(pattern=r"^[1-9][0-9]{0,8}/(second|minute|hour|day)\Z")]
Number = Annotated[int, Meta(ge=1, le=1_000_000_000)]
"""What an entry is called at doors whose callers know numbers; it is given one where it does not say."""

KeyKind = Literal["seller", "buyer", "admin"]
"""Whose a key is."""


class Entry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What all entries share: immutable, and a key that is not known is a mistake."""
