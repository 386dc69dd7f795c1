"""`If-Match` and `If-None-Match`: nobody overwrites what it has not seen (RFC 9110, 13.1)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from auction.api.admin.calls import bad_fields
from auction.errors import FieldMistake, SellerError

_TAG: Final = re.compile(r'\s*(?:"(v?)([0-9a-f]{1,32})"|(\*))\s*')


class Precondition:
    """`If-Match` and `If-None-Match` of a change: what must hold of what is there. Any one tag of a list will do."""

    def __init__(self, headers: Mapping[bytes, bytes]) -> None:
        """Raises `SellerError` 422 for what is no entity tag."""
        self.is_new = headers.get(b"if-none-match", b"").strip() == b"*"
        self.any = False
        self.tags: set[str] = set()
        self._version: int | None = None
        raw = headers.get(b"if-match")
        self.given = raw is not None or self.is_new
        for one in (raw or b"").decode("latin-1").split(",") if raw is not None else ():
            self._take(one)

    def _take(self, one: str) -> None:
        found = _TAG.fullmatch(one)
        if found is None:
            raise bad_fields(
                [FieldMistake("If-Match", 'expected an ETag such as "v17", with its quotes, or *')]
            )
        if found[3]:
            self.any = True
        elif found[1]:
            self._version = int(found[2]) if found[2].isdigit() and len(found[2]) < 10 else -1
        else:
            self.tags.add(found[2])

    @property
    def version(self) -> int | None:
        """The version that the catalogue must have; of a version and tags, the tags say it more exactly."""
        return None if self.any or self.tags else self._version

    def demand(self) -> None:
        """Raises `SellerError` 428 where nothing was said."""
        if not self.given:
            raise SellerError(
                428,
                "no_precondition",
                'Say what you have seen: send the ETag of the entry, or "v" and the version, as If-Match.',
            )

    def hold(self, tag: str) -> None:
        """Raises `SellerError` 412 where the entry is in another state. (A version is looked at by whoever stores.)"""
        if self.any or tag in self.tags or self.version is not None:
            return
        raise changed_meanwhile("The entry was changed since you saw it; read it again.")


def changed_meanwhile(detail: str) -> SellerError:
    """412."""
    return SellerError(412, "changed_meanwhile", detail)
