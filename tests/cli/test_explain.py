"""`auction explain` and `auction lead`: what became of a ping and of a lead, and why."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.cli.conftest import Run
from tests.house import CAMPAIGN
from tests.privacy.planted import tells_number

ORDERS = [
    {"id": "asked", "buyer": "ann", "price": {"live": True, "max": 80.00}},
    {"id": "cheap", "buyer": "ben", "price": {"fixed": 12.5}},
    {"id": "elsewhere", "buyer": "ben", "filter": {"field": "state", "in": ["CA"]}},
    {"id": "resting", "buyer": "cat", "paused": True},
]


async def test_every_order_is_told_with_its_reason(
    auction: Run, open_test_house: Any, ledger_url: str
) -> None:
    house = await open_test_house(ORDERS, {"ann": {"bid": {"price": 30}}})
    ping_id = (await house.ping())["ping_id"]
    await house.exchange.writer.flush()
    result = auction("explain", ping_id, "--database-url", ledger_url)
    assert result.exit_code == 0
    told = {line.split()[0]: line for line in result.stdout.splitlines() if line.strip()}
    assert "won" in told["asked"]
    assert "30.00" in told["asked"]
    assert "answered and refused" in told["cheap"]
    assert "not asked" in told["elsewhere"]
    assert "state in [CA]: was TX" in told["elsewhere"]
    assert "paused" in told["resting"]
    assert told["ping"].startswith(f"ping {ping_id}  solar  from acme  2026-01-01T12:00:00")


async def test_the_terms_that_were_in_the_way_are_told(
    auction: Run, open_test_house: Any, ledger_url: str
) -> None:
    """It is a Thursday, 12:00 in UTC."""
    terms: dict[str, dict[str, Any]] = {
        "asleep": {"hours": ["Wed 03:00-04:00", "Thu 15:00-16:00"], "timezone": "America/New_York"},
        "modest": {"price": {"live": True, "max": 2.5}},
        "full": {"price": {"fixed": 50}, "caps": [{"leads": 1, "per": "day"}, {"spend": 50, "per": "total"}]},
        "again": {"price": {"fixed": 40}, "caps": [{"leads": 1, "per": "hour"}]},
        "broken": {},
        "eager": {"price": {"live": True, "max": 60}},
        "plain": {"price": {"fixed": 30}},
    }
    house = await open_test_house(
        [{"id": id_, "buyer": id_, **said} for id_, said in terms.items()],
        {"broken": {"faults": {"error_500": 1}}, "eager": {"bid": {"price": 61}}},
        buyers={"again": {"caps": [{"leads": 9, "per": "month"}]}},
    )
    for sub_id in ("1", "2", "3"):  # the third finds two orders full
        answer = await house.ping(sub_id=sub_id, floor=5)
    await house.exchange.writer.flush()
    result = auction("explain", answer["ping_id"], "--database-url", ledger_url)
    told = {line.split()[0]: line for line in result.stdout.splitlines() if line.strip()}
    assert told["asleep"].endswith("Wed 03:00-04:00, Thu 15:00-16:00: was Thu 07:00 America/New_York")
    assert told["modest"].endswith("max 2.50")
    assert told["eager"].endswith("max 60.00")
    assert told["broken"].endswith("HTTP 500")
    assert told["full"].endswith("1 lead per day, spend 50.00 in all")
    assert told["again"].endswith("1 lead per hour, 9 leads per month (buyer)")
    assert told["plain"].split()[-2:] == ["won", "30.00"]


async def test_of_several_bids_the_one_that_won_is_told(
    auction: Run, open_test_house: Any, ledger_url: str
) -> None:
    """Ann bids more for the lead alone; she and Ben together pay more than that."""
    bids = [{"price": 40, "exclusive": True}, {"price": 25, "exclusive": False}]
    house = await open_test_house(
        [
            {"id": "ann", "buyer": "ann"},
            {"id": "ben", "buyer": "ben", "price": {"fixed": 30}},
            {"id": "alone", "buyer": "cat", "price": {"fixed": 50}, "exclusive": True},
        ],
        {"ann": {"bids": bids}},
        auction={"mode": "hybrid", "max_buyers": 2},
    )
    answer = await house.ping()
    assert [bid["payout"] for bid in answer["bids"]] == [30, 25]
    await house.exchange.writer.flush()
    result = auction("explain", answer["ping_id"], "--database-url", ledger_url)
    told = {line.split()[0]: line.split() for line in result.stdout.splitlines() if line.strip()}
    assert told["ann"][3:6] == ["won", "won", "25.00"]
    assert told["alone"][-3:] == ["outbid", "50.00", "exclusive"], (
        "it bid more than any, but for the lead alone"
    )


async def test_the_route_that_acted_is_told(auction: Run, open_test_house: Any, ledger_url: str) -> None:
    house = await open_test_house(
        ORDERS,
        {"ann": {"bid": {"price": 30}}},
        campaign={
            "fields": [*CAMPAIGN["fields"], {"name": "source", "type": "text", "ping": True}],
            "routed_by": {"source": "source"},
        },
        sections={
            "teams": [{"id": "home", "name": "Home", "buyers": ["ben"]}],
            "sources": [{"id": "web", "name": "Web"}],
            "lead_routes": [
                {
                    "id": "r1",
                    "owner": "ben",
                    "target": "team",
                    "select": "team",
                    "team": "home",
                    "source": "web",
                }
            ],
        },
    )
    ping_id = (await house.ping(lead={"state": "TX", "source": "web"}))["ping_id"]
    await house.exchange.writer.flush()
    result = auction("explain", ping_id, "--database-url", ledger_url)
    told = {line.split()[0]: line.split() for line in result.stdout.splitlines() if line.strip()}
    assert "lead route: r1, team home first" in result.stdout
    assert "won" in told["cheap"]
    assert told["asked"][-2:] == ["route", "r1"]


async def test_an_auction_is_explained_on_the_market_that_it_ran_on(
    auction: Run, open_test_house: Any, ledger_url: str, folder: Path
) -> None:
    house = await open_test_house(ORDERS)
    ping_id = (await house.ping())["ping_id"]
    await house.exchange.writer.flush()
    before = auction("explain", ping_id, "--database-url", ledger_url).stdout
    kept = auction("export", "--database-url", ledger_url).stdout
    (folder / "market.yaml").write_text(kept.replace("elsewhere", "renamed"))
    assert auction("apply", "market.yaml", "--database-url", ledger_url).exit_code == 0
    assert auction("explain", ping_id, "--database-url", ledger_url).stdout == before


async def test_a_leads_life_is_told_without_naming_anybody(
    auction: Run, open_test_house: Any, ledger_url: str
) -> None:
    house = await open_test_house(ORDERS, {"ann": {"bid": {"price": 30}, "post": {"accept": 0}}})
    ping_id = (await house.ping())["ping_id"]
    sold = await house.sell(ping_id, first_name="Annabel", phone="512-555-0177")
    assert sold["buyers"] == ["ben"]
    await house.exchange.writer.flush()
    explained = auction("explain", ping_id, "--database-url", ledger_url).stdout
    assert explained.splitlines()[-1] == f"posted: lead {sold['lead_id']} is sold"
    by_lead = auction("lead", sold["lead_id"], "--database-url", ledger_url)
    assert by_lead.exit_code == 0
    for said in ("sold, payout 12.50", "received", "offered", "rejected", "not_wanted", "asked", "cheap"):
        assert said in by_lead.stdout
    assert "Annabel" not in by_lead.stdout
    assert not tells_number(by_lead.stdout, "512-555-0177")
    assert auction("lead", ping_id, "--database-url", ledger_url).stdout == by_lead.stdout
    await house.exchange.writer.flush()
    by_ping = auction("explain", ping_id, "--database-url", ledger_url)
    assert by_ping.exit_code == 0
    assert auction("explain", sold["lead_id"], "--database-url", ledger_url).stdout == by_ping.stdout


_NO_ID = "there is no {} 'no-such' in this ledger; ids of leads and pings are 32 characters of 0-9 and a-f\n"


def test_what_is_not_there_is_said_to_be(auction: Run, sqlite_ledger: str) -> None:
    ping = auction("explain", "no-such", "--database-url", sqlite_ledger)
    assert (ping.exit_code, ping.stderr) == (2, _NO_ID.format("ping"))
    lead = auction("lead", "no-such", "--database-url", sqlite_ledger)
    assert (lead.exit_code, lead.stderr) == (2, _NO_ID.format("lead"))
