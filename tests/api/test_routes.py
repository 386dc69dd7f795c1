"""The lead routes' door: what a buyer may make, change and see, and what it is told otherwise."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from auction.api.routes import read_terms
from auction.catalogue.one_entry import with_entry
from auction.changes.applying import TRIES, EntryChange, apply_catalogue, read_files, stored_catalogue
from auction.changes.lead_routes import MOST_ROUTES, RouteTerms
from auction.errors import SellerError
from auction.ledger.engine import open_engine
from auction.market.model import Catalogue
from auction.market.routes import LeadRoute
from tests.house import CAMPAIGN, House

FILE = Path(__file__).parents[1] / "doors" / "003" / "catalogue.yaml"
AGENT, OTHER, STRANGER = "agent-key", "other-key", "stranger-key"
MINE: dict[str, Any] = {"lead_source_id": 1, "distribution_target": "Myself"}
TEAM: dict[str, Any] = {
    "lead_source_id": 1,
    "distribution_target": "Team Rollout",
    "team_selection_method": "Specific Team",
    "team_id": 3,
}


@pytest.fixture
async def house(open_sqlite_house: Callable[..., Awaitable[House]]) -> House:
    """The house of the document's catalogue."""
    return await open_sqlite_house([], text=FILE.read_text(encoding="utf-8"))


async def made(house: House, body: dict[str, Any]) -> dict[str, Any]:
    status, answer = await house.ask("POST", "/lead-routes", AGENT, json=body)
    assert status == 201, answer
    return answer


async def refused(house: House, method: str, path: str, body: Any, key: str = AGENT) -> tuple[int, Any]:
    """Status, and the fields that are told to be wrong; or the code, where none is."""
    status, answer = await house.ask(method, path, key, json=body)
    assert {"type", "title", "status", "code", "detail"} <= answer.keys(), answer
    return status, [each["field"] for each in answer.get("errors", [])] or answer["code"]


@pytest.mark.parametrize(
    ("body", "team", "method"),
    [
        ({**TEAM, "distribution_target": "Myself"}, None, None),
        ({**TEAM, "distribution_target": "None"}, None, None),
        (TEAM, 3, "Specific Team"),
        ({**TEAM, "team_id": "4"}, 4, "Specific Team"),
        ({**TEAM, "team_selection_method": "Zipcode"}, None, "Zipcode"),
    ],
)
async def test_target_selection_and_team_are_settled(
    house: House, body: dict[str, Any], team: int | None, method: str | None
) -> None:
    answer = await made(house, body)
    assert (answer["team"] or {}).get("id") == team
    assert answer["team_selection_method"] == method
    assert await house.ask("GET", f"/lead-routes/{answer['id']}", AGENT) == (200, answer)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({**TEAM, "team_id": None}, (422, ["team_id"])),
        ({**TEAM, "team_selection_method": None}, (422, ["team_selection_method"])),
        ({**TEAM, "team_id": 99}, (422, ["team_id"])),
        ({**TEAM, "team_id": 5}, (403, "not_your_team")),
        ({**MINE, "lead_source_id": 32}, (403, "not_your_source")),
        ({"distribution_target": "Myself"}, (422, ["lead_source_id"])),
        ({"lead_source_id": 1}, (422, ["distribution_target"])),
        ({**MINE, "distribution_target": "myself"}, (422, ["distribution_target"])),
        ({**MINE, "team_selection_method": "Team"}, (422, ["team_selection_method"])),
        ({**MINE, "campaign_id": True, "filter": 3, "x": 1}, (422, ["campaign_id", "filter", "x"])),
        ({**MINE, "filter": "a" * 129}, (422, ["filter"])),
        ({**MINE, "lead_source_id": 1.5}, (422, ["lead_source_id"])),
        ({**MINE, "lead_source_id": -1}, (422, ["lead_source_id"])),
        ([], (400, "not_an_object")),
    ],
)
async def test_what_cannot_be_is_named(house: House, body: Any, expected: tuple[int, Any]) -> None:
    assert await refused(house, "POST", "/lead-routes", body) == expected
    assert (await house.ask("GET", "/lead-routes", AGENT))[1]["total"] == 2


