"""What is wrong with the doors of campaigns: their names there, and their names for fields."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from auction.catalogue.mistakes import Names, Path, Problem
from auction.catalogue.references import References
from auction.market.doors import DoorNames, RouterDoor
from auction.market.model import Campaign, Seller


def door_problems(
    campaigns: Iterable[Campaign], sellers: Mapping[str, Seller], references: References
) -> Iterator[Problem]:
    """What is wrong with them; at one door each name means one campaign, ids included."""
    campaigns = list(campaigns)
    firsts: dict[tuple[str, str], tuple[str, Path]] = {}
    for at, campaign in enumerate(campaigns):
        for door, _ in _doors(campaign):
            firsts.setdefault((door, campaign.id), (campaign.id, ("campaigns", at, "id")))
    for at, campaign in enumerate(campaigns):
        for door, names in _doors(campaign):
            here: Path = ("campaigns", at, "doors", door)
            if names.name is not None:
                path = (*here, "name")
                if not names.name.strip():
                    yield Problem(path, "write what the campaign is called at this door")
                whose, first = firsts.setdefault((door, names.name.strip().casefold()), (campaign.id, path))
                if whose != campaign.id:
                    yield Problem(path, f"`{whose}` is called so at this door", first)
            yield from _field_problems(campaign, names, (*here, "fields"))
            if isinstance(names, RouterDoor) and names.keyless is not None:
                path = (*here, "keyless")
                yield from references.unknown("sellers", names.keyless, path)
                yield from _keyless_problems(campaign.id, sellers.get(names.keyless), path)


def _doors(campaign: Campaign) -> Iterator[tuple[str, DoorNames]]:
    doors = campaign.doors
    for door, names in (("router", doors.router), ("distro", doors.distro), ("leads", doors.leads)):
        if names is not None:
            yield door, names


def _field_problems(campaign: Campaign, names: DoorNames, path: Path) -> Iterator[Problem]:
    """Several of their names may mean one field: a form uses one of them."""
    known = Names(spec.name for spec in campaign.fields)
    for theirs, ours in names.fields.items():
        if ours not in known:
            yield Problem((*path, theirs), f"`{campaign.id}` has no field `{ours}`{known.hint(ours)}")


def _keyless_problems(campaign: str, seller: Seller | None, path: Path) -> Iterator[Problem]:
    if seller is None:
        return
    if seller.campaigns and campaign not in seller.campaigns:
        yield Problem(path, f"`{seller.id}` may not sell in `{campaign}`; add it to its `campaigns`")
    elif seller.rate_limit is None:
        error = f"anybody can send what needs no key: give `{seller.id}` a `rate_limit`, such as `600/minute`"
        yield Problem(path, error)
