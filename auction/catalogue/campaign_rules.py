"""What is wrong with one campaign: its fields, its auction rules, its duplicate rules."""

from __future__ import annotations

from collections.abc import Iterator

from auction.catalogue.mistakes import Names, Path, Problem
from auction.market.fields import check_spec
from auction.market.model import AuctionRules, Campaign


def campaign_problems(campaign: Campaign, path: Path) -> Iterator[Problem]:
    """What is wrong with the campaign at `path`, whatever else the catalogue holds."""
    if not campaign.fields:
        yield Problem((*path, "fields"), "a campaign needs at least one field")
    firsts: dict[str, int] = {}
    for at, spec in enumerate(campaign.fields):
        here = (*path, "fields", at)
        if spec.name in firsts:
            first = (*path, "fields", firsts[spec.name])
            yield Problem((*here, "name"), f"the field `{spec.name}` stands twice", first)
        firsts.setdefault(spec.name, at)
        for error in check_spec(spec):
            yield Problem(here, error)
    yield from _auction_problems(campaign.auction, (*path, "auction"))
    yield from _duplicate_problems(campaign, (*path, "duplicates"))


def _auction_problems(rules: AuctionRules, path: Path) -> Iterator[Problem]:
    if rules.mode == "exclusive" and rules.max_buyers > 1:
        error = f"an exclusive lead has one buyer, not {rules.max_buyers}; write `mode: shared` or `hybrid`"
        yield Problem((*path, "max_buyers"), error)
    if rules.pays == "second" and rules.mode == "hybrid":
        error = "a mix of exclusive and shared bids has no second price; write `pays: first`"
        yield Problem((*path, "pays"), error)
    if rules.pays == "second" and rules.select != "price":
        error = f"there is no second price where the {rules.select} decides; write `pays: first`"
        yield Problem((*path, "pays"), error)


def _duplicate_problems(campaign: Campaign, path: Path) -> Iterator[Problem]:
    if campaign.duplicates is None:
        return
    if not campaign.duplicates.fields:
        yield Problem((*path, "fields"), "name at least one field, such as [phone]")
    known = Names(spec.name for spec in campaign.fields)
    seen: set[str] = set()
    for at, name in enumerate(campaign.duplicates.fields):
        here = (*path, "fields", at)
        if name not in known:
            yield Problem(here, f"`{campaign.id}` has no field `{name}`{known.hint(name)}")
        elif name in seen:
            yield Problem(here, f"the field `{name}` stands twice")
        seen.add(name)
