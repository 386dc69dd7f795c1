"""Which lead route acts: the compiled tables against the rules read one by one."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from auction.market.eligibility import bits
from auction.market.market import CampaignMarket, compile_market
from auction.market.model import Buyer, Campaign, Catalogue, FieldSpec, Order, Price
from auction.market.reasons import Reason
from auction.market.routes import LeadRoute, RoutedBy, Source, Team
from auction.market.routing import EVERYONE

FIELDS = (
    *(FieldSpec(name=name, type="text", ping=True) for name in ("source", "contact", "role")),
    FieldSpec(name="zip", type="us_zip", ping=True),
)
BY = RoutedBy(source="source", contact_source="contact", filter="role", zip="zip")
BUYERS = ("ann", "ben", "cat")
SOURCES = (
    Source(id="zillow", name="Zillow Leads", values=("ZLW", "z"), buyers=("ann",)),
    Source(id="trulia", name="Trulia", buyers=("ann", "ben")),
    Source(id="web", name="Web Site", kind="contact", buyers=("ann",)),
    Source(id="friend", name="A Friend", kind="contact", values=("z",), buyers=("ann", "ben", "cat")),
)
TEAMS = (
    Team(id="north", name="North", buyers=("ann", "ben"), zips=("1", "100", "2")),
    Team(id="south", name="South", buyers=("cat",), zips=("10", "2", "20202")),
)


def solar(*routes: LeadRoute, by: RoutedBy | None = BY) -> CampaignMarket:
    """A campaign in which each buyer has an order in tier 1, and one in tier 2."""
    orders = tuple(
        Order(id=f"{buyer}-{tier}", buyer=buyer, campaign="solar", price=Price(live=True), tier=tier)
        for buyer in BUYERS
        for tier in (1, 2)
    )
    catalogue = Catalogue(
        campaigns=(Campaign(id="solar", fields=FIELDS, routed_by=by),),
        buyers=tuple(Buyer(id=buyer) for buyer in BUYERS),
        orders=orders,
        teams=TEAMS,
        sources=SOURCES,
        lead_routes=routes,
    )
    return compile_market(catalogue, 1).campaigns["solar"]


def ids(market: CampaignMarket, mask: int) -> set[str]:
    return {market.orders[bit].id for bit in bits(mask)}


def route(id_: str, target: Any = "none", **more: Any) -> LeadRoute:
    return LeadRoute(id=id_, owner=more.pop("owner", "ann"), target=target, **more)


def test_a_campaign_without_routes_has_none_to_look_at() -> None:
    assert solar().routing is None
    assert solar(route("a", source="zillow"), by=None).routing is None
    assert solar(route("a", campaign="roofing")).routing is None
    for route_, by in (
        (route("a", contact_source="web"), RoutedBy(source="source")),
        (route("a", filter="Buyer"), RoutedBy(source="source")),
        (route("a", "team", select="zip"), RoutedBy(source="source")),
    ):
        assert solar(route_, by=by).routing is None, "what it asks for cannot be told of these leads"


def test_what_a_route_says() -> None:
    market = solar(
        route("a", "team", select="team", team="north", source="zillow"),
        route("b", "myself", owner="cat", source="trulia"),
        route("c", contact_source="web"),
    )
    assert market.routing is not None
    team, own, nobody = (
        market.routing.of({key: word})
        for key, word in (("source", "z"), ("source", "Trulia"), ("contact", "web site"))
    )
    assert team is not None
    assert (team.route, team.team, team.allowed) == ("a", "north", EVERYONE)
    assert ids(market, team.first) == {"ann-1", "ann-2", "ben-1", "ben-2"}
    assert own is not None
    assert (ids(market, own.allowed), own.first) == ({"cat-1", "cat-2"}, 0)
    assert nobody is not None
    assert (nobody.target, nobody.allowed) == ("none", 0)
    assert market.routing.of({"source": "web"}) is None, "a contact source is told by the other field"


def test_a_route_whose_source_is_closed_to_its_owner_sleeps() -> None:
    """What the owner made; the operator's own routes may do anything."""
    made = {"owner": "cat", "source": "trulia"}
    assert solar(route("a", made_by="owner", **made)).routing is None
    assert solar(route("a", **made)).routing is not None
    assert solar(route("a", made_by="owner", owner="ben", source="trulia")).routing is not None


