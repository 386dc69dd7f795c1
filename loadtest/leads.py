"""Makes plausible leads out of a campaign's fields: by each field's type, and its name where that says more.

PURE and seeded: the same generator makes the same leads. Nobody is named by them: phones are of the range
555-0100 … 555-0199 that is kept for fiction, addresses of mail are at example.com.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterable, Sequence
from random import Random

import msgspec

from auction.market.model import FieldSpec, FieldValue
from auction.market.values import read_date

SHARE_LEFT_OUT = 0.2
"""Of the fields that are not required: a seller does not always have them."""

# state, the first three digits of its zip codes, a city there
_PLACES = [
    place.split(" ", 2)
    for place in """
TX 750 Plano|TX 770 Houston|TX 782 San Antonio|TX 787 Austin|TX 799 El Paso|OK 731 Oklahoma City
AZ 850 Phoenix|AZ 857 Tucson|NM 871 Albuquerque|NV 891 Las Vegas|CA 900 Los Angeles|CA 921 San Diego
CA 941 San Francisco|CA 958 Sacramento|CA 960 Redding|CO 802 Denver|UT 841 Salt Lake City|ID 837 Boise
MT 591 Billings|WY 820 Cheyenne|WA 981 Seattle|OR 972 Portland|NY 100 New York|NY 112 Brooklyn
NJ 071 Newark|CT 061 Hartford|MA 021 Boston|PA 191 Philadelphia|PA 152 Pittsburgh|NH 031 Manchester
VT 054 Burlington|ME 041 Portland|RI 029 Providence|FL 331 Miami|FL 328 Orlando|GA 303 Atlanta
NC 282 Charlotte|SC 292 Columbia|VA 232 Richmond|TN 372 Nashville|KY 402 Louisville|OH 432 Columbus
MI 482 Detroit|IL 606 Chicago|WI 532 Milwaukee|MN 554 Minneapolis|MO 631 St. Louis|KS 672 Wichita
IA 503 Des Moines|LA 701 New Orleans|AL 352 Birmingham|AR 722 Little Rock
AK 995 Anchorage|HI 968 Honolulu
""".strip()
    .replace("\n", "|")
    .split("|")
]
# fmt: off
_FIRST_NAMES = (
    "Ann", "Ben", "Carla", "David", "Elena", "Frank", "Grace", "Henry", "Ines", "Jack", "Karen", "Luis",
    "Mary", "Noah", "Olga", "Paul", "Rosa", "Sam", "Zoë",
)
_LAST_NAMES = (
    "Adams", "Baker", "Clark", "Diaz", "Evans", "Flores", "Garcia", "Hill", "Ito", "Jones", "King", "Lopez",
    "Müller", "Nguyen", "O'Brien", "Smith",
)
_STREETS = (
    "Oak St", "Maple Ave", "Cedar Ln", "Main St", "Lakeview Dr", "2nd St", "Sunset Blvd", "Hillcrest Rd",
)
# fmt: on
_COMPANIES = ("Acme Mutual", "Blue Ridge", "Capitol", "Eagle Rock", "First Plains", "Northway")

# A word of a field's name (the first that fits) → the range its numbers are plausible in.
_RANGES = {
    "roof": (0, 40),
    "bill": (60, 420),
    "year": (1998, 2025),
    "income": (1_500, 12_000),
    "amount": (500, 30_000),
    "score": (520, 820),
    "age": (18, 80),
    "violations": (0, 3),
}
_ANY_RANGE = (0, 100)
_BIRTHS = ("1945-01-01", "2005-12-31")
_DATES = ("2024-01-01", "2025-12-31")


class Person(msgspec.Struct, frozen=True):
    """Whom one lead is about: what must fit together in it."""

    first_name: str
    last_name: str
    state: str
    zip: str
    city: str
    address: str
    number: int

    @property
    def email(self) -> str:
        """Unlike others', by its number."""
        name = f"{self.first_name}.{self.last_name}".lower()
        plain = "".join(char for char in name if char.isascii() and (char.isalnum() or char == "."))
        return f"{plain}{self.number}@example.com"


Maker = Callable[[Random, Person], FieldValue]


class LeadMaker:
    """Leads of one campaign, one after another: `ping_fields()` begins one, `post_fields()` completes it."""

    def __init__(self, fields: Sequence[FieldSpec], rng: Random) -> None:
        self._rng = rng
        self._ping = [(spec, maker_of(spec)) for spec in fields if spec.in_ping]
        self._post = [(spec, maker_of(spec)) for spec in fields if not spec.in_ping]
        self._person = make_person(rng)

    def ping_fields(self) -> dict[str, FieldValue]:
        """What the ping of a new lead says."""
        self._person = make_person(self._rng)
        return self._made(self._ping)

    def post_fields(self) -> dict[str, FieldValue]:
        """The rest of the lead whose `ping_fields` were made last: what its post adds."""
        return self._made(self._post)

    def _made(self, makers: Iterable[tuple[FieldSpec, Maker]]) -> dict[str, FieldValue]:
        rng, person = self._rng, self._person
        return {
            spec.name: make(rng, person)
            for spec, make in makers
            if spec.required != "no" or rng.random() >= SHARE_LEFT_OUT
        }


