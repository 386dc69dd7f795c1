"""Money: what is shown is what is paid, to the last unit (P8)."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auction.market.money import (
    MICROS,
    MOST_MICROS,
    TICK_MICROS,
    Margin,
    bid_from_wire,
    from_wire,
    margin_from_text,
    to_text,
    to_wire,
)

TICKS = st.integers(0, MOST_MICROS // TICK_MICROS)
PRICES = TICKS.map(lambda ticks: ticks * TICK_MICROS)
MARGINS = st.builds(
    Margin,
    share_ppm=st.integers(0, 1_000_000),
    amount_micros=st.integers(0, 500 * MICROS),
)


@given(price=PRICES)
def test_an_amount_survives_the_wire(price: int) -> None:
    assert from_wire(to_wire(price)) == price
    assert from_wire(str(Decimal(price) / MICROS)) == price
    assert bid_from_wire(to_wire(price)) == price


@given(amount=st.floats(0, 1_000_000))
def test_a_bid_is_rounded_down_to_a_tick(amount: float) -> None:
    bid = bid_from_wire(amount)
    assert bid is not None
    assert bid % TICK_MICROS == 0
    exact = Fraction(amount) * MICROS
    assert exact - TICK_MICROS < bid <= exact + Fraction(TICK_MICROS, 100_000)


@pytest.mark.parametrize(
    "value", [True, None, "8", -0.01, float("nan"), float("inf"), 1_000_000.01, [], 10**400]
)
def test_what_is_no_bid(value: object) -> None:
    assert bid_from_wire(value) is None


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (True, "such as 25.00"),
        (None, "such as 25.00"),
        ("lots", "such as 25.00"),
        (float("nan"), "finite"),
        ("inf", "finite"),
        (-1, "0 or more"),
        (1_000_000.5, "at most 1000000"),
        (0.00001, "four decimals"),
    ],
)
def test_an_amount_that_is_refused(value: object, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        from_wire(value)


@given(margin=MARGINS, price=PRICES)
def test_price_is_payout_and_margin(margin: Margin, price: int) -> None:
    payout = margin.payout_micros(price)
    assert 0 <= payout <= price
    assert payout % TICK_MICROS == 0
    kept = price - payout
    owed = price * Fraction(margin.share_ppm, 1_000_000) + margin.amount_micros
    # the house keeps what it is owed and at most what the two roundings give it, but never more than there is
    assert kept >= min(price, int(owed))
    assert kept < owed + TICK_MICROS or kept == price


@given(margin=MARGINS, price=PRICES, other=PRICES)
def test_a_higher_price_never_pays_less(margin: Margin, price: int, other: int) -> None:
    low, high = sorted((price, other))
    assert margin.payout_micros(low) <= margin.payout_micros(high)


@given(
    margin=MARGINS,
    payout=st.integers(0, 20_000 * MICROS // TICK_MICROS).map(lambda ticks: ticks * TICK_MICROS),
)
def test_the_lowest_price_pays_and_one_tick_less_does_not(margin: Margin, payout: int) -> None:
    price = margin.lowest_price_micros(payout)
    assert price % TICK_MICROS == 0
    if margin.share_ppm == 1_000_000 and payout > 0:
        assert price > MOST_MICROS
        return
    assert margin.payout_micros(price) >= payout
    assert price == 0 or margin.payout_micros(price - TICK_MICROS) < payout


@pytest.mark.parametrize(
    ("text", "margin"),
    [
        ("20%", Margin(share_ppm=200_000)),
        (" 12.5 % ", Margin(share_ppm=125_000)),
        ("5.00", Margin(amount_micros=5 * MICROS)),
        (5, Margin(amount_micros=5 * MICROS)),
        (0.25, Margin(amount_micros=250_000)),
    ],
)
def test_margins_as_operators_write_them(text: object, margin: Margin) -> None:
    assert margin_from_text(text) == margin


@pytest.mark.parametrize("text", ["x%", "101%", "-1%", "nan%", "five", None, -3])
def test_margins_that_are_refused(text: object) -> None:
    with pytest.raises(ValueError, match="expected a share"):
        margin_from_text(text)


def test_amounts_for_people() -> None:
    assert to_text(25_200_000) == "25.20"
    assert to_text(1_234_567_800) == "1,234.5678"
    assert to_text(0) == "0.00"
