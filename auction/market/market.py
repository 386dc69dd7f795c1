"""The market: the compiled, immutable snapshot of the whole catalogue that one auction runs against.

Bits are places in a campaign's orders sorted by id, so the same catalogue always compiles to the same masks:
`auction explain` compiles the version that an auction ran against and reads the masks that were kept with it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from hashlib import sha256
from types import MappingProxyType
from typing import TypeVar

import msgspec

from auction.market.campaigns import CampaignMarket, Eligibility
from auction.market.entry import KeyKind
from auction.market.model import Admin, Buyer, Campaign, Catalogue, House, Order, Seller
from auction.market.orders import OrderCompiler, TradedOrder
from auction.market.sellers import Rate, TradedSeller, traded_seller

__all__ = [
    "CampaignMarket",
    "Eligibility",
    "Market",
    "Rate",
    "TradedOrder",
    "TradedSeller",
    "compile_market",
]

Identified = TypeVar("Identified", Campaign, Seller, Buyer, Order)


class Market(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """All campaigns, sellers, buyers and orders of one version of the catalogue, by id.

    The three by key have the SHA-256 (hex) of every key that is accepted.
    """

    version: int
    catalogue: Catalogue
    house: House
    campaigns: dict[str, CampaignMarket]
    sellers: dict[str, TradedSeller]
    sellers_by_key: dict[str, TradedSeller]
    buyers_by_key: dict[str, Buyer]
    admins_by_key: dict[str, Admin]
    buyers: dict[str, Buyer]
    orders: dict[str, TradedOrder]

    def seller_of_key(self, key: str) -> TradedSeller | None:
        """The seller that this API key belongs to; None for nobody's, and for a paused seller's.

        Safe though a look-up takes other times for other keys: what is looked up is the SHA-256 of what was sent. Who
        tries keys learns at most how far the hash of a guess goes along with a stored one, and cannot steer that; a key
        of 256 random bits is not found that way. Kept are hashes alone, plain ones: nobody can guess such a key.
        """
        return self.sellers_by_key.get(sha256(key.encode()).hexdigest())

    def buyer_of_key(self, key: str) -> Buyer | None:
        """The buyer that this key belongs to; None for nobody's. A paused buyer still reads and tells what was sold."""
        return self.buyers_by_key.get(sha256(key.encode()).hexdigest())

    def admin_of_key(self, key: str) -> Admin | None:
        """The caller of the admin API that this key belongs to; None for nobody's, and for a paused one's."""
        return self.admins_by_key.get(sha256(key.encode()).hexdigest())


def compile_market(
    catalogue: Catalogue,
    version: int,
    extra_keys: Mapping[tuple[KeyKind, str], Sequence[str]] = MappingProxyType({}),
) -> Market:
    """Compiles a catalogue that has been checked.

    `extra_keys` are hashes (`sha256:...`) by kind and id, made by `auction keys create`; those of somebody whom
    the catalogue no longer has are passed over. Raises `ValueError` for what a check refuses.
    """
    buyers = _by_id(catalogue.buyers)
    compiler = OrderCompiler(catalogue.exchange)
    of_campaign: defaultdict[str, list[Order]] = defaultdict(list)
    for order in _by_id(catalogue.orders).values():
        of_campaign[order.campaign].append(order)
    campaigns = {}
    for campaign_id, campaign in _by_id(catalogue.campaigns).items():
        fields = {spec.name: spec for spec in campaign.fields}
        traded = []
        for bit, order in enumerate(sorted(of_campaign.pop(campaign_id, ()), key=lambda order: order.id)):
            buyer = buyers.get(order.buyer)
            if buyer is None:
                raise ValueError(f"order {order.id}: unknown buyer {order.buyer}")
            traded.append(compiler.compile(bit, order, buyer, fields))
        lists = [one for one in catalogue.suppression_lists if one.covers(campaign)]
        campaigns[campaign_id] = CampaignMarket(campaign, traded, lists)
    if of_campaign:
        raise ValueError(f"orders of unknown campaigns: {', '.join(sorted(of_campaign))}")
    all_campaigns = frozenset(campaigns)
    sellers = {each.id: traded_seller(each, all_campaigns) for each in _by_id(catalogue.sellers).values()}
    return Market(
        version=version,
        catalogue=catalogue,
        house=catalogue.exchange,
        campaigns=campaigns,
        sellers=sellers,
        sellers_by_key={
            key: each
            for each in sellers.values()
            if not each.seller.paused
            for key in _hashes(each.seller, extra_keys.get(("seller", each.id)))
        },
        buyers_by_key={
            key: buyer
            for buyer in buyers.values()
            for key in _hashes(buyer, extra_keys.get(("buyer", buyer.id)))
        },
        admins_by_key={
            key: admin
            for admin in catalogue.admins
            if not admin.paused
            for key in _hashes(admin, extra_keys.get(("admin", admin.id)))
        },
        buyers=buyers,
        orders={order.id: order for campaign in campaigns.values() for order in campaign.orders},
    )


def _hashes(holder: Seller | Buyer | Admin, given: Sequence[str] | None) -> Iterator[str]:
    """The hashes of all keys of one caller: those in the catalogue, and those that it was given."""
    for key in (*holder.keys, *(given or ())):
        yield key.removeprefix("sha256:")


def _by_id(entries: Iterable[Identified]) -> dict[str, Identified]:
    by_id: dict[str, Identified] = {}
    for entry in entries:
        if entry.id in by_id:
            raise ValueError(f"two entries have the id {entry.id}")
        by_id[entry.id] = entry
    return by_id
