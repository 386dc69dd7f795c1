"""The checker on histories made up: a good one passes, and each thing that must never be is found, under its name."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from tests.faults.checker import check, window_of
from tests.faults.history import (
    Attempt,
    CapTerm,
    History,
    LeadRow,
    Ledger,
    OfferRow,
    Received,
    Said,
    SaleRow,
    Terms,
)

TERMS = Terms(places={"solo": 1, "trio": 3}, idempotent=frozenset({"ida"}), alone=frozenset({"alone"}))
HOUR_MS = 3_600_000


class Story:
    """A history that grows lead by lead; each lead is a good one until something is changed."""

    def __init__(self, **terms: Any) -> None:
        self.terms = replace(TERMS, **terms)
        self.attempts: list[Attempt] = []
        self.received: list[Received] = []
        self.leads: dict[str, LeadRow] = {}
        self.offers: dict[tuple[str, str], OfferRow] = {}
        self.sales: dict[tuple[str, str], SaleRow] = {}
        self.more: dict[str, Any] = {}

    def sold(
        self, lead: str, *orders: str, campaign: str = "solo", at_ms: int = 1_000, name: str = ""
    ) -> None:
        """A lead that these orders bought for 10 each; order `x-1` is buyer x's."""
        name = name or f"n-{lead}"
        self.leads[lead] = LeadRow(lead, f"p-{lead}", campaign, "sold", 8_000_000 * len(orders))
        for order in orders:
            buyer = order.partition("-")[0]
            self.take(lead, order, campaign=campaign, at_ms=at_ms, name=name)
            self.offers[lead, order] = OfferRow(lead, order, buyer, "accepted", at_ms)
            self.sales[lead, order] = SaleRow(lead, order, buyer, 10_000_000, 8_000_000, 2_000_000, at_ms)
        buyers = [order.partition("-")[0] for order in orders]
        answer = {"lead_id": lead, "status": "sold", "payout": 8.0 * len(orders), "buyers": buyers}
        self.attempts.append(Attempt(name, "post", campaign, f"p-{lead}", [said(answer)]))

    def take(self, lead: str, order: str, *, campaign: str = "solo", at_ms: int = 1_000, **more: Any) -> None:
        """A buyer took it, by its own log."""
        plain = {"key": f"{lead}:{order}", "price_micros": 10_000_000, "name": f"n-{lead}"}
        buyer = order.partition("-")[0]
        entry = {"at_ms": at_ms, "buyer": buyer, "order": order, "campaign": campaign, "lead_id": lead}
        self.received.append(Received(**{**entry, "answered": "accepted", **plain, **more}))

    def lead_is(self, lead: str, state: str, payout_micros: int = 0) -> None:
        self.leads[lead] = replace(self.leads[lead], state=state, payout_micros=payout_micros)

    def offer_is(self, lead: str, order: str, state: str) -> None:
        self.offers[lead, order] = replace(self.offers[lead, order], state=state)
        self.sales.pop((lead, order), None)

    def told(self, answer: dict[str, Any]) -> None:
        """The last attempt was told so at first."""
        self.attempts[-1].said[0] = said(answer)

    def again(self, answer: dict[str, Any], status: int = 200) -> None:
        """The last attempt was sent again, and told this."""
        self.attempts[-1].said.append(said(answer, status, at_ms=9_000))

    def history(self) -> History:
        ledger = Ledger(list(self.leads.values()), list(self.offers.values()), list(self.sales.values()))
        return History(self.terms, self.attempts, self.received, ledger, **self.more)


def said(body: dict[str, Any], status: int | None = 200, at_ms: int = 1_000) -> Said:
    return Said(at_ms, at_ms + 50, status, body)


def found(story: Story) -> dict[str, int]:
    """The forbidden figures that are not 0."""
    verdict = check(story.history())
    assert verdict.good is not any(verdict.forbidden.values())
    return {figure: len(cases) for figure, cases in verdict.forbidden.items() if cases}


@pytest.fixture
def story() -> Story:
    """One sold exclusively, one to three, one rejected: all as it should be."""
    story = Story()
    story.sold("l1", "ann-1")
    story.sold("l2", "ann-1", "ben-1", "cy-1", campaign="trio")
    story.leads["l3"] = LeadRow("l3", "p-l3", "solo", "rejected", 0)
    story.offers["l3", "ben-1"] = OfferRow("l3", "ben-1", "ben", "rejected", 1_000)
    story.take("l3", "ben-1", answered="rejected: no")
    story.attempts.append(
        Attempt("n-l3", "post", "solo", "p-l3", [said({"lead_id": "l3", "status": "rejected"})])
    )
    return story