def make_person(rng: Random) -> Person:
    """Somebody who does not exist."""
    state, prefix, city = rng.choice(_PLACES)
    return Person(
        first_name=rng.choice(_FIRST_NAMES),
        last_name=rng.choice(_LAST_NAMES),
        state=state,
        zip=f"{prefix}{rng.randrange(1, 100):02d}",
        city=city,
        address=f"{rng.randrange(1, 9999)} {rng.choice(_STREETS)}",
        number=rng.randrange(1_000_000),
    )


def maker_of(spec: FieldSpec) -> Maker:
    """Makes values of this field, each one that the exchange takes."""
    match spec.type:
        case "text":
            return _text(spec)
        case "integer" | "number":
            return _number(spec)
        case "date":
            return _date(spec)
        case "boolean":
            return lambda rng, _: rng.random() < 0.7
        case "choice":
            return lambda rng, _: rng.choice(spec.choices)
        case "us_state":
            return lambda _, person: person.state
        case "us_zip":
            return lambda _, person: person.zip
        case "phone":
            return lambda rng, _: make_phone(rng)
        case "email":
            return lambda _, person: person.email
        case "url":
            return lambda rng, _: f"https://example.com/form/{rng.randrange(1000)}"


def make_phone(rng: Random) -> str:
    """555-0100 … 555-0199 in any area, spelled in one of the ways that forms send."""
    area = f"{rng.randrange(2, 10)}{rng.randrange(0, 9)}{rng.choice('023456789')}"
    line = f"01{rng.randrange(100):02d}"
    return rng.choice(
        (f"+1{area}555{line}", f"({area}) 555-{line}", f"{area}-555-{line}", f"{area}555{line}")
    )


def _text(spec: FieldSpec) -> Maker:
    make = _TEXTS.get(spec.name)
    if make is None:
        words = spec.name.lower().split("_")
        make = next((maker for word, maker in _TEXTS.items() if word in words), lambda *_: "sample")
    most = spec.max_length or 256
    return lambda rng, person: make(rng, person)[:most].strip()


_TEXTS: dict[str, Callable[[Random, Person], str]] = {
    "first_name": lambda _, person: person.first_name,
    "last_name": lambda _, person: person.last_name,
    "name": lambda _, person: f"{person.first_name} {person.last_name}",
    "city": lambda _, person: person.city,
    "address": lambda _, person: person.address,
    "street": lambda _, person: person.address,
    "carrier": lambda rng, _: rng.choice(_COMPANIES),
    "company": lambda rng, _: rng.choice(_COMPANIES),
    "ip": lambda rng, _: f"192.0.2.{rng.randrange(1, 255)}",
}


def _number(spec: FieldSpec) -> Maker:
    words = spec.name.lower().split("_")
    usual_low, usual_high = next((range_ for word, range_ in _RANGES.items() if word in words), _ANY_RANGE)
    low = None if spec.min is None else float(spec.min)
    high = None if spec.max is None else float(spec.max)
    first, last = _within(float(usual_low), float(usual_high), low, high)
    if spec.type == "integer":
        return lambda rng, _: rng.randint(int(first), int(last))
    return lambda rng, _: min(max(round(rng.uniform(first, last), 2), first), last)


def _date(spec: FieldSpec) -> Maker:
    birth = bool({"birth", "birthday", "dob", "born"} & set(spec.name.lower().split("_")))
    usual_low, usual_high = map(_day, _BIRTHS if birth else _DATES)
    low = None if spec.min is None else _day(read_date(spec.min))
    high = None if spec.max is None else _day(read_date(spec.max))
    first, last = _within(usual_low, usual_high, low, high)
    return lambda rng, _: datetime.date.fromordinal(int(rng.randint(int(first), int(last)))).isoformat()


def _day(text: str) -> float:
    return float(datetime.date.fromisoformat(text).toordinal())


def _within(
    usual_low: float, usual_high: float, low: float | None, high: float | None
) -> tuple[float, float]:
    """What the field's own bounds leave of the usual range; where that is nothing, the bounds themselves."""
    first = usual_low if low is None else max(usual_low, low)
    last = usual_high if high is None else min(usual_high, high)
    if first <= last:
        return first, last
    bounds = [bound for bound in (low, high) if bound is not None]
    return bounds[0], bounds[-1]
