"""Fields: one spelling for every value, every mistake of a lead at once, nobody named in a ping."""

from __future__ import annotations

import datetime
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auction.errors import FieldMistake
from auction.market.fields import (
    MOST_KEYS,
    Changed,
    FieldError,
    LeadDecoder,
    check_spec,
    compile_field,
)
from auction.market.model import FieldSpec, FieldType
from auction.market.values import STATE_CODES

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=40),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
TYPES: tuple[FieldType, ...] = (
    "text",
    "integer",
    "number",
    "boolean",
    "choice",
    "date",
    "us_state",
    "us_zip",
    "phone",
    "email",
    "url",
)


def spec(of: FieldType, **more: Any) -> FieldSpec:
    if of == "choice":
        more.setdefault("choices", ("Gas", "Heat pump", "gas oil"))
    return FieldSpec(name="x", type=of, **more)


GOOD: list[tuple[FieldType, object, object]] = [
    ("text", "  Ann ", "Ann"),
    ("text", "Zoe\u0308", "Zo\u00eb"),
    ("text", "\u0645\u06cc\u200c\u062e", "\u0645\u06cc\u200c\u062e"),  # a joiner is no control character
    ("text", "x" * 256, "x" * 256),
    ("text", "a\u0323" + "\u0300" * 29 + "b\u0300", "\u1ea1" + "\u0300" * 29 + "b\u0300"),
    ("integer", 7, 7),
    ("integer", 7.0, 7),
    ("integer", " -12 ", -12),
    ("integer", 10**12, 10**12),
    ("number", 7, 7.0),
    ("number", "12.50", 12.5),
    ("number", ".5", 0.5),
    ("boolean", True, True),
    ("boolean", "Yes", True),
    ("boolean", "0", False),
    ("choice", "HEAT PUMP", "Heat pump"),
    ("choice", " gas", "Gas"),
    ("date", "2026-01-31", "2026-01-31"),
    ("date", "1/31/2026", "2026-01-31"),
    ("date", datetime.date(2026, 1, 31), "2026-01-31"),
    ("us_state", "tx", "TX"),
    ("us_state", "new  york", "NY"),
    ("us_state", "dc", "DC"),
    ("us_state", "Puerto Rico", "PR"),
    ("us_zip", "02139", "02139"),
    ("us_zip", "02139-1234", "02139"),
    ("us_zip", 2139, "02139"),
    ("phone", "(512) 555-0101", "+15125550101"),
    ("phone", "1-512-555-0101", "+15125550101"),
    ("phone", "+1 512.555.0101", "+15125550101"),
    ("phone", "+44 20 7946 0958", "+442079460958"),
    ("email", " Ann.B+x@Example.COM ", "Ann.B+x@example.com"),
    ("url", " https://Example.com/a?b=c#d ", "https://Example.com/a?b=c#d"),
]
BAD: list[tuple[FieldType, object]] = [
    ("text", ""),
    ("text", "   "),
    ("text", "a\nb"),
    ("text", "a\x00b"),
    ("text", "\ud800"),
    ("text", "x" * 257),
    ("text", "a" + "\u0300\u0316" * 15 + "\u0300"),  # 31 marks on one letter
    ("text", 5),
    ("integer", True),
    ("integer", 7.5),
    ("integer", "7.0"),
    ("integer", "1_000"),
    ("integer", "\u0661\u0662"),
    ("integer", 10**12 + 1),
    ("integer", math.inf),
    ("integer", "9" * 5000),
    ("number", False),
    ("number", math.nan),
    ("number", math.inf),
    ("number", 10**400),
    ("number", "nan"),
    ("number", "1e5"),
    ("boolean", 1),
    ("boolean", "maybe"),
    ("choice", "coal"),
    ("choice", 1),
    ("date", "2026-02-30"),
    ("date", "20260131"),
    ("date", "2026-W05-1"),
    ("date", "31/01/2026"),
    ("date", datetime.datetime(2026, 1, 31, tzinfo=datetime.UTC)),
    ("us_state", "XX"),
    ("us_state", "Texas City"),
    ("us_zip", "2139"),
    ("us_zip", "021390"),
    ("us_zip", "\u0660\u0662\u0661\u0663\u0669"),
    ("us_zip", 500),
    ("us_zip", 99951),
    ("us_zip", True),
    ("phone", 5125550101),
    ("phone", "\u0665\u0661\u0662\u0665\u0665\u0665\u0660\u0661\u0660\u0661"),
    ("phone", "512-555-010"),
    ("phone", "2-512-555-0101"),
    ("phone", "+1 512 555 010"),
    ("phone", "+0123456789"),
    ("phone", "+"),
    ("phone", ""),
    ("phone", "512-555-0101" + " " * 30),
    ("phone", "512-555-0101 ext 4"),
    ("email", "ann"),
    ("email", "ann@example"),
    ("email", "ann@@example.com"),
    ("email", ".ann@example.com"),
    ("email", "ann@-example.com"),
    ("email", "ann b@example.com"),
    ("email", "a" * 65 + "@example.com"),
    ("email", "a@" + "b." * 130 + "com"),
    ("url", "ftp://example.com"),
    ("url", "https://"),
    ("url", "https://exa mple.com"),
    ("url", "https://example.com:99999/"),
    ("url", "javascript:alert(1)"),
    ("url", "https://[::1"),
    ("url", "https://example.com/" + "x" * 2048),
]


