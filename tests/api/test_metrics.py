"""`/metrics`: everything that a worker counts, under names that stay; and several workers in one scrape."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from auction.api.metrics import MetricsDoor, forget_metrics, metrics_folder, to_text
from auction.api.traffic import door_of
from auction.market.reasons import Reason
from auction.measures import outcome_of
from auction.tally import counter, gauge
from tests.api.conftest import OpenDoors
from tests.house import KEY, PERSON, PING, House

NAMES = {
    *(
        "auction_pings",
        "auction_pings_repeated",
        "auction_pings_turned_away",
        "auction_pings_too_late",
        "auction_pings_running",
    ),
    *("auction_ping_own_seconds", "auction_ping_buyers_seconds", "auction_ping_stage_seconds"),
    *("auction_early_close_saved_seconds", "auction_market_swaps"),
    *("auction_leads", "auction_money", "auction_offers", "auction_post_seconds", "auction_offer_seconds"),
    *("auction_posts_turned_away", "auction_posts_running", "auction_posts_suppressed"),
    *("auction_steps_owed", "auction_steps_paid", "auction_steps_dropped"),
    *("auction_orders", "auction_connections", "auction_connections_open", "auction_names_unresolved"),
    *("auction_asks_spared", "auction_buyer_share"),
    *("auction_deliveries_refused", "auction_deliveries_running", "auction_posts_rate_limited"),
    *("auction_delivery_connections", "auction_delivery_connections_idle"),
    *("auction_erased", "auction_retention_failed"),
    *("auction_counter_calls", "auction_counter_calls_failed", "auction_counter_calls_waiting"),
    *("auction_counters_up", "auction_counters_connects", "auction_counters_reloads"),
    "auction_sentinels_silent",
    *("auction_counters_rebuilt", "auction_reconciles", "auction_windows_differed"),
    *("auction_places_freed", "auction_places_retaken", "auction_duplicates_recalled"),
    *("auction_holds", "auction_caps_refused"),
    *("auction_ledger_writes", "auction_ledger_commits", "auction_ledger_refused", "auction_ledger_away"),
    *("auction_ping_log_written", "auction_ping_log_dropped"),
    *("auction_ledger_waiting", "auction_ping_log_waiting"),
    *("auction_leads_waiting", "auction_waiting_tries"),
    *("auction_keyed_requests", "auction_keyed_requests_waiting"),
    *("auction_requests_rate_limited", "auction_requests_uncounted"),
    *("auction_catalogue_changes", "auction_catalogue_changes_waiting"),
    *("auction_pings_allowed", "auction_pings_leased", "auction_pings_withheld"),
    *("auction_ping_leases_unwritten", "auction_pings_unwritten"),
    *(
        "auction_beats_missed",
        "auction_worker_fenced_self",
        "auction_workers_alive",
        "auction_workers_fenced",
    ),
    *("auction_leads_pending", "auction_leads_recovered", "auction_leads_taken_over"),
    *("auction_offers_settled", "auction_offers_unknown"),
    *("auction_postbacks", "auction_money_returned"),
    *("auction_recoveries_running", "auction_recoveries_stuck", "auction_recovery_waits"),
    *("auction_postbacks_delivered", "auction_postbacks_failed", "auction_postbacks_given_up"),
    *("auction_postbacks_troubles", "auction_postbacks_running"),
    *("auction_postbacks_waiting", "auction_postbacks_oldest_seconds"),
    *("auction_http_connected", "auction_http_connections", "auction_http_refused"),
    *("auction_overloaded", "auction_overload_refused", "auction_gate_waited", "auction_gate_waiting"),
    "auction_gate_callers",
    *("auction_admin_changes", "auction_admin_keyed_requests"),
    *("auction_list_uploads", "auction_list_uploads_running"),
    *("auction_http_responses", "auction_http_bodies_refused", "auction_bugs", "auction_metrics_unreadable"),
}
ORDERS = [{"id": f"{name}-1", "buyer": name} for name in ("high", "low", "none", "slow", "gone")]
MANNERS = {
    "high": {"bid": {"price": 40}},
    "low": {"bid": {"price": 30}},
    "none": {"bid": {"share_no_bid": 1.0}},
    "slow": {"latency_ms": 5_000},
}
FEW_MS = 1_000
NOBODY = 2**22 + 1
"""No process: above the last number that Linux gives."""


async def scraped(house: House) -> dict[str, dict[frozenset[str], float]]:
    """Every sample: its name, and its value by the values of its labels."""
    async with aiohttp.ClientSession() as session, session.get(f"{house.url}/metrics") as answer:
        assert answer.status == 200
        text = await answer.text()
    found: dict[str, dict[frozenset[str], float]] = {}
    for family in text_string_to_metric_families(text):
        assert family.documentation.strip(), f"{family.name} says nothing of itself"
        for sample in family.samples:
            found.setdefault(sample.name, {})[frozenset(sample.labels.values())] = sample.value
    return found


async def test_every_name_is_there_and_no_other(house: House) -> None:
    async with aiohttp.ClientSession() as session, session.get(f"{house.url}/metrics") as answer:
        families = list(text_string_to_metric_families(await answer.text()))
    assert {family.name for family in families} == NAMES


async def test_a_house_that_asks_for_a_key_tells_its_money_to_nobody_else(open_doors: OpenDoors) -> None:
    theirs = "für-prometheus-1"
    house = await open_doors(settings={"metrics_key": theirs})
    async with aiohttp.ClientSession() as session:
        for given in (None, "", KEY, theirs + "x", theirs[:-1], "\xff"):
            sent = {} if given is None else {"authorization": f"Bearer {given}"}
            async with session.get(f"{house.url}/metrics", headers=sent) as answer:
                assert answer.status == 401
                assert "auction_money" not in await answer.text()
        for name, given in (("authorization", f"Bearer {theirs}"), ("x-api-key", theirs)):
            async with session.get(f"{house.url}/metrics", headers={name: given}) as answer:
                assert answer.status == 200


async def test_each_buyers_part_is_told_apart(open_doors: OpenDoors) -> None:
    """Asked; bid and won, bid and lost, no bid, late, error: each buyer is one of these."""
    house = await open_doors(ORDERS, MANNERS, buyers={"gone": {"ping_url": "http://127.0.0.1:1/ping"}})
    assert (await house.ping(tmax=FEW_MS))["status"] == "offer"
    orders = (await scraped(house))["auction_orders_total"]
    assert orders == {
        frozenset(labels): 1.0
        for labels in (
            ("high", "bid", "won"),
            ("low", "bid", "outbid"),
            ("none", "no_bid"),  # its reason is the same word
            ("slow", "late", "timeout"),
            ("gone", "error", "connect_failed"),
        )
    }


async def test_orders_that_were_left_out_are_counted_too(open_doors: OpenDoors) -> None:
    house = await open_doors(ORDERS[:2], MANNERS, auction={"max_asks": 1})
    await house.ping()
    orders = (await scraped(house))["auction_orders_total"]
    assert sorted(value for labels, value in orders.items() if "ask_limit" in labels) == [1.0]
    assert sum(orders.values()) == 2


async def test_a_sale_is_told_with_its_money_and_its_times(open_doors: OpenDoors) -> None:
    house = await open_doors(ORDERS[:2], MANNERS)
    sold = await house.sell((await house.ping())["ping_id"])
    tested = await house.ping(test=True)
    await house.sell(tested["ping_id"])
    found = await scraped(house)
    money = {
        what: found["auction_money_total"][frozenset(("solar", what))]
        for what in ("price", "payout", "margin")
    }
    assert money["payout"] == pytest.approx(sold["payout"])
    assert money["price"] == pytest.approx(40)
    assert money["price"] == pytest.approx(money["payout"] + money["margin"])
    assert found["auction_offers_total"] == {frozenset(("high", "accepted")): 2.0}
    assert found["auction_leads_total"] == {frozenset(("sold",)): 2.0}
    assert found["auction_post_seconds_count"][frozenset()] == 2
    assert found["auction_offer_seconds_count"] == {
        frozenset(("accepted",)): 2.0,
        frozenset(("rejected",)): 0.0,
        frozenset(("unknown",)): 0.0,
    }
    assert 0 < found["auction_offer_seconds_sum"][frozenset(("accepted",))] < 60


async def test_a_refused_offer_has_a_time_of_its_own(open_doors: OpenDoors) -> None:
    manners = {"a-co": {"bid": {"price": 30}, "post": {"accept": 0.0}}}
    house = await open_doors(None, manners)
    answer = await house.sell((await house.ping())["ping_id"])
    assert answer["status"] == "rejected"
    found = await scraped(house)
    assert found["auction_offer_seconds_count"][frozenset(("rejected",))] == 1
    assert found["auction_offers_total"] == {frozenset(("a-co", "rejected")): 1.0}
    assert "auction_money_total" not in found


async def test_responses_are_counted_by_door_and_class(house: House) -> None:
    await house.ping()
    assert (await house.post("/ping", {}))[0] == 422
    assert (await house.post("/ping", b"x" * 70_000))[0] == 413
    assert (await house.post("/direct", {**PING, "lead": {**PING["lead"], **PERSON}}))[0] == 200
    assert (await house.get("/ping"))[0] == 405
    assert (await house.get("/leads/none"))[0] == 404
    assert (await house.get("/made-up/by-a-stranger"))[0] == 404
    for _ in range(2):  # what a key was answered before has the status that it had
        wrong = {"campaign": "solar", "lead": {"state": "Texass"}}
        assert (await house.post("/ping", wrong, **{"idempotency-key": "k1"}))[0] == 422
    found = await scraped(house)
    assert found["auction_http_responses_total"] == {
        frozenset(("ping", "2xx")): 1.0,
        frozenset(("ping", "4xx")): 5.0,
        frozenset(("direct", "2xx")): 1.0,
        frozenset(("leads", "4xx")): 1.0,
        frozenset(("other", "4xx")): 1.0,
    }
    assert found["auction_http_bodies_refused_total"][frozenset(("too_large",))] == 1
    assert found["auction_bugs_total"][frozenset()] == 0


@pytest.mark.parametrize(
    ("path", "door"),
    [("/ping", "ping"), ("/leads/0a", "leads"), ("/", "other"), ("/pingx", "other"), ("", "other")],
)
def test_a_door_is_the_first_part_of_a_path(path: str, door: str) -> None:
    assert door_of(path) == door


def test_every_reason_has_an_outcome() -> None:
    by_outcome: Mapping[str, str] = {
        "won": "bid",
        "outbid": "bid",
        "full_at_hold": "bid",
        "below_floor": "bid",
        "no_bid": "no_bid",
        "timeout": "late",
        "too_many_in_flight": "throttled",
        "ping_cap_full": "throttled",
        "not_awaited": "not_awaited",
        "bad_http": "error",
        "connection_lost": "error",
        "ask_limit": "not_asked",
    }
    for reason in Reason:
        assert outcome_of(reason) == by_outcome.get(reason.value, outcome_of(reason))
    assert set(by_outcome.values()) == {outcome_of(reason) for reason in Reason}


async def test_several_workers_are_one_scrape(open_doors: OpenDoors, monkeypatch: pytest.MonkeyPatch) -> None:
    """What others left is added up; of one that died the gauges go, and its counters stay."""
    house = await open_doors(settings={"workers": 2})
    theirs = [
        counter("auction_pings", "Pings", ("campaign", "outcome"), {("solar", "offer"): 5.0}),
        gauge("auction_things", "Things", 3.0),
    ]
    monkeypatch.setattr("auction.api.metrics.families_of", lambda exchange: [])
    folder = metrics_folder(house.exchange.settings.data_dir)
    alive = MetricsDoor(house.exchange, lambda: theirs)
    alive.start()
    await alive.stop()
    left = folder / f"{os.getpid()}.metrics"
    left.rename(folder / f"{os.getppid()}.metrics")
    found = await scraped(house)
    assert found["auction_pings_total"][frozenset(("solar", "offer"))] == 5
    assert found["auction_things"][frozenset()] == 3
    (folder / f"{os.getppid()}.metrics").rename(folder / f"{NOBODY}.metrics")
    found = await scraped(house)
    assert found["auction_pings_total"][frozenset(("solar", "offer"))] == 5
    assert "auction_things" not in found
    (folder / f"{NOBODY}.metrics").write_bytes(b"half")
    assert "auction_pings_total" not in await scraped(house)
    found = await scraped(house)
    assert found["auction_metrics_unreadable_total"][frozenset()] == 1  # of the scrape before
    forget_metrics(house.exchange.settings.data_dir)
    assert list(folder.iterdir()) == []


async def test_what_a_worker_leaves_can_be_read_by_the_others(open_doors: OpenDoors) -> None:
    """All of it: a value of a wrong kind anywhere, and its whole file would be passed over."""
    house = await open_doors(settings={"workers": 2})
    await house.ping()
    house.app.metrics.start()
    await house.app.metrics.stop()
    folder = metrics_folder(house.exchange.settings.data_dir)
    (folder / f"{os.getpid()}.metrics").rename(folder / f"{os.getppid()}.metrics")
    found = await scraped(house)
    assert house.app.metrics.unreadable == 0
    assert found["auction_pings_total"][frozenset(("solar", "offer"))] == 2
    assert found["auction_counters_up"][frozenset()] == 2


async def test_a_worker_that_is_alone_leaves_nothing(house: House) -> None:
    house.app.metrics.start()
    await house.app.metrics.stop()
    assert not metrics_folder(house.exchange.settings.data_dir).exists()


def test_text_is_prometheus(house: House) -> None:
    text = to_text([gauge("auction_things", "Things", 2.0)]).decode()
    assert re.fullmatch(
        r"# HELP auction_things Things\n# TYPE auction_things gauge\nauction_things 2.0\n", text
    )
    assert KEY not in text