@pytest.mark.parametrize(
    ("number", "body", "expected"),
    [
        (1, {"team_id": None}, (422, ["team_id"])),
        (3, {"team_selection_method": "Specific Team"}, (422, ["team_id"])),
        (1, {"team_selection_method": None}, (422, ["team_selection_method"])),
        (1, {"distribution_target": None}, (422, ["distribution_target"])),
        (1, {"lead_source_id": None, "contact_source_id": None}, (422, ["lead_source_id"])),
        (1, {"lead_source_id": 32}, (403, "not_your_source")),
        (10, {"filter": "x"}, (404, "unknown_route")),
        (94, {"filter": "x"}, (404, "unknown_route")),
    ],
)
async def test_a_change_that_leaves_a_route_impossible_changes_nothing(
    house: House, number: int, body: Any, expected: tuple[int, Any]
) -> None:
    before = await house.ask("GET", "/lead-routes", AGENT)
    assert await refused(house, "PATCH", f"/lead-routes/{number}", body) == expected
    assert await house.ask("GET", "/lead-routes", AGENT) == before


async def test_a_change_says_only_what_is_different(house: House) -> None:
    _, before = await house.ask("GET", "/lead-routes/1", AGENT)
    assert await house.ask("PATCH", "/lead-routes/1", AGENT, json={}) == (200, before)
    _, alone = await house.ask("PATCH", "/lead-routes/1", AGENT, json={"distribution_target": "Myself"})
    mine = {"distribution_target": "Myself", "team": None, "team_selection_method": None}
    assert alone == {**before, **mine}
    back = {key: TEAM[key] for key in ("distribution_target", "team_selection_method", "team_id")}
    assert await house.ask("PATCH", "/lead-routes/1", AGENT, data=back) == (200, before)  # as a form


async def test_a_user_changes_only_what_it_made(house: House) -> None:
    """Another's route is as if it were not there; the operator's are seen, and left alone."""
    for method in ("GET", "PATCH", "DELETE"):
        assert await refused(house, method, "/lead-routes/1", {}, OTHER) == (404, "unknown_route")
    assert (await house.ask("GET", "/lead-routes/93", OTHER))[0] == 200
    for method in ("PATCH", "DELETE"):
        assert await refused(house, method, "/lead-routes/93", {}, OTHER) == (403, "not_your_route")
    assert await refused(house, "GET", "/lead-routes/one", None) == (404, "unknown_route")
    assert await refused(house, "GET", "/lead-routes", None, "test-key") == (401, "unknown_key")
    status, answer = await house.ask("PUT", "/lead-routes/1", AGENT)
    assert (status, answer["detail"]) == (405, "Use DELETE or GET or PATCH.")