@pytest.mark.parametrize(("of", "sent", "kept"), GOOD)
def test_a_good_value_gets_its_one_spelling(of: FieldType, sent: object, kept: object) -> None:
    value = compile_field(spec(of))(sent)
    assert value == kept
    assert type(value) is type(kept)


@pytest.mark.parametrize(("of", "sent"), BAD)
def test_a_bad_value_is_refused_with_a_sentence(of: FieldType, sent: object) -> None:
    with pytest.raises(FieldError, match=r"^expected .{3,80}$"):
        compile_field(spec(of))(sent)


def test_unicode_digits_of_a_phone_are_refused_by_name() -> None:
    with pytest.raises(FieldError, match="digits 0 to 9"):
        compile_field(spec("phone"))("\uff15\uff11\uff12\uff15\uff15\uff15\uff10\uff11\uff10\uff11")


@given(of=st.sampled_from(TYPES), sent=JSON)
def test_any_json_is_read_or_refused_and_reading_again_changes_nothing(of: FieldType, sent: object) -> None:
    read = compile_field(spec(of))
    try:
        value = read(sent)
    except FieldError:
        return
    assert type(value) in (str, int, float, bool)
    assert read(value) == value
    assert type(read(value)) is type(value)


@given(low=st.integers(-50, 50), high=st.integers(-50, 50), sent=st.integers(-60, 60))
def test_bounds_hold_at_both_ends(low: int, high: int, sent: int) -> None:
    read = compile_field(spec("integer", min=low, max=high))
    if low <= sent <= high:
        assert read(sent) == sent
    else:
        with pytest.raises(FieldError, match=f"expected {low} to {high}"):
            read(sent)


def test_bounds_of_one_side_and_of_dates() -> None:
    with pytest.raises(FieldError, match="expected at least 0"):
        compile_field(spec("number", min=0))(-0.5)
    with pytest.raises(FieldError, match="expected at most 2026-12-31"):
        compile_field(spec("date", max="12/31/2026"))("2027-01-01")
    assert compile_field(spec("date", min="2026-01-01"))("1/1/2026") == "2026-01-01"
    assert str(compile_field(spec("number"))(-0.0)) == "0.0"


def test_max_length_counts_characters() -> None:
    read = compile_field(spec("text", max_length=3))
    assert read("\u00e9\u00e9\u00e9") == "\u00e9\u00e9\u00e9"
    with pytest.raises(FieldError, match="at most 3 characters"):
        read("abcd")


def test_states_are_all_there() -> None:
    assert len(STATE_CODES) == 50 + 1 + 5
    assert all(compile_field(spec("us_state"))(code) == code for code in STATE_CODES)


@pytest.mark.parametrize("of", TYPES)
def test_a_plain_spec_has_nothing_wrong(of: FieldType) -> None:
    assert check_spec(spec(of)) == []


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (spec("choice", choices=()), "needs choices"),
        (spec("choice", choices=("a", "A")), "differ by more"),
        (spec("choice", choices=("a", " b")), "begin or end"),
        (spec("text", choices=("a",)), "choices are for"),
        (spec("integer", min=5, max=4), "min is above max"),
        (spec("date", min="2026-02-30"), "min: expected a date"),
        (spec("integer", max="lots"), "max: expected a whole number"),
        (spec("text", min=1), "min is for"),
        (spec("us_zip", max=1), "max is for"),
        (spec("url", max_length=5), "max_length is for"),
        (spec("phone", pii=True, required="ping"), "cannot be required at ping"),
        (spec("phone", pii=True, ping=True), "cannot go into a ping"),
    ],
)
def test_what_is_wrong_with_a_spec_is_said_once(wrong: FieldSpec, says: str) -> None:
    (sentence,) = check_spec(wrong)
    assert says in sentence


