"""What the counters answer: one small struct for each way a step can end. Instants are ms since the epoch."""

from __future__ import annotations

from typing import Any

import msgspec


class Quota(msgspec.Struct, frozen=True):
    """Where a seller stands in its rate limit: pings left until `reset_ms`. All None without a limit."""

    limit: int | None
    remaining: int | None
    reset_ms: int | None


class Admitted(Quota, frozen=True):
    """A new ping: auction it."""


class Limited(Quota, frozen=True):
    """Over the rate limit: again after `retry_after_ms` (a duration)."""

    retry_after_ms: int


class Repeat(Quota, frozen=True):
    """The same ping was answered, and the answer still holds."""

    answer: bytes


class Running(Quota, frozen=True):
    """The same ping is being auctioned at this moment, as `ping_id`."""

    ping_id: str


class Held(msgspec.Struct, frozen=True):
    """The place is held in every cap (or was so already)."""


class Kept(msgspec.Struct, frozen=True):
    """The place stays until it is sold or released."""


class Full(msgspec.Struct, frozen=True):
    """No place in the cap `cap_key`; no expiry makes one before `free_at_ms` (a release can at any time).

    `room` is what is left in it, too little for this place: micros of spend that a cheaper one may fit into.
    """

    cap_key: str
    free_at_ms: int
    room: int = 0


class Claimed(msgspec.Struct, frozen=True):
    """The ping is the claimant's to post: what `open_ping` stored."""

    record: bytes


class Busy(msgspec.Struct, frozen=True):
    """Another post of this ping is under way, `claimant`'s. `lapsed`: its lease ran out, its worker may have died."""

    same_body: bool
    lapsed: bool
    claimant: str


class Done(msgspec.Struct, frozen=True):
    """This ping's post was answered so."""

    answer: bytes
    same_body: bool


class Expired(msgspec.Struct, frozen=True):
    """The offer's time is over."""


class Anothers(msgspec.Struct, frozen=True):
    """The ping is not this seller's."""


class Unknown(msgspec.Struct, frozen=True):
    """No ping of this id is known (any more)."""


HELD = Held()
KEPT = Kept()
EXPIRED = Expired()
UNKNOWN = Unknown()
ANOTHERS = Anothers()


def held(reply: int | list[Any]) -> Held | Full:
    """The reply of `hold.lua`."""
    return HELD if isinstance(reply, int) else full(reply)


def kept(reply: int | list[Any]) -> Kept | Full:
    """The reply of `keep.lua`."""
    return KEPT if isinstance(reply, int) else full(reply)


def full(reply: list[Any]) -> Full:
    """A cap that has no place, as the scripts tell it."""
    return Full(reply[0].decode(), reply[1], int(reply[2]))


def claimed(reply: list[Any]) -> Claimed | Busy | Done | Expired | Unknown | Anothers:
    """The reply of `claim.lua`."""
    kind = reply[0]
    if kind == 0:
        return Claimed(reply[1])
    if kind == 1:
        return Busy(same_body=reply[1] == 1, lapsed=reply[2] == 1, claimant=reply[3].decode())
    if kind == 2:
        return Done(reply[2], same_body=reply[1] == 1)
    if kind == 5:
        return ANOTHERS
    return EXPIRED if kind == 3 else UNKNOWN
