"""What is wrong with a suppression list: its fields must be there, and of one kind, for its entries are of one kind."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from auction.catalogue.mistakes import Names, Path, Problem
from auction.market.model import Campaign, FieldType, SuppressionList

LISTED: frozenset[FieldType] = frozenset({"phone", "email", "us_zip", "text", "url"})
"""Types whose values can stand in a list."""


def campaigns_of(one: SuppressionList, campaigns: Sequence[Campaign]) -> list[Campaign]:
    """The campaigns whose leads are looked up in the list."""
    return [campaign for campaign in campaigns if one.covers(campaign)]


def suppression_problems(
    one: SuppressionList, campaigns: Sequence[Campaign], path: Path
) -> Iterator[Problem]:
    """What is wrong with the list at `path`, its campaigns being there."""
    if not one.fields:
        yield Problem((*path, "fields"), "name at least one field, such as [phone]")
    looked_up = campaigns_of(one, campaigns)
    specs = [spec for campaign in looked_up for spec in campaign.fields]
    known = Names(spec.name for spec in (specs or [spec for each in campaigns for spec in each.fields]))
    types: dict[FieldType, str] = {}
    for at, name in enumerate(one.fields):
        found = [spec for spec in specs if spec.name == name]
        if not found:
            yield Problem(
                (*path, "fields", at), f"no campaign of this list has a field `{name}`{known.hint(name)}"
            )
        for spec in found:
            if spec.type not in LISTED:
                error = f"`{name}` is of type {spec.type}; a list is of phones, emails, zips, urls or texts"
                yield Problem((*path, "fields", at), error)
                break
            types.setdefault(spec.type, name)
    if len(types) > 1:
        told = " and ".join(f"`{name}` of type {kind}" for kind, name in types.items())
        yield Problem((*path, "fields"), f"the fields of a list are of one type; here are {told}")


def type_of(one: SuppressionList, campaigns: Sequence[Campaign]) -> FieldType:
    """The type of a list's entries; of a list that was checked."""
    for campaign in campaigns_of(one, campaigns):
        for spec in campaign.fields:
            if spec.name in one.fields:
                return spec.type
    raise AssertionError(f"{one.id} has no fields")