def test_a_good_history_is_good_and_is_counted(story: Story) -> None:
    story.again({"lead_id": "l3", "status": "rejected"})
    story.attempts.append(Attempt("n-l4", "post", "solo", "p-l4", [said({}, None), said({"code": "x"}, 503)]))
    verdict = check(story.history())
    assert verdict.good, verdict.forbidden
    counts = verdict.counts
    assert (counts["leads"], counts["answered"], counts["answered sold"]) == (4, 3, 2)
    assert (counts["answered rejected"], counts["sales in the ledger"]) == (1, 4)
    assert (counts["requests that failed and were repeated"], counts["of these, not answered"]) == (2, 1)


def test_lost_a_lead_that_was_answered_and_is_not_there(story: Story) -> None:
    del story.leads["l3"], story.offers["l3", "ben-1"]
    assert found(story) == {"lost": 1}


def test_lost_a_lead_that_was_answered_sold_and_is_not(story: Story) -> None:
    story.lead_is("l1", "rejected")
    story.offer_is("l1", "ann-1", "rejected")
    assert found(story)["lost"] == 2  # the seller's view and the buyer's


@pytest.mark.parametrize("what", ["lead", "offer", "rejected"])
def test_lost_a_lead_that_a_buyer_took_and_the_ledger_does_not_say_so(story: Story, what: str) -> None:
    story.take("l3", "cy-1", name="n-l3")
    if what == "lead":
        del story.leads["l3"]
        story.attempts.pop()
    elif what == "rejected":
        story.offers["l3", "cy-1"] = OfferRow("l3", "cy-1", "cy", "rejected", 1_000)
    assert found(story) == {"lost": 1}


@pytest.mark.parametrize(("lead", "offer"), [("pending", "unknown"), ("sold", "unknown")])
def test_what_is_known_to_be_unknown_is_not_lost(story: Story, lead: str, offer: str) -> None:
    story.leads["l3"] = replace(story.leads["l3"], state=lead)
    story.attempts[-1].said = []
    story.take("l3", "cy-1", name="n-l3")
    story.offers["l3", "cy-1"] = OfferRow("l3", "cy-1", "cy", offer, 1_000)
    story.more["unknown"] = frozenset({("l3", "cy-1")})
    verdict = check(story.history())
    assert not verdict.forbidden["lost"]
    assert verdict.counts["offers unknown"] == 1
    assert verdict.counts["unknown: the buyer had taken it"] == 1
    assert verdict.counts["unknown: not settled"] == 1


def test_a_lead_that_nobody_finishes_is_told_apart_from_a_lost_one(story: Story) -> None:
    story.leads["l5"] = LeadRow("l5", "p-l5", "solo", "offered", 0, "w:1")
    story.offers["l5", "ann-1"] = OfferRow("l5", "ann-1", "ann", "sent", 1_000)
    story.take("l5", "ann-1")
    assert found(story) == {"unfinished": 1}


def test_sold_twice_an_exclusive_lead(story: Story) -> None:
    story.take("l1", "ben-1", name="n-l1")
    story.offers["l1", "ben-1"] = OfferRow("l1", "ben-1", "ben", "unknown", 1_000)
    assert found(story) == {"sold twice": 1}


def test_sold_twice_a_lead_that_somebody_bought_alone(story: Story) -> None:
    story.sold("l4", "alone", "ben-1", campaign="trio")
    assert found(story) == {"sold twice": 1}


def test_sold_twice_a_shared_lead_to_more_than_may_have_it(story: Story) -> None:
    story.sold("l4", "ann-1", "ben-1", "cy-1", "di-1", campaign="trio")
    assert found(story) == {"sold twice": 1}


def test_sold_twice_to_one_buyer(story: Story) -> None:
    story.sold("l4", "ann-1", "ann-2", campaign="trio")
    assert found(story) == {"sold twice": 1}


def test_sold_twice_by_a_repetition_to_a_buyer_who_keeps_no_keys(story: Story) -> None:
    story.sold("l4", "ida-1")
    story.take("l4", "ida-1")
    assert found(story) == {}
    story.take("l1", "ann-1")
    assert found(story) == {"sold twice": 1}


def test_sold_twice_one_lead_of_a_seller_as_two(story: Story) -> None:
    story.sold("l4", "ben-1", name="n-l1")
    story.attempts.pop()
    assert found(story) == {"sold twice": 1}


