"""One campaign, ready for auctions: its orders as bits of a mask, and which of them may be asked."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from auction.market.duplicates import duplicates_of
from auction.market.eligibility import FilterIndex
from auction.market.fields import LeadDecoder
from auction.market.filters import parse
from auction.market.hours import Hours
from auction.market.masks import Bounds, mask_of, pack, unpack
from auction.market.model import AuctionRules, Campaign, FieldValue, SuppressionList
from auction.market.orders import TradedOrder
from auction.market.reasons import Reason
from auction.market.routing import EVERYONE, Routing
from auction.market.windows import FOREVER_MS


class Eligibility(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """Who may be asked, and at which step each of the others fell out.

    Every order of `all` is in exactly one of the other masks. The steps are in the order of the fields, so an
    order that is both paused and closed is in `paused`.
    """

    all: int
    routed: int = 0
    seller: int
    paused: int
    closed: int
    filtered: int
    full: int
    unhealthy: int
    exclusive_only: int
    below_floor: int
    eligible: int

    def why_not(self, bit: int) -> Reason | None:
        """Why this order is not asked; None if it is eligible (or not of this market)."""
        place = 1 << bit
        for mask, reason in (
            (self.routed, Reason.ROUTE),
            (self.seller, Reason.SELLER),
            (self.paused, Reason.PAUSED),
            (self.closed, Reason.CLOSED),
            (self.filtered, Reason.FILTERED),
            (self.full, Reason.CAP_FULL),
            (self.unhealthy, Reason.UNHEALTHY),
            (self.exclusive_only, Reason.WANTS_EXCLUSIVE),
            (self.below_floor, Reason.MAX_BELOW_FLOOR),
        ):
            if mask & place:
                return reason
        return None

    def to_bytes(self) -> bytes:
        """Compact, for the auction log: `filtered` is what the other masks leave, so it is left out."""
        kept: tuple[int, ...] = (
            self.seller,
            self.paused,
            self.closed,
            self.full,
            self.unhealthy,
            self.exclusive_only,
            self.below_floor,
            self.eligible,
        )
        if self.routed:  # last, and only where there is one: rows from before there were routes have none
            kept += (self.routed,)
        return msgspec.msgpack.encode((self.all.bit_length(), [pack(mask) for mask in kept]))

    @classmethod
    def from_bytes(cls, data: bytes) -> Eligibility:
        """What `to_bytes` wrote. Raises `msgspec.MsgspecError` or `ValueError` for anything else."""
        count, packed = _PACKED.decode(data)
        masks = [unpack(part) for part in packed]
        if len(masks) not in (8, 9):
            raise ValueError("not an eligibility")
        everyone = (1 << count) - 1
        named = 0
        for mask in masks:
            named |= mask
        seller, paused, closed, full, unhealthy, exclusive_only, below_floor, eligible, *routed = masks
        return cls(
            all=everyone,
            routed=routed[0] if routed else 0,
            seller=seller,
            paused=paused,
            closed=closed,
            filtered=everyone & ~named,
            full=full,
            unhealthy=unhealthy,
            exclusive_only=exclusive_only,
            below_floor=below_floor,
            eligible=eligible,
        )


_PACKED = msgspec.msgpack.Decoder(tuple[int, list[bytes | list[int]]])


class CampaignMarket:
    """One campaign with its orders. Immutable, but for what it remembers of the hours.

    `orders` are sorted by id, and an order's bit is its place. `ping_fields` are those that buyers are sent in pings,
    `hashed_fields` those of which they are sent a hash, `later_fields` all others. `inbound` is its own filter,
    `ping_lists` the suppression lists that a ping can be looked up in; `guarded`: there is something that keeps a lead
    from everybody.
    """

    __slots__ = (
        "_all",
        "_excluded",
        "_excluded_others",
        "_exclusive_only",
        "_index",
        "_maxima",
        "_openings",
        "_paused",
        "campaign",
        "decoder",
        "duplicates",
        "guarded",
        "hashed_fields",
        "id",
        "inbound",
        "later_fields",
        "orders",
        "ping_duplicates",
        "ping_fields",
        "ping_lists",
        "routing",
        "rules",
        "suppression_lists",
        "tier_masks",
        "tiers",
    )

    def __init__(
        self,
        campaign: Campaign,
        orders: Sequence[TradedOrder],
        suppression_lists: Sequence[SuppressionList] = (),
        routing: Routing | None = None,
    ) -> None:
        assert [order.bit for order in orders] == list(range(len(orders)))
        self.id: str = campaign.id
        self.campaign: Campaign = campaign
        self.rules: AuctionRules = campaign.auction
        self.decoder = LeadDecoder(campaign.fields, campaign.unknown_fields)
        self.ping_fields: tuple[str, ...] = tuple(spec.name for spec in campaign.fields if spec.in_ping)
        self.hashed_fields: tuple[str, ...] = tuple(
            spec.name for spec in campaign.fields if spec.hashed_in_ping
        )
        self.later_fields: frozenset[str] = frozenset(
            spec.name for spec in campaign.fields if not (spec.in_ping or spec.hashed_in_ping)
        )
        self.orders: tuple[TradedOrder, ...] = tuple(orders)
        self.suppression_lists: tuple[SuppressionList, ...] = tuple(suppression_lists)
        self.routing = routing
        specs = {spec.name: spec for spec in campaign.fields}
        self.inbound = None if campaign.filter is None else parse(campaign.filter, specs)
        self.duplicates = duplicates_of(campaign, self.orders)
        told = {*self.ping_fields, *self.hashed_fields}
        self.ping_lists = tuple(one for one in self.suppression_lists if not told.isdisjoint(one.fields))
        at_ping = self.duplicates is not None and self.duplicates.at_ping
        self.ping_duplicates = self.duplicates if at_ping else None
        self.guarded = bool(self.inbound or self.ping_duplicates or self.ping_lists)
        width = len(orders)
        self._all = (1 << width) - 1
        self._paused = mask_of((order.bit for order in orders if order.paused), width)
        self._exclusive_only = (
            mask_of((order.bit for order in orders if order.exclusive), width)
            if campaign.auction.mode == "shared"
            else 0
        )
        self._excluded, self._excluded_others = _excluded(orders)
        self._maxima = Bounds({order.bit: order.max_micros for order in orders}, width)
        self._openings = _Openings(orders)
        after_ping = frozenset(spec.name for spec in campaign.fields if not spec.in_ping)
        self._index = FilterIndex([order.filter for order in orders], after_ping)
        self.tiers: tuple[int, ...] = tuple(sorted({order.tier for order in orders}))
        self.tier_masks: dict[int, int] = {
            tier: mask_of((order.bit for order in orders if order.tier == tier), width) for tier in self.tiers
        }

    def open_mask(self, now_ms: int) -> int:
        """The orders within their hours."""
        return self._openings.mask(now_ms)

    def turns(self, eligible: int, first: int = 0) -> list[int]:
        """The masks of those that are asked together, one after the other: by tiers, those of `first` before all
        others.
        """
        masks = self.tier_masks.values()
        if not first:
            return _turns(masks, eligible)
        ahead = eligible & first
        return _turns(masks, ahead) + _turns(masks, eligible ^ ahead)

    def eligible(
        self,
        values: Mapping[str, FieldValue],
        now_ms: int,
        seller_id: str,
        *,
        full: int,
        unhealthy: int,
        lowest_price_micros: int,
        allowed: int = EVERYONE,
    ) -> Eligibility:
        """Who may be asked to bid for a lead with these ping values.

        `full` and `unhealthy` are masks of what the caller knows of caps and buyers; `lowest_price_micros` is
        the lowest price at which anything can be sold here, so an order that can never bid it is not asked.
        `allowed` is the mask of those that a lead route leaves.
        """
        left, routed = self._all, 0
        if allowed != EVERYONE:
            left ^= (routed := left & ~allowed)
        left ^= (seller := left & self._excluded.get(seller_id, self._excluded_others))
        left ^= (paused := left & self._paused)
        left ^= (closed := left ^ (left & self._openings.mask(now_ms)))
        left ^= (filtered := left ^ (left & self._index.match(values)))
        left ^= (full_now := left & full)
        left ^= (unhealthy_now := left & unhealthy)
        left ^= (exclusive_only := left & self._exclusive_only)
        left ^= (below_floor := left & self._maxima.below(lowest_price_micros))
        return Eligibility(
            all=self._all,
            routed=routed,
            seller=seller,
            paused=paused,
            closed=closed,
            filtered=filtered,
            full=full_now,
            unhealthy=unhealthy_now,
            exclusive_only=exclusive_only,
            below_floor=below_floor,
            eligible=left,
        )


def _turns(masks: Iterable[int], eligible: int) -> list[int]:
    return [turn for mask in masks if (turn := eligible & mask)]


def _excluded(orders: Sequence[TradedOrder]) -> tuple[dict[str, int], int]:
    """For each seller that some order names, the orders that refuse its leads; and those of other sellers."""
    width = len(orders)
    choosy = mask_of((order.bit for order in orders if order.order.sellers), width)
    chosen: defaultdict[str, list[int]] = defaultdict(list)
    refused: defaultdict[str, list[int]] = defaultdict(list)
    for order in orders:
        for seller_id in order.order.sellers:
            chosen[seller_id].append(order.bit)
        for seller_id in order.order.not_sellers:
            refused[seller_id].append(order.bit)
    excluded = {
        seller_id: choosy & ~mask_of(chosen.get(seller_id, ()), width)
        | mask_of(refused.get(seller_id, ()), width)
        for seller_id in chosen.keys() | refused.keys()
    }
    return excluded, choosy


class _Openings:
    """The orders within their hours, remembered until the next of them opens or closes."""

    __slots__ = ("_from_ms", "_groups", "_mask", "_until_ms", "_untils_ms")

    def __init__(self, orders: Iterable[TradedOrder]) -> None:
        groups: defaultdict[Hours, int] = defaultdict(int)
        for order in orders:
            groups[order.hours] |= 1 << order.bit
        self._groups = tuple(groups.items())
        self._untils_ms = [0] * len(self._groups)
        self._mask = 0
        self._from_ms = self._until_ms = 0

    def mask(self, now_ms: int) -> int:
        if not self._from_ms <= now_ms < self._until_ms:
            self._look(now_ms)
        return self._mask

    def _look(self, now_ms: int) -> None:
        """Asks again those whose answer may have changed: all of them if time went backwards."""
        back = now_ms < self._from_ms
        for at, (hours, mask) in enumerate(self._groups):
            if back or self._untils_ms[at] <= now_ms:
                self._mask = self._mask | mask if hours.is_open(now_ms) else self._mask & ~mask
                self._untils_ms[at] = hours.next_change_ms(now_ms) or FOREVER_MS
        self._from_ms = now_ms
        self._until_ms = min(self._untils_ms, default=FOREVER_MS)