async def test_what_may_be_named_is_listed(house: House) -> None:
    async def named(path: str, key: str = AGENT) -> list[Any]:
        status, answer = await house.ask("GET", path, key)
        assert status == 200, answer
        assert answer["total"] >= len(answer["data"])
        return [(one["id"], one["name"]) for one in answer["data"]]

    assert await named("/lead-sources") == [(1, "Zillow"), (3, "Trulia"), (31, "Realtor.com")]
    assert await named("/lead-sources", STRANGER) == [(32, "Redfin")]
    assert await named("/contact-sources?name[$ne]=My Website") == [
        (1, "Friend/Family Referral"),
        (10, "Open House"),
    ]
    assert await named("/campaigns?$limit=2") == [(6, "Nurture"), (9, "Zillow Leads")]
    assert await named("/campaigns", STRANGER) == []
    assert await named("/teams?is_sharing_contacts=1") == [(3, "Schulist, Klein and Fay")]
    _, answer = await house.ask("GET", "/teams?id=4", AGENT)
    assert answer["data"][0]["distribution_zipcodes"] == ["100", "11201"]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("team_id=3", [1]),
        ("team_id=null", [3]),
        ("team_id[$ne]=3&filter=Seller", [3]),
        ("campaign_id[$in][]=9&campaign_id[$in][]=10&$skip=1", [3]),
        ("contact_source_id[$nin]=1&contact_source_id[$nin]=2", [3]),
        ("team_selection_method=Zipcode", [3]),
        ("distribution_target=Team%20Rollout&id=1", [1]),
        ("$limit=0", []),
    ],
)
async def test_lists_are_asked_as_one_likes(house: House, query: str, found: list[int]) -> None:
    status, answer = await house.ask("GET", f"/lead-routes?{query}", AGENT)
    assert (status, [route["id"] for route in answer["data"]]) == (200, found)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("$limit=-1", (400, ["$limit"])),
        ("team=3", (400, ["team"])),
        ("team_id[$gt]=3", (400, ["team_id[$gt]"])),
        ("&".join(f"lead_source_id[$in]={number}" for number in range(10_000)), (431, "head_too_large")),
        ("filter=%ff", (400, "bad_query")),
        ("distribution_target=Nobody", (422, ["distribution_target"])),
        (
            "team_selection_method[$in]=Zipcode&team_selection_method[$in]=zip",
            (422, ["team_selection_method[$in]"]),
        ),
        ("distribution_target=Nobody&$limit=-1", (400, ["distribution_target", "$limit"])),
    ],
)
async def test_what_cannot_be_asked_is_told(house: House, query: str, expected: tuple[int, Any]) -> None:
    assert await refused(house, "GET", f"/lead-routes?{query}", None) == expected


async def test_an_apply_leaves_what_owners_made(house: House) -> None:
    """And takes out what the file does not name, and what cannot be any more."""
    mine = await made(house, MINE)
    engine = open_engine(house.exchange.settings.ledger_url)
    files = read_files([FILE])
    for route in ("zillow-buyers", "of-the-operator"):
        files = with_entry(files, "lead_route", route, None)
    files = with_entry(files, "source", "trulia", None)
    files = with_entry(files, "lead_route", "trulia-sellers", None)
    try:
        applied = apply_catalogue(engine, files, 1, "test")
        with engine.connect() as conn:
            stored = stored_catalogue(conn)[1]
    finally:
        engine.dispose()
    assert [change.id for change in applied.changes.removed] == [
        "trulia",
        "of-the-operator",
        "trulia-sellers",
    ]
    assert {route.id for route in stored.lead_routes} > {"zillow-buyers", "to-change", "to-remove"}
    _, answer = await house.ask("GET", "/lead-routes", AGENT)
    assert [route["id"] for route in answer["data"]] == [1, mine["id"]]


async def test_a_route_acts_within_a_second_of_its_answer(
    open_sqlite_house: Callable[..., Awaitable[House]],
) -> None:
    """Made, changed and taken out: each is traded on, with no restart."""
    house = await open_sqlite_house(
        [{"id": "a", "buyer": "ann"}, {"id": "b", "buyer": "ben"}],
        {"ann": {"bid": {"price": 30}}, "ben": {"bid": {"price": 20}}},
        campaign={
            "fields": [*CAMPAIGN["fields"], {"name": "source", "type": "text", "ping": True}],
            "routed_by": {"source": "source"},
        },
        buyers={"ben": {"keys": [f"sha256:{sha256(b'ben-key').hexdigest()}"]}},
        sections={"sources": [{"id": "web", "name": "Web", "buyers": ["ben"]}]},
    )

    async def offered(payout: float | None) -> None:
        """Within a second (and some, for a machine that is busy) a ping is offered that."""
        async with asyncio.timeout(20):
            at = 0
            while True:
                answer = await house.ping(lead={"state": "TX", "source": "web"}, sub_id=f"{payout}-{at}")
                if answer.get("payout") == payout:
                    return
                at += 1
                await asyncio.sleep(0.02)

    await offered(30)
    mine = {"lead_source_id": 1, "distribution_target": "Myself"}
    status, answer = await house.ask("POST", "/lead-routes", "ben-key", json=mine)
    assert status == 201, answer
    await offered(20)
    path = f"/lead-routes/{answer['id']}"
    assert (await house.ask("PATCH", path, "ben-key", json={"distribution_target": "None"}))[0] == 200
    await offered(None)
    assert (await house.ask("DELETE", path, "ben-key"))[0] == 200
    await offered(30)