FIELDS = (
    FieldSpec(name="state", type="us_state", required="ping"),
    FieldSpec(name="bill", type="integer", min=0, required="ping"),
    FieldSpec(name="roof", type="choice", choices=("Tile", "Metal"), ping=True),
    FieldSpec(name="first_name", type="text", required="post", pii=True),
    FieldSpec(name="phone", type="phone", required="post", pii=True),
    FieldSpec(name="comment", type="text"),
)
PING: dict[str, object] = {"bill": "120", "state": "texas"}
POST: dict[str, object] = {"first_name": "Ann", "phone": "5125550101"}


def test_a_good_ping_is_decoded_in_the_order_of_the_fields() -> None:
    values, mistakes = LeadDecoder(FIELDS).ping({**PING, "roof": None})
    assert mistakes == []
    assert list(values.items()) == [("state", "TX"), ("bill", 120)]


def test_every_mistake_of_a_ping_is_named_at_once() -> None:
    lead = {"bill": -1, "roof": "Slate", "phone": "5125550101", "comment": "hi", "rooof": 1, "zzz": 2}
    _, mistakes = LeadDecoder(FIELDS).ping(lead)
    assert mistakes == [
        FieldMistake("lead.state", "is required"),
        FieldMistake("lead.bill", "expected at least 0"),
        FieldMistake("lead.roof", "expected one of Tile, Metal"),
        FieldMistake("lead.comment", "is not part of a ping: send it with the post"),
        FieldMistake("lead.phone", "names a person: send it with the post"),
        FieldMistake("lead.rooof", "is not a field of this campaign: did you mean roof?"),
        FieldMistake("lead.zzz", "is not a field of this campaign"),
    ]


def test_ignoring_unknown_fields_does_not_let_a_person_be_named() -> None:
    values, mistakes = LeadDecoder(FIELDS, "ignore").ping({**PING, "zzz": 1, "phone": "5125550101"})
    assert mistakes == [FieldMistake("lead.phone", "names a person: send it with the post")]
    assert "phone" not in values
    assert "zzz" not in values


def test_a_null_is_a_field_left_out() -> None:
    assert LeadDecoder(FIELDS).ping({**PING, "phone": None, "zzz": None})[1] == []
    assert LeadDecoder(FIELDS).ping({**PING, "bill": None})[1] == [FieldMistake("lead.bill", "is required")]


def test_a_lead_with_too_many_keys_is_refused_whole() -> None:
    decoder = LeadDecoder(FIELDS)
    lead = PING | {f"k{n}": n for n in range(MOST_KEYS)}
    assert decoder.ping(lead)[1] == [FieldMistake("lead", "expected at most 500 fields")]
    assert len(decoder.ping({f"k{n}": n for n in range(MOST_KEYS)})[1]) == MOST_KEYS + 2


def test_a_post_is_laid_over_its_ping() -> None:
    decoder = LeadDecoder(FIELDS)
    known, _ = decoder.ping(PING)
    decoded = decoder.post({**POST, "state": " TX ", "comment": "hi"}, known)
    assert decoded.mistakes == []
    assert decoded.changed == ()
    assert decoded.values == {
        "state": "TX",
        "bill": 120,
        "first_name": "Ann",
        "phone": "+15125550101",
        "comment": "hi",
    }


def test_a_post_tells_what_changed_since_the_ping() -> None:
    decoder = LeadDecoder(FIELDS)
    known, _ = decoder.ping(PING)
    decoded = decoder.post({**POST, "bill": 99, "roof": "tile"}, known)
    assert decoded.mistakes == []
    assert decoded.changed == (Changed("bill", 120, 99), Changed("roof", None, "Tile"))
    assert decoded.values["bill"] == 99
    assert decoded.values["roof"] == "Tile"


def test_every_mistake_of_a_post_is_named_at_once() -> None:
    decoded = LeadDecoder(FIELDS).post({"phone": "1", "state": "XX", "fone": 1}, {"state": "TX"})
    assert [(mistake.field, mistake.error) for mistake in decoded.mistakes] == [
        ("lead.state", "expected a US state such as TX"),
        ("lead.bill", "is required"),
        ("lead.first_name", "is required"),
        ("lead.phone", "expected a phone number such as +15125550101"),
        ("lead.fone", "is not a field of this campaign: did you mean phone?"),
    ]
    assert decoded.changed == ()
