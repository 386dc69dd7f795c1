"""What is wrong with one campaign: its fields, its auction rules, its duplicate rules, its own filter."""

from __future__ import annotations

from collections.abc import Iterator

from auction.catalogue.duplicate_rules import duplicate_problems
from auction.catalogue.mistakes import Path, Problem
from auction.market.fields import check_spec
from auction.market.filters import FilterMistakes
from auction.market.filters import parse as parse_filter
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
    yield from duplicate_problems(campaign.duplicates, campaign, (*path, "duplicates"))


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


def inbound_problems(campaign: Campaign, path: Path) -> Iterator[Problem]:
    """What is wrong with its own filter, its fields being good: it is looked at when a lead is pinged, and no later."""
    if campaign.filter is None:
        return
    try:
        inbound = parse_filter(campaign.filter, {spec.name: spec for spec in campaign.fields})
    except FilterMistakes as error:
        for inside, sentence in error.mistakes:
            yield Problem((*path, *inside), sentence)
        return
    for name in sorted(inbound.fields - {spec.name for spec in campaign.fields if spec.in_ping}):
        error_text = (
            f"`{name}` is not told in a ping, when this filter is looked at: write `ping: true` for it"
        )
        yield Problem(path, error_text)
