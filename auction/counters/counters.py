"""Every step on the counters, each one atomic call.

The methods are not coroutines: a call is under way when the method returns, and what it returns is awaited
for the result. So steps that need nothing of each other begin in one turn of the loop and travel together.

All of them can fail with `CountersUnavailable`; then it is open whether the step was done. Each is safe to do
again, and what was taken in vain expires.
"""

from __future__ import annotations

from asyncio import Future
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from auction.counters import scripts
from auction.counters.answers import (
    Admitted,
    Anothers,
    Busy,
    Claimed,
    Done,
    Expired,
    Full,
    Held,
    Kept,
    Limited,
    Repeat,
    Running,
    Unknown,
    claimed,
    held,
    kept,
)
from auction.counters.calls import Argument
from auction.counters.link import Link
from auction.counters.mending import Counted, Look, Mended, Mending, amounts_of, packed_mending
from auction.counters.naming import (
    adoption_key,
    bought_key,
    marker_key,
    of_buyer,
    of_buyer_with_returns,
    ping_key,
    pings_key,
    place_name,
    requests_key,
    turns_key,
    window_name,
)
from auction.market.sellers import Rate
from auction.market.windows import CapRule

DAY_MS = 86_400_000
RETURN_TOLD_MS = 3_600_000
"""How long after a return it may be told here. Later it is left to whoever compares the counters with the ledger."""
MARKED_MS = 2 * RETURN_TOLD_MS
"""How long it is remembered that a return was told."""
MOST_WINDOWS = 64
"""The most windows that one hold may reach into: a day in hours, with clock changes, is well below."""


class Place(msgspec.Struct, frozen=True):
    """One ping's place with one order: what it would take in each of the order's and its buyer's caps.

    Keys of the caps are distinct under one buyer. Caps on pings are not looked at: they are leased.
    """

    buyer_id: str
    order_id: str
    ping_id: str
    price_micros: int
    caps: tuple[CapRule, ...]


