"""The campaigns that are spoken of at one of the other doors, and what they are called there.

Found anew when the market changes, so a request costs two look-ups.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from msgspec import Struct

from auction.market.doors import DoorNames
from auction.market.market import CampaignMarket, Market, TradedSeller

Which = Literal["router", "distro", "leads"]


class AtDoor(Struct, frozen=True):
    """A campaign at a door: `name` is what it is called there, `names` how its fields are."""

    market: CampaignMarket
    name: str
    names: DoorNames

    @property
    def id(self) -> str:
        """The campaign's id."""
        return self.market.id

    def has(self, field: str) -> bool:
        """Whether the campaign has this field."""
        return any(spec.name == field for spec in self.market.campaign.fields)


class CampaignsAtDoor:
    """The campaigns of one door, in the market of now."""

    def __init__(self, which: Which, market: Callable[[], Market]) -> None:
        self._which = which
        self._market = market
        self._of: Market | None = None
        self._all: tuple[AtDoor, ...] = ()
        self._called: dict[str, AtDoor] = {}

    def all(self) -> tuple[AtDoor, ...]:
        """Every campaign that has this door, by id."""
        market = self._market()
        if market is not self._of:
            self._all = tuple(
                AtDoor(campaign, (names.name or campaign.id).strip(), names)
                for _, campaign in sorted(market.campaigns.items())
                if (names := getattr(campaign.campaign.doors, self._which)) is not None
            )
            self._called = {at.id: at for at in self._all} | {at.name.casefold(): at for at in self._all}
            self._of = market
        return self._all

    def open_to(self, seller: TradedSeller) -> list[AtDoor]:
        """Those that this seller may sell in."""
        return [at for at in self.all() if at.id in seller.campaigns]

    def called(self, said: str, seller: TradedSeller) -> AtDoor | None:
        """The one that is called so here (in any case) or has this id, if it is open to the seller."""
        self.all()
        at = self._called.get(said.strip().casefold())
        return at if at is not None and at.id in seller.campaigns else None