def test_sold_twice_two_leads_under_one_key(story: Story) -> None:
    story.sold("l4", "ben-1")
    story.received[-1] = replace(story.received[-1], buyer="ann", order="ann-1", key="l1:ann-1")
    assert found(story)["sold twice"] == 1


def leads_cap(limit: int, **more: Any) -> CapTerm:
    return CapTerm(
        **{"owner": "order", "id": "ann-1", "kind": "leads", "per": "hour", "limit": limit, **more}
    )


@pytest.mark.parametrize(
    ("cap", "passed"),
    [
        (leads_cap(2), 0),
        (leads_cap(1), 1),
        (leads_cap(2, per="day"), 1),
        (leads_cap(3, per="day"), 0),
        (leads_cap(1, id="ben-1"), 0),
        (leads_cap(3, owner="buyer", id="ann", per="day"), 1),
        (leads_cap(20_000_000, kind="spend"), 0),
        (leads_cap(19_999_999, kind="spend"), 1),
    ],
)
def test_caps_passed_by_what_the_buyers_took_in_each_window(cap: CapTerm, passed: int) -> None:
    story = Story(caps=(cap,))
    story.sold("l1", "ann-1", at_ms=10)
    story.sold("l2", "ann-1", at_ms=HOUR_MS - 1)
    story.sold("l3", "ann-1", at_ms=HOUR_MS)
    story.sold("l4", "ann-2", at_ms=HOUR_MS)
    story.sold("l5", "ben-1", at_ms=HOUR_MS)
    assert found(story) == ({"caps passed": passed} if passed else {})


@pytest.mark.parametrize(("asked", "passed"), [({}, 0), ({"ann": 3, "ben": 9}, 0), ({"ann": 4}, 1)])
def test_caps_on_pings_passed_by_how_often_buyers_were_asked(asked: dict[str, int], passed: int) -> None:
    story = Story(caps=(CapTerm("buyer", "ann", "pings", "total", 3),))
    verdict = check(replace(story.history(), asked=asked))
    assert len(verdict.forbidden["caps passed"]) == passed
    assert verdict.counts["of these, by buyers with a cap on them"] == asked.get("ann", 0)


def test_caps_count_in_the_window_of_the_offer_and_also_what_the_ledger_calls_unknown() -> None:
    story = Story(caps=(leads_cap(1),))
    story.sold("l1", "ann-1", at_ms=10)
    story.sold("l2", "ann-1", at_ms=HOUR_MS - 1)
    story.received[-1] = replace(story.received[-1], at_ms=HOUR_MS + 5)
    assert found(story) == {"caps passed": 1}, "it came later than it was offered"
    story.lead_is("l2", "pending")
    story.offer_is("l2", "ann-1", "unknown")
    story.attempts.pop()
    assert found(story) == {"caps passed": 1}, "the buyer took it, whatever the ledger knows"


def test_windows_are_the_wall_clocks_of_their_zone() -> None:
    at_ms = 1_793_491_200_000  # 2026-11-01 00:00 UTC
    assert window_of("day", "UTC", at_ms) == "2026-11-01"
    assert window_of("day", "America/Chicago", at_ms) == "2026-10-31"
    assert window_of("hour", "Asia/Kolkata", at_ms) == "2026-11-01 05 h +0530"
    assert window_of("week", "UTC", at_ms) == "2026-10-26"
    assert window_of("month", "UTC", at_ms) == "2026-11"
    assert window_of("total", "UTC", at_ms) == window_of("total", "UTC", 0)
    twice = [window_of("hour", "America/Chicago", at_ms + hour * HOUR_MS) for hour in (6, 7)]
    assert twice[0] != twice[1], "one o'clock comes twice that night"


@pytest.mark.parametrize("what", ["answer", "lead", "sale", "buyers", "rejected"])
def test_payouts_that_differ(story: Story, what: str) -> None:
    answer: dict[str, Any] = {"lead_id": "l4", "status": "sold", "payout": 8.0, "buyers": ["ann"]}
    story.sold("l4", "ann-1")
    if what == "answer":
        story.told({**answer, "payout": 8.01})
    elif what == "lead":
        story.lead_is("l4", "sold", 7_000_000)
    elif what == "sale":
        story.sales["l4", "ann-1"] = replace(
            story.sales["l4", "ann-1"], payout_micros=7_000_000, margin_micros=3_000_000
        )
    elif what == "buyers":
        story.told({**answer, "buyers": ["ben"]})
    else:
        story.told({"lead_id": "l4", "status": "rejected"})
    assert found(story).keys() == {"payouts that differ from answers"}


