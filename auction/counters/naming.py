"""What everything in the counters is called: their keys, and the names that stand in these. Nothing else names them.

A key begins with its tag, in braces. All keys of one step have one tag, so a step touches one slot of a Cluster
(`scripts`). How what is in a key is written, the script in brackets tells; `goes` says when it is forgotten.

{buyer:B}:counts       hash    window -> sold + held, or pings leased; and `RETURNS` (places.lua)
                               goes: each count a day after the end of its window
{buyer:B}:ends         zset    the same windows, by their ends. Goes: with them
{buyer:B}:holds        zset    places that can expire, by when. Goes: each then
{buyer:B}:places       hash    place -> what it takes of which windows
                               goes: each when its hold expires, when it is sold or released
{buyer:B}:returned     zset    marks of returns, by how long they are kept (return.lua). Goes: each then

{seller:S}:rate:MS:N   string  how many pings in the Nth window of MS of its rate (admit.lua)
                               goes: a minute after the window
{CALLER}:OF:MS:N       string  the same of other requests: a seller's `posts`, or those of one key at one door
{seller:S}:ping:PRINT  string  the marker of a ping: it runs, or its answer (admit.lua)
                               goes: a minute after its lease, or its offer
{CALLER}:keys          hash    requests that came under a key (begin_key.lua)
{CALLER}:keys:ends     zset    the same, by when they are forgotten
{CALLER}:keys:bytes    string  how long they are together. Goes: each request after a day; all three a minute later

{ping:P}               hash    an open ping, who claimed it, that it was answered (open_ping.lua)
                               goes: 10 minutes after its offer, or a day after it was claimed or answered
{ping:KEYED}:offer     string  the ping by whose offer a request under a key is sold. Goes: after a day

{campaign:C}:bought:PRINT  hash    order, or `ANYBODY` -> when it last bought a lead with this print (bought.lua)
                                   goes: when no rule of the campaign reaches back so far
{campaign:C}:turns         hash    order -> when it was last chosen (turn.lua). Stays

{house}                hash    for which ledger and which run of the server all this is good (settle_era.lua). Stays
{house}:rebuild        string  the mark of the worker that rebuilds. Goes: 6 seconds after he was last heard of
{house}:reconcile      string  that nobody need compare the counters yet. Goes: when somebody is to
{house}:recalled       hash    rule on duplicates -> how far back the counters were told of sales. Goes: at a rebuild
{house}:recalling      string  the mark of whoever tells it. Goes: at a rebuild; 30 seconds after he was last heard of
{house}:ready          string  nothing: that it could be written. Goes: after a second

A CALLER is such as `seller:acme`. Names are made for every ping, so what makes them is kept short.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Protocol

HOUSE = "{house}"
REBUILD = "{house}:rebuild"
RECONCILE = "{house}:reconcile"
RECALLED, RECALLING = "{house}:recalled", "{house}:recalling"
READY = "{house}:ready"

RETURNS = "returns"
"""Among a buyer's counts, that of changes by returns: no window's name (return.lua)."""
ANYBODY = "#"
"""Stands for any order, in who bought what (bought.lua)."""


# -- keys of one buyer, in the order in which places.lua reads them -------------------------------------


@lru_cache(maxsize=4096)
def of_buyer(buyer_id: str) -> tuple[int | str, ...]:
    """Its counts, ends, holds and places, with their number in front."""
    return (4, *(f"{{buyer:{buyer_id}}}:{part}" for part in ("counts", "ends", "holds", "places")))


def of_buyer_with_returns(buyer_id: str) -> tuple[int | str, ...]:
    """The same, and the marks of returns."""
    return (5, *of_buyer(buyer_id)[1:], f"{{buyer:{buyer_id}}}:returned")


class OfPlace(Protocol):
    """Whatever a place is held for, or was."""

    @property
    def ping_id(self) -> str: ...

    @property
    def order_id(self) -> str: ...


# -- names that stand in them ---------------------------------------------------------------------------


def window_name(cap_key: str, start_ms: int) -> str:
    """The window of a cap that begins then. A cap's key tells it from all others under its buyer."""
    return f"{cap_key}@{start_ms}"


def cap_key_of(window: str) -> str:
    """The key of the cap that this window is of."""
    return window.rpartition("@")[0]


def place_name(of: OfPlace) -> str:
    """The place of one ping with one order."""
    return f"{of.ping_id}/{of.order_id}"


def mark_name(place: str, window: str) -> str:
    """The mark that a place's return was given back in one window."""
    return f"{place} {window}"


# -- keys of sellers and other callers ------------------------------------------------------------------


def pings_key(seller_id: str, per_ms: int = 0, number: int = 0) -> str:
    """How many pings the seller sent in this window of its rate, the `number`th since the epoch. Without a rate nothing
    is written there."""
    return f"{{seller:{seller_id}}}:rate:{per_ms}:{number}"


def requests_key(caller: str, of: str, per_ms: int, number: int) -> str:
    """The same of other requests, `of` one kind or one key."""
    return f"{{{caller}}}:{of}:{per_ms}:{number}"


def marker_key(seller_id: str, fingerprint: bytes) -> str:
    """The marker of a ping of the seller."""
    return f"{{seller:{seller_id}}}:ping:{fingerprint.hex()}"


def request_keys(caller: str) -> tuple[int | str, ...]:
    """The requests of a caller that came under a key, as begin_key.lua reads them, with their number in front."""
    return (3, f"{{{caller}}}:keys", f"{{{caller}}}:keys:ends", f"{{{caller}}}:keys:bytes")


# -- keys of one ping, and of one campaign --------------------------------------------------------------


def ping_key(ping_id: str) -> str:
    """The open ping. A direct lead that came under a key is one too, by what the key makes of its id."""
    return f"{{ping:{ping_id}}}"


def adoption_key(keyed: str) -> str:
    """The ping by whose offer the request is sold whose key makes it `keyed`."""
    return f"{{ping:{keyed}}}:offer"


def bought_key(campaign_id: str, print_of: bytes) -> str:
    """Who bought leads with this print: half of it tells them apart."""
    return f"{{campaign:{campaign_id}}}:bought:{print_of[:16].hex()}"


def turns_key(campaign_id: str) -> str:
    """Whose turn it is among equals."""
    return f"{{campaign:{campaign_id}}}:turns"
