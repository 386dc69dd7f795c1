"""Health: a failing buyer is asked less, never never; a well one always."""

from __future__ import annotations

import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auction.buyers.health import LEAST_SHARE, BuyerHealth, Health
from auction.market.reasons import Reason

PINGS = [uuid.UUID(int=number * 0x9E3779B97F4A7C15 % 2**128).hex for number in range(2_000)]


def asked_share(health: Health, buyer: str) -> float:
    return sum(not health.left_out(ping_id, [buyer]) for ping_id in PINGS) / len(PINGS)


def made_sick(mode: str = "on") -> Health:
    health = Health(mode)  # type: ignore[arg-type]
    for _ in range(300):
        health.note("sick", Reason.TIMEOUT)
        health.note("well", Reason.NO_BID)
    return health


def test_a_dead_buyer_is_asked_one_time_in_twenty() -> None:
    health = made_sick()
    assert 0.03 < asked_share(health, "sick") < 0.07
    assert asked_share(health, "well") == 1


def test_it_is_asked_again_in_full_when_it_is_well_again() -> None:
    health = made_sick()
    for _ in range(300):
        health.note("sick", Reason.OUTBID)
    assert asked_share(health, "sick") == 1
    assert health.sick == {}


def test_a_few_failures_prove_nothing() -> None:
    health = Health()
    for _ in range(7):
        health.note("new", Reason.CONNECT_FAILED)
    assert asked_share(health, "new") == 1


def test_shadow_mode_only_counts() -> None:
    health = made_sick("shadow")
    assert asked_share(health, "sick") == 1
    assert health.spared > 1_800


def test_what_is_our_own_doing_says_nothing_of_the_buyer() -> None:
    health = Health()
    for at in range(100):
        health.note("cut", Reason.CUT_OFF)
        health.note("failing", Reason.TIMEOUT if at < 5 else Reason.CUT_OFF)
    assert "cut" not in health.unwell
    assert health.buyers["failing"].failure > 0.1


def test_one_that_answers_again_is_forgiven_and_then_needs_no_more_notes() -> None:
    health = made_sick()
    assert health.unwell == {"sick"}
    for _ in range(400):
        health.note("sick", Reason.NO_BID)
    assert (health.unwell, health.sick, health.buyers["sick"].failure) == (set(), {}, 0)


def test_all_workers_leave_a_buyer_out_of_the_same_pings() -> None:
    one, two = made_sick(), made_sick()
    assert [one.left_out(ping, ["sick"]) for ping in PINGS] == [
        two.left_out(ping, ["sick"]) for ping in PINGS
    ]


@given(st.lists(st.tuples(st.booleans(), st.floats(0, 1_000)), max_size=200), st.floats(20, 5_000))
def test_the_estimates_stay_in_bounds(answers: list[tuple[bool, float]], declared_ms: float) -> None:
    buyer = BuyerHealth()
    for failed, elapsed_ms in answers:
        buyer.note(failed)
        buyer.time(elapsed_ms)
    assert -1e-9 <= buyer.failure <= 1 + 1e-9
    assert LEAST_SHARE <= buyer.share <= 1
    assert 20 <= buyer.patience_ms(declared_ms) <= declared_ms


def test_patience_is_for_what_a_buyer_usually_needs() -> None:
    buyer = BuyerHealth()
    for number in range(200):
        buyer.time(20 + number % 5)
    assert 40 <= buyer.patience_ms(300) <= 60
    assert buyer.patience_ms(30) == pytest.approx(30)


def test_latency_is_learned_from_answers_alone() -> None:
    health = Health()
    for reason in (Reason.OUTBID, Reason.TIMEOUT, Reason.CUT_OFF, Reason.NO_BID):
        health.note("one", reason)
        health.time("one", reason, 10_000)
    assert (health.buyers["one"].answers, health.buyers["one"].latency_ms) == (2, 10.0)
