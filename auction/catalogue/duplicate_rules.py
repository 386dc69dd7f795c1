"""What is wrong with a rule on duplicates: a campaign's, or an order's in it."""

from __future__ import annotations

from collections.abc import Iterator

from auction.catalogue.mistakes import Names, Path, Problem
from auction.market.model import Campaign, DuplicateRules


def duplicate_problems(rules: DuplicateRules | None, campaign: Campaign, path: Path) -> Iterator[Problem]:
    """What is wrong with the rules at `path`, which are about the leads of this campaign."""
    if rules is None:
        return
    if not rules.fields:
        yield Problem((*path, "fields"), "name at least one field, such as [phone]")
    known = Names(spec.name for spec in campaign.fields)
    seen: set[str] = set()
    for at, name in enumerate(rules.fields):
        here = (*path, "fields", at)
        if name not in known:
            yield Problem(here, f"`{campaign.id}` has no field `{name}`{known.hint(name)}")
        elif name in seen:
            yield Problem(here, f"the field `{name}` stands twice")
        seen.add(name)
