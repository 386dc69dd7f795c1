"""Routes that buyers make for themselves: what they may name, and that files leave them alone."""

from __future__ import annotations

from msgspec.structs import replace

from auction.catalogue.owned_routes import nameable_by, settled, with_owners_routes
from auction.catalogue.reading import Source, read_catalogue
from auction.market.routes import LeadRoute
from tests.catalogue.test_route_rules import CATALOGUE

OPERATORS = read_catalogue([Source("c.yaml", CATALOGUE)])
MINE = LeadRoute(id="mine", owner="ben", made_by="owner", target="myself", source="zillow")
TEAM = LeadRoute(id="x", owner="ann", target="team", select="team", team="home")


def test_parts_that_others_rule_out_are_dropped() -> None:
    assert settled(TEAM) == TEAM
    assert settled(replace(TEAM, target="myself")) == replace(TEAM, target="myself", select=None, team=None)
    assert settled(replace(TEAM, target="none")).select is None
    assert settled(replace(TEAM, select="zip")) == replace(TEAM, select="zip", team=None)
    assert settled(replace(TEAM, select=None)).team == "home"


def test_routes_of_owners_stay_where_they_still_can_be() -> None:
    stored = replace(OPERATORS, lead_routes=(*OPERATORS.lead_routes, MINE))
    assert with_owners_routes(OPERATORS, stored).lead_routes == (*OPERATORS.lead_routes, MINE)
    assert with_owners_routes(replace(OPERATORS, lead_routes=()), stored).lead_routes == (MINE,)
    for gone in ("buyers", "sources"):
        assert (
            with_owners_routes(replace(OPERATORS, **{gone: ()}), stored).lead_routes == OPERATORS.lead_routes
        )


def test_a_file_that_names_one_says_what_it_is() -> None:
    stored = replace(OPERATORS, lead_routes=(MINE,))
    said = replace(OPERATORS, lead_routes=(replace(MINE, target="none"),))
    assert with_owners_routes(said, stored) == said


def test_a_number_that_a_file_gives_to_another_is_not_kept() -> None:
    stored = replace(OPERATORS, lead_routes=(replace(MINE, number=7), replace(MINE, id="also", number=8)))
    said = replace(OPERATORS, lead_routes=(replace(TEAM, number=7),))
    assert [(one.id, one.number) for one in with_owners_routes(said, stored).lead_routes] == [
        ("x", 7),
        ("mine", None),
        ("also", 8),
    ]


def test_what_a_buyer_may_name() -> None:
    files = replace(OPERATORS, sources=tuple(replace(one, buyers=("ben",)) for one in OPERATORS.sources))
    assert nameable_by("ann", files).sources == {}
    assert set(nameable_by("ann", files).teams) == {"home"}
    assert set(nameable_by("ben", files).sources) == {"zillow", "web"}
    assert nameable_by("ben", files).campaigns == {}