async def test_numbers_stay(house: House) -> None:
    first = await made(house, MINE)
    assert (await house.ask("DELETE", f"/lead-routes/{first['id']}", AGENT)) == (200, first)
    second = await made(house, MINE)
    assert second["id"] == first["id"] + 1


async def test_many_at_once_are_all_made(house: House) -> None:
    answers = await asyncio.gather(*(made(house, MINE) for _ in range(8)))
    assert sorted(answer["id"] for answer in answers) == list(range(94, 102))
    assert house.exchange.changing.outcomes["made",] == 8


def change_between(
    house: House, monkeypatch: pytest.MonkeyPatch, times: int, change: Callable[[Catalogue, int], Catalogue]
) -> None:
    """So many times, another process applies a change between what the door reads and what it stores."""
    store, left = house.exchange.changing.now, iter(range(times))

    def apply_another(at: int) -> None:
        engine = open_engine(house.exchange.settings.ledger_url)
        try:
            with engine.connect() as conn:
                stored = stored_catalogue(conn)[1]
            apply_catalogue(engine, change(stored, at), 1, "another")
        finally:
            engine.dispose()

    async def now(*args: Any, **named: Any) -> EntryChange:
        for at in left:
            await asyncio.to_thread(apply_another, at)
            break
        return await store(*args, **named)

    monkeypatch.setattr(house.exchange.changing, "now", now)


async def test_a_source_that_was_closed_meanwhile_is_closed(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    def closed(stored: Catalogue, _: int) -> Catalogue:
        return replace(stored, sources=tuple(replace(source, buyers=()) for source in stored.sources))

    change_between(house, monkeypatch, 1, closed)
    assert await refused(house, "POST", "/lead-routes", MINE) == (403, "not_your_source")


async def test_who_never_gets_through_is_told(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    def renamed(stored: Catalogue, at: int) -> Catalogue:
        return replace(stored, exchange=replace(stored.exchange, name=f"Name {at}"))

    change_between(house, monkeypatch, TRIES, renamed)
    assert await refused(house, "POST", "/lead-routes", MINE) == (409, "catalogue_changing")
    assert (await made(house, MINE))["id"] == 94


async def test_one_buyer_has_so_many_and_no_more(house: House) -> None:
    files = read_files([FILE])
    many = tuple(
        LeadRoute(id=f"r{at}", owner="agent", target="none", source="zillow", made_by="owner")
        for at in range(MOST_ROUTES - 2)
    )
    engine = open_engine(house.exchange.settings.ledger_url)
    try:
        apply_catalogue(engine, replace(files, lead_routes=(*files.lead_routes, *many)), 1, "test")
    finally:
        engine.dispose()
    assert await refused(house, "POST", "/lead-routes", MINE) == (409, "too_many_routes")
    await house.ask("DELETE", "/lead-routes/1", AGENT)
    await made(house, MINE)


def test_a_body_is_read_with_all_its_mistakes() -> None:
    terms = read_terms({"team_id": " 3 ", "filter": "", "distribution_target": "None"}, whole=True)
    assert terms == RouteTerms(team=3, filter=None, target="none")
    with pytest.raises(SellerError) as caught:
        read_terms({"team": 1, "team_id": "three", "filter": "a\nb"}, whole=True)
    assert {each.field: each.error for each in caught.value.mistakes} == {
        "team": "there is no such field; did you mean `team_id`?",
        "team_id": "expected the number of one, or null",
        "filter": "expected a line of text of at most 128 characters, or null",
        "distribution_target": "expected one of Myself, Team Rollout, None",
    }
