"""Money is integers: micro-units of the exchange's currency (P8).

Why micros and not cents: a wire number carries up to four decimals and a margin is a share of a price; with
1,000,000 units to the unit neither ever needs a fraction. Everything that is *shown* is a whole number of
`TICK_MICROS` (four decimals), so the payout that is shown is the payout that is paid, to the last digit.
"""

from __future__ import annotations

import math
from decimal import ROUND_FLOOR, Decimal, InvalidOperation

import msgspec

MICROS = 1_000_000
TICK_MICROS = 100
"""The smallest amount that the wire can show: four decimals."""
MOST_MICROS = 1_000_000 * MICROS
"""No price, floor or bid is above a million: a bound for arithmetic, and a guard against a wrong unit."""

_TICKS_PER_UNIT = MICROS // TICK_MICROS


class Micros(int):
    """An amount in micro-units. The type says to catalogue files: read `25.00` here, keep 25_000_000."""

    most_micros = MOST_MICROS


class Budget(Micros):
    """What may be spent in a window: more than any one price, up to a billion."""

    most_micros = 1_000 * MOST_MICROS


def from_wire(value: object, most_micros: int = MOST_MICROS) -> int:
    """Micros of a JSON or YAML number (or a string holding one) with at most four decimals.

    Raises `ValueError` with a sentence for the sender: not a number, not finite, negative, too large, or
    finer than four decimals.
    """
    if isinstance(value, bool) or not isinstance(value, int | float | str | Decimal):
        raise ValueError("expected an amount such as 25.00")
    try:
        exact = Decimal(repr(value) if isinstance(value, float) else value)
    except InvalidOperation:
        raise ValueError("expected an amount such as 25.00") from None
    if not exact.is_finite():
        raise ValueError("expected a finite amount")
    if exact < 0:
        raise ValueError("expected an amount of 0 or more")
    if exact > most_micros // MICROS:
        raise ValueError(f"expected an amount of at most {most_micros // MICROS}")
    ticks = exact * _TICKS_PER_UNIT
    if ticks != ticks.to_integral_value():
        raise ValueError("expected at most four decimals")
    return int(ticks) * TICK_MICROS


def bid_from_wire(value: object) -> int | None:
    """Micros of a buyer's bid, rounded *down* to a tick (a buyer never pays more than it said); None if it
    is not a finite number in 0 … a million. Hot path: one multiplication, no Decimal."""
    # `isinstance` of a union is slow; a bool is neither
    if type(value) is not float and type(value) is not int:
        return None
    if not 0 <= value <= MOST_MICROS // MICROS:  # NaN is not in any range either
        return None
    # 1e-6 of a tick forgives the float that is a hair below its decimal (8.2 * 10_000 = 81999.99…)
    return math.floor(value * _TICKS_PER_UNIT + 1e-6) * TICK_MICROS


def to_wire(micros: int) -> float:
    """The number that JSON shows: at most four decimals, exact for every amount that `from_wire` reads."""
    return round(micros / MICROS, 4)


def to_text(micros: int) -> str:
    """For people: `25.20`, and four decimals only where they are needed."""
    exact = Decimal(micros) / MICROS
    return f"{exact:,.2f}" if micros % 10_000 == 0 else f"{exact:,.4f}"


class Margin(msgspec.Struct, frozen=True):
    """What the house keeps of a price: a share (parts per million) and an amount, together or either.

    `price = payout + margin` holds to the last unit: the payout is rounded down to a tick, the margin is what
    is left.
    """

    share_ppm: int = 0
    amount_micros: int = 0

    def payout_micros(self, price_micros: int) -> int:
        """What the seller gets of `price_micros`; never below 0."""
        rest = price_micros - price_micros * self.share_ppm // 1_000_000 - self.amount_micros
        return max(0, rest // TICK_MICROS * TICK_MICROS)

    def lowest_price_micros(self, payout_micros: int) -> int:
        """The lowest price, in whole ticks, whose payout is at least `payout_micros`."""
        if payout_micros <= 0:
            return 0
        kept_ppm = 1_000_000 - self.share_ppm
        if kept_ppm <= 0:
            return MOST_MICROS + TICK_MICROS
        # a price leaves ceil(price * kept_ppm / 1e6) - amount_micros, and ceil(x) >= n just where x > n - 1
        wanted = -(-payout_micros // TICK_MICROS) * TICK_MICROS + self.amount_micros
        price = (wanted - 1) * 1_000_000 // kept_ppm + 1
        return -(-price // TICK_MICROS) * TICK_MICROS


def margin_from_text(value: object) -> Margin:
    """`20%` (a share) or `5.00` (an amount a lead). Raises `ValueError` with a sentence for the operator."""
    if isinstance(value, str) and value.strip().endswith("%"):
        try:
            share = Decimal(value.strip()[:-1].strip())
        except InvalidOperation:
            raise ValueError("expected a share such as 20% or an amount such as 5.00") from None
        if not share.is_finite() or not 0 <= share <= 100:
            raise ValueError("expected a share between 0% and 100%")
        return Margin(share_ppm=int((share * 10_000).to_integral_value(ROUND_FLOOR)))
    try:
        return Margin(amount_micros=from_wire(value))
    except ValueError:
        raise ValueError("expected a share such as 20% or an amount such as 5.00") from None
