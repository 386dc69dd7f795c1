"""The trading floor: one market with what this process needs to trade on it.

A change of the catalogue makes a new floor and swaps it in; an auction keeps the floor that it started on. What is
known about full caps lives here and starts empty with each floor, because a change may have raised a cap.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from auction.buyers.protocol import order_json
from auction.buyers.signing import Signer, resolve_secret
from auction.buyers.target import Target, compile_target
from auction.errors import OperatorError
from auction.market.market import CampaignMarket, Market, TradedOrder
from auction.market.model import Buyer
from auction.ping.hashes import Hashes

RECHECK_MS = 1_000
"""A full order is tried again after this, whatever was said: places come back by releases and by returns."""


class Ask(msgspec.Struct, frozen=True, gc=False):
    """How one live order is asked: where, how long it may take, its name as JSON, who signs.

    `hash_key` is that of its buyer's hashes, where its campaign has fields that go out as such.
    """

    target: Target
    timeout_ms: int
    order_json: bytes
    signer: Signer | None
    hash_key: bytes = b""


class Floor:
    """A market, how each live order is asked, and which orders are known to be full just now."""

    def __init__(self, market: Market, environ: Mapping[str, str], hashes: Hashes) -> None:
        """`environ` fills in the `env:NAME` of buyers' secrets. Raises `OperatorError` naming all that are not set."""
        self.market = market
        self.hashes = hashes
        self._headers, self._secrets = _resolved(market.buyers.values(), environ)
        signers = {id_: _signer(market.buyers[id_], secret) for id_, secret in self._secrets.items()}
        self.buyer_masks: dict[str, dict[str, int]] = {campaign: {} for campaign in market.campaigns}
        for order in market.orders.values():
            masks = self.buyer_masks[order.campaign_id]
            masks[order.buyer_id] = masks.get(order.buyer_id, 0) | 1 << order.bit
        self.asks: dict[str, Ask] = {}
        self._full: dict[str, dict[int, tuple[int, int]]] = {campaign: {} for campaign in market.campaigns}
        targets: dict[str, Target] = {}
        for order in market.orders.values():
            buyer = order.buyer
            if not order.live or not buyer.ping_url:
                continue
            if buyer.id not in targets:  # once a buyer: with many orders this is what a new floor costs
                headers = self._headers[buyer.id]
                targets[buyer.id] = compile_target(buyer.ping_url, headers, buyer.timeout_ms, buyer.ca_file)
            signer = signers.get(buyer.id)
            hashing = market.campaigns[order.campaign_id].hashed_fields
            hash_key = hashes.buyer_key(buyer.id) if hashing else b""
            self.asks[order.id] = Ask(
                targets[buyer.id], buyer.timeout_ms, order_json(order.id), signer, hash_key
            )

    def headers_of(self, buyer_id: str) -> Mapping[str, str]:
        """What every request to this buyer carries, its secrets filled in."""
        return self._headers[buyer_id]

    def secret_of(self, buyer_id: str) -> str | None:
        """What requests to this buyer are signed with, if they are."""
        return self._secrets.get(buyer_id)

    def known_full(self, campaign: CampaignMarket, now_ms: int, lowest_price_micros: int) -> int:
        """The mask of orders that a hold found full, until they may have room again.

        A spend cap that a dear bid found full may have room for a cheaper one: its order is left out only where no
        price that it may bid, at least `lowest_price_micros`, fits.
        """
        full = self._full[campaign.id]
        if not full:
            return 0
        mask = 0
        for bit, (free_at_ms, room) in list(full.items()):
            if not 0 < free_at_ms - now_ms <= RECHECK_MS:  # or the clock was set back
                del full[bit]
            elif (campaign.orders[bit].fixed_micros or lowest_price_micros or 1) > room:
                mask |= 1 << bit
        return mask

    def note_full(self, order: TradedOrder, free_at_ms: int, room: int, now_ms: int) -> None:
        """A hold on `order` was refused: a cap with `room` left (spend in micros, else 0) till about `free_at_ms`."""
        self._full[order.campaign_id][order.bit] = (min(free_at_ms, now_ms + RECHECK_MS), room)


def _resolved(
    buyers: Iterable[Buyer], environ: Mapping[str, str]
) -> tuple[dict[str, dict[str, str]], dict[str, str]]:
    """Buyers' headers and signing secrets, by buyer. Raises `OperatorError`, a line for each that cannot be had."""
    headers: dict[str, dict[str, str]] = {}
    secrets: dict[str, str] = {}
    faults: dict[str, None] = {}

    def read(text: str) -> str:
        try:
            return resolve_secret(text, environ)
        except OperatorError as error:
            faults[error.detail] = None
            return ""

    for buyer in buyers:
        headers[buyer.id] = {name: read(value) for name, value in buyer.headers.items()}
        if buyer.signing_secret:
            secrets[buyer.id] = read(buyer.signing_secret)
    if faults:
        raise OperatorError("secret", "\n".join(faults))
    return headers, secrets


def _signer(buyer: Buyer, secret: str) -> Signer:
    try:
        return Signer(secret)
    except OperatorError as error:
        raise OperatorError(error.code, f"buyer {buyer.id}: {error.detail}") from None