class Counters:
    """The steps, over one link. Times are arguments throughout."""

    def __init__(self, link: Link) -> None:
        self.link = link

    # -- a seller's pings ----------------------------------------------------------------------------

    def admit(
        self,
        seller_id: str,
        rate: Rate | None,
        fingerprint: bytes | None,
        ping_id: str,
        now_ms: int,
        lease_ms: int,
    ) -> Future[Admitted | Limited | Repeat | Running]:
        """Count a ping against its seller's rate, and see whether the same ping is known.

        A new fingerprint is marked as this ping's for `lease_ms`; then `remember` or `forget` it. A repeat
        counts in the rate like any ping, a ping that was limited does not.
        """
        if rate is None:
            key, limit, left_ms, reset_ms = pings_key(seller_id), 0, 0, 0
        else:
            limit, per_ms = rate.limit, rate.per_ms
            window = now_ms // per_ms
            reset_ms = (window + 1) * per_ms
            left_ms = reset_ms - now_ms
            key = pings_key(seller_id, per_ms, window)
        keys = (key,) if fingerprint is None else (key, marker_key(seller_id, fingerprint))

        def read(reply: list[Any]) -> Admitted | Limited | Repeat | Running:
            kind, used, extra = reply
            top, left, reset = (limit, max(0, limit - used), reset_ms) if limit else (None, None, None)
            if kind == 0:
                return Admitted(top, left, reset)
            if kind == 1:
                return Limited(top, left, reset, left_ms)
            return Repeat(top, left, reset, extra) if kind == 2 else Running(top, left, reset, extra.decode())

        return self.link.run(scripts.ADMIT, read, len(keys), *keys, now_ms, ping_id, lease_ms, limit, left_ms)

    def admit_post(self, seller_id: str, rate: Rate, now_ms: int) -> Future[Admitted | Limited]:
        """Count a post against its seller's rate for posts. One that was limited is not counted."""
        return self.admit_request(f"seller:{seller_id}", "posts", rate, now_ms)

    def admit_request(self, caller: str, of: str, rate: Rate, now_ms: int) -> Future[Admitted | Limited]:
        """The same for requests of a caller (`seller:acme`) that are counted by themselves, `of` one kind or key."""
        window = now_ms // rate.per_ms
        reset_ms = (window + 1) * rate.per_ms
        left_ms = reset_ms - now_ms

        def read(reply: list[Any]) -> Admitted | Limited:
            remaining = max(0, rate.limit - reply[1])
            if reply[0] == 0:
                return Admitted(rate.limit, remaining, reset_ms)
            return Limited(rate.limit, remaining, reset_ms, left_ms)

        key = requests_key(caller, of, rate.per_ms, window)
        return self.link.run(scripts.ADMIT, read, 1, key, now_ms, "", 0, rate.limit, left_ms)

    def remember(
        self, seller_id: str, fingerprint: bytes, ping_id: str, answer: bytes, now_ms: int, until_ms: int
    ) -> Future[bool]:
        """Give `answer` to repeats of this ping until `until_ms`. False if the marker is not its own."""
        key = marker_key(seller_id, fingerprint)
        return self.link.run(scripts.REMEMBER, bool, 1, key, now_ms, ping_id, until_ms, answer)

    def forget(self, seller_id: str, fingerprint: bytes, ping_id: str) -> Future[bool]:
        """Let the same ping be auctioned anew. False if the marker is not its own by now."""
        return self.link.run(scripts.FORGET, bool, 1, marker_key(seller_id, fingerprint), ping_id)

    def offer_of(self, seller_id: str, fingerprints: Sequence[bytes], now_ms: int) -> Future[str | None]:
        """The newest ping of the seller with one of these fingerprints whose offer stands."""

        def read(reply: bytes) -> str | None:
            return reply.decode() or None

        keys = [marker_key(seller_id, one) for one in fingerprints]
        return self.link.run(scripts.OFFER_OF, read, len(keys), *keys, now_ms)

    def adopt(self, keyed: str, ping_id: str) -> Future[bytes]:
        """The request whose key makes it `keyed` is sold by the offer of this ping: so it is when it comes again."""
        return self.link.call("SET", adoption_key(keyed), ping_id, "PX", DAY_MS)

    def adopted(self, keyed: str) -> Future[bytes | None]:
        """The ping by whose offer this request is sold, if it came before."""
        return self.link.call("GET", adoption_key(keyed))

    # -- places in caps ------------------------------------------------------------------------------

    def hold(self, place: Place, now_ms: int, until_ms: int) -> Future[Held | Full]:
        """Hold the place until `until_ms` (included) in every cap and every window it could be offered in."""
        return self.link.run(
            scripts.HOLD,
            held,
            *of_buyer(place.buyer_id),
            now_ms,
            place_name(place),
            until_ms,
            *_amounts(place, now_ms, until_ms),
        )

    def keep(self, place: Place, now_ms: int) -> Future[Kept | Full]:
        """The lead is being offered: a live hold becomes permanent, and counts in the windows of now.

        Never `Full` where the hold lives. Where there is none (a runner-up, or too late) a place is taken.
        """
        return self.link.run(
            scripts.KEEP,
            kept,
            *of_buyer(place.buyer_id),
            now_ms,
            place_name(place),
            *_amounts(place, now_ms, now_ms),
        )

    def sold(self, place: Place, now_ms: int, price_micros: int) -> Future[bool]:
        """The place is sold at `price_micros`, at most the price it was held at. False if there was none."""
        return self.link.run(
            scripts.SOLD, bool, *of_buyer(place.buyer_id), now_ms, place_name(place), price_micros
        )

    def release(self, place: Place, now_ms: int) -> Future[bool]:
        """Nothing was sold: the place is given back, held or kept. False if there was none."""
        return self.link.run(scripts.RELEASE, bool, *of_buyer(place.buyer_id), now_ms, place_name(place))

    def release_held(self, place: Place, now_ms: int) -> Future[bool]:
        """The same, while the place is held and no more: False also where it is kept, by whoever offers its lead."""
        return self.link.run(
            scripts.RELEASE, bool, *of_buyer(place.buyer_id), now_ms, place_name(place), "held"
        )

    def returned(self, place: Place, offered_at_ms: int, now_ms: int) -> Future[int]:
        """A sale of this place does not count any more, in the windows of when it was offered that are open still.

        In how many it was given back now: once each, however often it is told within `RETURN_TOLD_MS` of the return.
        """
        words: list[Argument] = []
        for cap in place.caps:
            amount = place.price_micros if cap.kind == "spend" else 1
            window = cap.window(offered_at_ms)
            if cap.kind != "pings" and amount and window.end_ms > now_ms:
                words += (window_name(cap.key, window.start_ms), amount)
        keys = of_buyer_with_returns(place.buyer_id)
        return self.link.run(
            scripts.RETURN, int, *keys, now_ms, place_name(place), now_ms + MARKED_MS, *words
        )

    def peek(self, buyer_id: str, caps: Sequence[CapRule], now_ms: int) -> Future[list[tuple[str, int, int]]]:
        """`(cap key, used, limit)` of each cap now: sold and held, or pings leased."""

        def read(reply: list[bytes | None]) -> list[tuple[str, int, int]]:
            return [(cap.key, int(used or 0), cap.limit) for cap, used in zip(caps, reply, strict=True)]

        names = [window_name(cap.key, cap.window(now_ms).start_ms) for cap in caps]
        return self.link.run(scripts.PEEK, read, *of_buyer(buyer_id), now_ms, *names)

    def look(self, buyer_id: str, names: Sequence[str], now_ms: int) -> Future[Look]:
        """What is counted in these windows (`<cap key>@<start_ms>`), and which places are kept, at one moment."""

        def read(reply: list[list[bytes]]) -> Look:
            told, kept, marks = reply
            windows = {
                name: Counted(int(told[2 * at]), int(told[2 * at + 1])) for at, name in enumerate(names)
            }
            records = zip(kept[::2], kept[1::2], strict=True)
            places = {place.decode(): amounts_of(packed) for place, packed in records}
            return Look(windows, places, frozenset(mark.decode() for mark in marks))

        return self.link.run(scripts.LOOK, read, *of_buyer_with_returns(buyer_id), now_ms, *names)

    def mend(self, buyer_id: str, mending: Mending, now_ms: int) -> Future[Mended | None]:
        """Make the counters say what the ledger says; None, with nothing changed, if they moved on since the look."""

        def read(reply: list[int]) -> Mended | None:
            return Mended(*reply[1:]) if reply[0] else None

        return self.link.run(
            scripts.MEND, read, *of_buyer_with_returns(buyer_id), now_ms, packed_mending(mending)
        )

    # -- open pings ----------------------------------------------------------------------------------

    def open_ping(self, ping_id: str, record: bytes, now_ms: int, until_ms: int) -> Future[bool]:
        """Let the ping be posted until `until_ms` (included); opened again, it is as the last call said.

        False if it was claimed already (then nothing is changed).
        """
        return self.link.run(scripts.OPEN_PING, bool, 1, ping_key(ping_id), now_ms, until_ms, record)

    def discard_ping(self, ping_id: str) -> Future[int]:
        """Forget an open ping whose id nobody was told: its places could not be held after all."""
        return self.link.call("DEL", ping_key(ping_id))

    def claim(
        self,
        ping_id: str,
        claimant: str,
        fingerprint: bytes,
        now_ms: int,
        lease_ms: int,
        begins: bytes = b"",
    ) -> Future[Claimed | Busy | Done | Expired | Unknown | Anothers]:
        """Take the ping for one post; `claimant` is unique to it, `fingerprint` is of its body.

        Only a ping whose record `begins` so, behind three bytes at most: another seller's is not claimed for a moment,
        or whoever knows its id (every buyer that was asked) could keep it from being posted.
        """
        return self.link.run(
            scripts.CLAIM,
            claimed,
            1,
            ping_key(ping_id),
            now_ms,
            claimant,
            fingerprint,
            lease_ms,
            DAY_MS,
            begins,
        )

    def finish(self, ping_id: str, claimant: str, answer: bytes, keep_ms: int = DAY_MS) -> Future[bool]:
        """Store the post's answer for repeats of it. False if the claim is not this claimant's."""
        return self.link.run(scripts.FINISH, bool, 1, ping_key(ping_id), claimant, answer, keep_ms)

    def unclaim(self, ping_id: str, claimant: str) -> Future[bool]:
        """Nothing was offered: the ping opens again, if it still lives. False if not this claimant's."""
        return self.link.run(scripts.UNCLAIM, bool, 1, ping_key(ping_id), claimant)

    # -- who bought what -----------------------------------------------------------------------------

    def bought(
        self,
        campaign_id: str,
        prints: Sequence[bytes],
        order_ids: Sequence[str],
        at_ms: int,
        keep_ms: int,
    ) -> Future[bool]:
        """These orders bought a lead that is known by these prints (one at least). Safe to say again."""
        keys = [bought_key(campaign_id, one) for one in prints]
        return self.link.run(scripts.BOUGHT, bool, len(keys), *keys, at_ms, keep_ms, *order_ids)

    def forget_bought(self, campaign_id: str, prints: Sequence[bytes]) -> Future[int]:
        """Who bought a lead that is known by these prints (one at least) is not known here any more: it was given back,
        or forgotten. At the post the ledger has the word."""
        return self.link.call("DEL", *(bought_key(campaign_id, one) for one in prints))

    def who_bought(self, campaign_id: str, prints: Mapping[int, bytes]) -> Future[dict[int, dict[str, int]]]:
        """By the keys of `prints` (one at least): who bought a lead that is known by it, and when last. `ANYBODY` is
        there as often as anybody is."""

        def read(reply: list[list[bytes]]) -> dict[int, dict[str, int]]:
            return {
                at: {who.decode(): int(at_ms) for who, at_ms in zip(told[::2], told[1::2], strict=True)}
                for at, told in zip(prints, reply, strict=True)
                if told
            }

        keys = [bought_key(campaign_id, one) for one in prints.values()]
        return self.link.run(scripts.WHO_BOUGHT, read, len(keys), *keys)

    # -- turns ---------------------------------------------------------------------------------------

    def turn(self, campaign_id: str, order_ids: Sequence[str]) -> Future[list[str]]:
        """The orders (one at least), least recently chosen first; the first is chosen by this call."""

        def read(reply: list[int]) -> list[str]:
            return [order_ids[at - 1] for at in reply]

        return self.link.run(scripts.TURN, read, 1, turns_key(campaign_id), *order_ids)


def _amounts(place: Place, now_ms: int, until_ms: int) -> list[Argument]:
    """The place's caps as `places.lua` reads them, each with its windows from `now_ms` to `until_ms`."""
    words: list[Argument] = []
    for cap in place.caps:
        spend, amount = (1, place.price_micros) if cap.kind == "spend" else (0, 1)
        if cap.kind == "pings" or amount == 0:
            continue
        window = cap.window(now_ms)
        if until_ms < window.end_ms:
            name = window_name(cap.key, window.start_ms)
            words += (cap.key, spend, amount, cap.limit, 1, name, window.end_ms)
            continue
        windows = [window]
        while windows[-1].end_ms <= until_ms:
            assert len(windows) < MOST_WINDOWS, f"a hold until {until_ms} is too long for {cap!r}"
            windows.append(cap.window(windows[-1].end_ms))
        words += (cap.key, spend, amount, cap.limit, len(windows))
        for window in windows:
            words += (window_name(cap.key, window.start_ms), window.end_ms)
    return words
