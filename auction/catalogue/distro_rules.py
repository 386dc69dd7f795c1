"""What is wrong with the campaigns at the door of the lead distribution API: that API has fields of its own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from auction.catalogue.mistakes import Problem
from auction.market.doors import DISTRO_NEEDED, DISTRO_OPTIONAL
from auction.market.model import Campaign


def distro_problems(campaigns: Sequence[Campaign]) -> Iterator[Problem]:
    """The system fields that a campaign has no place for, where it takes nothing that it does not know."""
    for at, campaign in enumerate(campaigns):
        door = campaign.doors.distro
        if door is None or campaign.unknown_fields == "ignore":
            continue
        known = {spec.name for spec in campaign.fields}
        for name in (*DISTRO_NEEDED, *DISTRO_OPTIONAL):
            if name not in door.fields and name not in known:
                error = f"this door sends `{name}`: give the campaign that field, or say here which of its own it is"
                yield Problem(("campaigns", at, "doors", "distro", "fields"), error)