@pytest.mark.parametrize(
    ("sent_ms", "answered_ms", "good"), [(1_000, 1_060, True), (1_000, 1_040, False), (1_060, 1_070, False)]
)
def test_a_buyer_that_was_heard_after_the_seller_was_answered(
    story: Story, sent_ms: int, answered_ms: int, good: bool
) -> None:
    """It was asked before, so nobody could know: it joins those who had bought. Else it would have been told."""
    story.sold("l4", "ann-1", "ben-1", campaign="trio")
    story.told({"lead_id": "l4", "status": "sold", "payout": 8.0, "buyers": ["ann"]})
    story.offers["l4", "ben-1"] = OfferRow("l4", "ben-1", "ben", "accepted", sent_ms, answered_ms)
    assert bool(found(story)) is not good


def test_a_price_that_is_not_what_the_buyer_was_asked_for(story: Story) -> None:
    story.received[0] = replace(story.received[0], price_micros=10_000_001)
    assert found(story) == {"payouts that differ from answers": 1}


def test_a_price_that_is_not_payout_and_margin(story: Story) -> None:
    story.sales["l1", "ann-1"] = replace(story.sales["l1", "ann-1"], margin_micros=1)
    assert found(story) == {"payouts that differ from answers": 1}


def test_a_sale_that_no_buyer_accepted(story: Story) -> None:
    story.received.pop(0)
    assert found(story) == {"sales that no buyer accepted": 1}


SOLD_L3 = {"lead_id": "l3", "status": "sold", "payout": 0, "buyers": []}


@pytest.mark.parametrize(
    ("first", "status", "then", "changed"),
    [
        ("rejected", 200, {"lead_id": "l3", "status": "rejected"}, 0),
        ("rejected", 200, {"lead_id": "l9", "status": "rejected"}, 1),
        ("rejected", 200, {"ping_id": "p", "status": "no_bid"}, 1),
        ("rejected", 404, {"code": "unknown_ping"}, 1),
        ("rejected", 409, {"code": "used_ping"}, 1),
        ("rejected", 409, {"code": "post_in_progress"}, 0),
        ("rejected", 409, {"code": "request_in_progress"}, 0),
        ("rejected", 409, {"code": "idempotency_conflict"}, 1),
        ("rejected", 429, {"code": "too_many_keys"}, 0),
        ("rejected", 503, {"code": "ledger_unavailable"}, 0),
        ("rejected", None, {}, 0),
        ("pending", 200, {"lead_id": "l3", "status": "rejected"}, 0),
        ("pending", 200, {"lead_id": "l3", "status": "pending"}, 0),
        ("pending", 410, {"code": "offer_expired"}, 1),
    ],
)
def test_answers_that_changed(
    story: Story, first: str, status: int, then: dict[str, Any], changed: int
) -> None:
    story.told({"lead_id": "l3", "status": first})
    story.again(then, status)
    views = {figure: cases for figure, cases in found(story).items() if figure == "answers that changed"}
    assert views == ({"answers that changed": 1} if changed else {})


def test_an_answer_may_go_from_pending_to_sold_and_not_back(story: Story) -> None:
    story.told({"lead_id": "l3", "status": "pending"})
    story.again({"lead_id": "l3", "status": "rejected"})
    story.again({"lead_id": "l3", "status": "pending"})
    assert found(story)["answers that changed"] == 1


def test_an_error_that_was_asked_for_before_the_answer_came_is_none(story: Story) -> None:
    story.attempts[-1].said.insert(0, Said(1_000, 1_060, 409, {"code": "used_ping"}))
    assert found(story) == {}


def test_personal_data_seen(story: Story) -> None:
    story.more["planted"] = ["serve.log: line 3"]
    assert found(story) == {"personal data seen": 1}


def test_how_unknown_offers_were_settled(story: Story) -> None:
    keys = [("l1", "ann-1"), ("l2", "ann-1"), ("l3", "ben-1")]
    story.more |= {"unknown": frozenset(keys), "settled": {keys[0]: "accepted", keys[2]: "rejected"}}
    counts = check(story.history()).counts
    assert counts["offers unknown"] == 3
    assert (counts["unknown: the buyer had taken it"], counts["unknown: the buyer had not"]) == (2, 1)
    assert (counts["unknown: settled as accepted"], counts["unknown: settled as rejected"]) == (1, 1)
    assert (counts["unknown: settled by the house"], counts["unknown: not settled"]) == (1, 0)
