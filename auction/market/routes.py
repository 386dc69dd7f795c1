"""Lead routes: to whom the leads of a source go first. Teams of buyers, sources, and the routes that join them."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from auction.market.entry import Entry, FieldName, Id, Number


def folded(word: str) -> str:
    """A word as it is compared: whatever its case, and the space around it."""
    return word.strip().casefold()


class RoutedBy(Entry, frozen=True, kw_only=True):
    """The ping fields of a campaign by which lead routes tell its leads apart: where a lead comes from, by which way
    the person came to it, what the route's `filter` is held against, and the zip code that teams cover.
    """

    source: FieldName
    contact_source: FieldName | None = None
    filter: FieldName | None = None
    zip: FieldName | None = None


class Team(Entry, frozen=True, kw_only=True):
    """Buyers that are asked together. `zips` are the zip codes that the team covers; a shorter one covers all that
    begin with it. The other keys are kept for those who read them by the lead routes' API.
    """

    id: Id
    name: str
    buyers: tuple[Id, ...]
    zips: tuple[Annotated[str, Meta(pattern=r"^[0-9]{1,5}\Z")], ...] = ()
    is_sharing_contacts: bool = False
    order_method: Annotated[int, Meta(ge=0, le=100)] = 1
    mins_until_next_alert: Annotated[int, Meta(ge=0, le=10_080)] = 0
    number: Number | None = None


class Source(Entry, frozen=True, kw_only=True):
    """Where leads come from. `kind` says which of the routing fields names it: `lead` (`source`) or `contact`
    (`contact_source`). `values` are what that field says for it, where that is not its name or id. `buyers` are those
    who may route its leads by their own keys; the operator always may.
    """

    id: Id
    name: str
    kind: Literal["lead", "contact"] = "lead"
    values: tuple[str, ...] = ()
    buyers: tuple[Id, ...] = ()
    number: Number | None = None

    @property
    def words(self) -> frozenset[str]:
        """All that a lead may say for it, as `folded`."""
        return frozenset(map(folded, (self.id, self.name, *self.values)))


class LeadRoute(Entry, frozen=True, kw_only=True):
    """Leads of `source` (and `contact_source`, `campaign`, `filter`, where they are named) go first to a team, or to
    the owner alone (`myself`), or to nobody (`none`).

    The team is `team` itself (`select: team`) or the one whose zip codes cover the lead (`select: zip`). `made_by`
    tells routes that the owner made at the lead routes' door: the owner alone changes them there, and files that do
    not name them leave them alone.
    """

    id: Id
    owner: Id
    target: Literal["team", "myself", "none"]
    select: Literal["team", "zip"] | None = None
    team: Id | None = None
    source: Id | None = None
    contact_source: Id | None = None
    campaign: Id | None = None
    filter: str | None = None
    made_by: Literal["operator", "owner"] = "operator"
    number: Number | None = None
