"""What is wrong with the campaigns at the door of the lead distribution API: their names there, and their fields'."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from auction.catalogue.mistakes import Names, Path, Problem
from auction.market.doors import DISTRO_NEEDED, DISTRO_OPTIONAL
from auction.market.model import Campaign


def distro_problems(campaigns: Sequence[Campaign]) -> Iterator[Problem]:
    """What is wrong with any of them. Each is called there by its id and its name, and no other may be called so."""
    ids = {campaign.id: at for at, campaign in enumerate(campaigns) if campaign.doors.distro is not None}
    named: dict[str, int] = {}
    for at, campaign in enumerate(campaigns):
        door, path = campaign.doors.distro, ("campaigns", at, "doors", "distro")
        if door is None:
            continue
        if door.name is not None:
            first = ids.get(door.name, at)
            first = named.setdefault(door.name, at) if first == at else first
            if first != at:
                error = f"another campaign is called `{door.name}` at this door"
                yield Problem((*path, "name"), error, ("campaigns", first, "id"))
        yield from _field_problems(campaign, door.fields, path)


def _field_problems(campaign: Campaign, mapped: dict[str, str], path: Path) -> Iterator[Problem]:
    known = Names(spec.name for spec in campaign.fields)
    for theirs, ours in mapped.items():
        if ours not in known:
            error = f"`{campaign.id}` has no field `{ours}`{known.hint(ours)}"
            yield Problem((*path, "fields", theirs), error)
    if campaign.unknown_fields == "ignore":
        return
    for name in (*DISTRO_NEEDED, *DISTRO_OPTIONAL):
        if name not in mapped and name not in known:
            error = (
                f"this door sends `{name}`: give the campaign that field, or say here which of its own it is"
            )
            yield Problem((*path, "fields"), error)
