"""The atomic steps: one `.lua` file each, read once, called by the hash of its text.

A step is what must happen whole or not at all. Each touches keys of one hash tag only (`{buyer:…}`,
`{seller:…}`, `{ping:…}`, `{campaign:…}`), so it runs on a Cluster as it does on one server, and each is told
the time: no script asks the server's clock, and what it decides never hangs on a key's TTL. TTLs are
house-keeping, with slack.

Lua has no include: the steps that share `places.lua` (and `standing.lua`) are sent with it in front.
"""

from __future__ import annotations

import hashlib
from importlib.resources import files

import msgspec

_FOLDER = files(__package__)


class Script(msgspec.Struct, frozen=True):
    """One step: its name, its text, and the hash by which the server knows the text."""

    name: str
    source: bytes
    sha: bytes


def _script(name: str, *, after: tuple[str, ...] = ()) -> Script:
    source = b"\n".join(_FOLDER.joinpath(f"{part}.lua").read_bytes() for part in (*after, name))
    return Script(name, source, hashlib.sha1(source, usedforsecurity=False).hexdigest().encode())


ADMIT = _script("admit")
REMEMBER = _script("remember")
FORGET = _script("forget")
OFFER_OF = _script("offer_of")
HOLD = _script("hold", after=("places",))
KEEP = _script("keep", after=("places",))
SOLD = _script("sold", after=("places",))
RELEASE = _script("release", after=("places",))
RETURN = _script("return", after=("places",))
PEEK = _script("peek", after=("places",))
LEASE = _script("lease", after=("places",))
RAISE = _script("raise", after=("places",))
LOOK = _script("look", after=("places", "standing"))
MEND = _script("mend", after=("places", "standing"))
BOUGHT = _script("bought")
WHO_BOUGHT = _script("who_bought")
OPEN_PING = _script("open_ping")
CLAIM = _script("claim")
FINISH = _script("finish")
UNCLAIM = _script("unclaim")
TURN = _script("turn")
BEGIN_KEY = _script("begin_key")
END_KEY = _script("end_key")
SETTLE_ERA = _script("settle_era")

ALL = tuple(named for named in list(globals().values()) if isinstance(named, Script))
