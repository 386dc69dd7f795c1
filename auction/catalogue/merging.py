"""JSON merge patch (RFC 7396): what is sent replaces what is there, `null` takes it out, objects go key by key."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def merged(document: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    """The document after the patch. The one that is given stays as it is. The patch is not nested without end."""
    whole = dict(document)
    for key, value in patch.items():
        if value is None:
            whole.pop(key, None)
        elif isinstance(value, dict):
            before = whole.get(key)
            whole[key] = merged(before if isinstance(before, dict) else {}, value)
        else:
            whole[key] = value
    return whole