def test_turns_keep_the_tiers_and_put_the_team_first() -> None:
    market = solar(route("a", "team", select="team", team="north"))
    everybody = (1 << len(market.orders)) - 1
    assert market.routing is not None
    says = market.routing.of({})
    assert says is not None
    assert [ids(market, turn) for turn in market.turns(everybody, says.first)] == [
        {"ann-1", "ben-1"},
        {"ann-2", "ben-2"},
        {"cat-1"},
        {"cat-2"},
    ]
    assert [len(ids(market, turn)) for turn in market.turns(everybody)] == [3, 3]
    assert market.turns(says.first, says.first) == market.turns(says.first)
    assert market.turns(0, says.first) == []


def test_who_is_left_out_by_a_route_is_told_so_first() -> None:
    market = solar(route("a", "myself", owner="ben", source="zillow"))
    assert market.routing is not None
    says = market.routing.of({"source": "zlw"})
    assert says is not None
    found = market.eligible(
        {}, 0, "acme", full=0b11, unhealthy=0, lowest_price_micros=0, allowed=says.allowed
    )
    why = {order.id: found.why_not(order.bit) for order in market.orders}
    assert why == {
        **{f"{buyer}-{tier}": Reason.ROUTE for buyer in ("ann", "cat") for tier in (1, 2)},
        "ben-1": None,
        "ben-2": None,
    }
    assert type(found).from_bytes(found.to_bytes()) == found


WORDS = st.sampled_from(["zillow", "ZILLOW LEADS", " zlw ", "Trulia", "z", "web", "a friend", "other", ""])
ROUTES = st.lists(
    st.tuples(
        st.sampled_from(["north", "south", "zip", "myself", "none"]),
        st.sampled_from(BUYERS),
        st.sampled_from([None, "zillow", "trulia"]),
        st.sampled_from([None, "web", "friend"]),
        st.sampled_from([None, "solar", "roofing"]),
        st.sampled_from([None, "Buyer", "seller"]),
    ),
    max_size=8,
)
LEADS = st.fixed_dictionaries(
    {},
    optional={
        "source": WORDS,
        "contact": WORDS,
        "role": st.sampled_from(["buyer", "Seller", "else"]),
        "zip": st.sampled_from(["10001", "10100", "20202", "20000", "30000", "19999"]),
    },
)


@settings(max_examples=300, deadline=None)
@given(made=ROUTES, lead=LEADS)
def test_the_tables_say_what_the_rules_say(made: list[tuple[Any, ...]], lead: dict[str, str]) -> None:
    routes = []
    for at, (target, owner, source, contact, campaign, filter_) in enumerate(made):
        by_team = target in ("north", "south", "zip")
        routes.append(
            LeadRoute(
                id=f"r{at}",
                owner=owner,
                target="team" if by_team else target,
                select=None if not by_team else "zip" if target == "zip" else "team",
                team=target if target in ("north", "south") else None,
                source=source,
                contact_source=contact,
                campaign=campaign,
                filter=filter_,
            )
        )
    market = solar(*routes)
    says = None if market.routing is None else market.routing.of(lead)
    assert (None if says is None else (says.route, says.team)) == _by_hand(routes, lead)


def _by_hand(routes: list[LeadRoute], lead: dict[str, str]) -> tuple[str, str | None] | None:
    known = {source.id: source for source in SOURCES}

    def names(source_id: str | None, field: str) -> bool:
        if source_id is None:
            return True
        source = known[source_id]
        words = {word.lower() for word in (source.id, source.name, *source.values)}
        return lead.get(field, "?").strip().lower() in words

    acting = []
    for one in routes:
        team = one.team
        if one.select == "zip":
            covering = [
                (-len(prefix), each.id)
                for each in TEAMS
                for prefix in each.zips
                if lead.get("zip", "").startswith(prefix)
            ]
            if not covering:
                continue
            team = min(covering)[1]
        if (
            one.campaign in (None, "solar")
            and names(one.source, "source")
            and names(one.contact_source, "contact")
            and (one.filter is None or one.filter.lower() == lead.get("role", "?").lower())
        ):
            conditions = [one.source, one.contact_source, one.campaign, one.filter]
            acting.append((conditions.count(None), one.id, team))
    return min(acting)[1:] if acting else None
