# ruff: noqa: E501  (one mistake, one row)

from __future__ import annotations

from typing import TypeVar

import msgspec.inspect as mi
import pytest

from auction.catalogue.entries import SHAPES, EntryReader, Wrong
from auction.catalogue.mistakes import Mistake
from auction.catalogue.yaml_source import parse_yaml
from auction.market import model
from auction.market.entry import Entry
from auction.market.model import Buyer, Campaign, Cap, FieldSpec, House, Order, Price, Seller
from auction.market.money import Budget, Micros

A_NAME = SHAPES[r"^[a-z0-9][a-z0-9_-]{0,63}\Z"]

E = TypeVar("E", bound=Entry)


def read(
    entry_type: type[E], text: str, text_fields: frozenset[str] = frozenset()
) -> tuple[E | None, list[str]]:
    """The entry of one YAML text, and its mistakes as `line: path: error`."""
    mistakes: list[Mistake] = []
    node = parse_yaml(text)
    assert node is not None
    entry = EntryReader("x", mistakes).read(node, entry_type, (), text_fields=text_fields)
    return None if isinstance(entry, Wrong) else entry, [
        str(mistake).removeprefix("x:") for mistake in mistakes
    ]


def test_an_order_is_read_with_its_types() -> None:
    order, mistakes = read(
        Order,
        """
id: sunrise-tx
buyer: sunrise
campaign: solar
name: NO
filter: {field: bill, at_least: 1.5}
hours: [daily 8:00-20:00]
price: {live: yes, max: 80}
caps: [{spend: "12.3456", per: day}]
priority: -5
sellers:
paused: off
""",
    )
    assert mistakes == []
    assert order == Order(
        id="sunrise-tx",
        buyer="sunrise",
        campaign="solar",
        name="NO",
        filter={"field": "bill", "at_least": 1.5},
        hours=("daily 8:00-20:00",),
        price=Price(live=True, max_micros=Micros(80_000_000)),
        caps=(Cap(per="day", spend_micros=Budget(12_345_600)),),
        priority=-5,
    )


def test_what_is_required_no_is_not_false() -> None:
    spec, _ = read(FieldSpec, "{name: zip, type: us_zip, required: no, ping: on}")
    assert spec == FieldSpec(name="zip", type="us_zip", required="no", ping=True)


@pytest.mark.parametrize(
    ("written", "bound"),
    [("5", 5), ("0.5", 0.5), ("2024-01-01", "2024-01-01"), ('"5"', "5"), ("007", "007"), ("yes", "yes")],
)
def test_a_bound_is_a_number_or_a_date(written: str, bound: object) -> None:
    spec, _ = read(FieldSpec, f"{{name: a, type: date, min: {written}}}")
    assert spec is not None
    assert spec.min == bound
    assert type(spec.min) is type(bound)


def test_operands_of_text_fields_stay_text() -> None:
    text = """
{id: a, buyer: b, campaign: c, price: {}, filter: {any: [
  {field: zip, starts_with: [750, 01, 1e3], exists: true},
  {field: bill, in: [750, 01, 1e3]},
  {not: {field: zip, equals: 75001}},
  {field: zip, equals: ~},
]}}"""
    order, _ = read(Order, text, frozenset({"zip"}))
    assert order is not None
    assert order.filter == {
        "any": [
            {"field": "zip", "starts_with": ["750", "01", "1e3"], "exists": True},
            {"field": "bill", "in": [750, "01", 1000.0]},
            {"not": {"field": "zip", "equals": "75001"}},
            {"field": "zip", "equals": None},
        ]
    }


ORDER = "{id: a, buyer: b, campaign: c, price: {fixed: 1}, %s}"


@pytest.mark.parametrize(
    ("entry_type", "text", "mistakes"),
    [
        (Order, "[]", ["1: expected keys and values, such as {id: ..., buyer: ..., campaign: ..., price: ...}, was a list"]),
        (Order, "{id: a, buyer: b,\n price: {}}", ["1: campaign: this key is required and missing"]),
        (Order, ORDER % "caps_: []", ["1: unknown key `caps_`; did you mean `caps`?"]),
        (Order, ORDER % "zzz: 1", ["1: unknown key `zzz`"]),
        (Order, ORDER % "tier: 2,\n tier: 3", ["2: tier: the key stands twice; the first is on line 1"]),
        (Order, ORDER % "filter: {all: [],\n all: []}", ["2: filter.all: the key stands twice; the first is on line 1"]),
        (Order, ORDER % "filter: [1]", ["1: filter: expected keys and values, such as {field: state, in: [TX]}, was a list"]),
        (Order, ORDER % "paused: maybe", ['1: paused: expected true or false, was "maybe"']),
        (Order, ORDER % "paused: 'true'", ['1: paused: expected true or false, was the text "true"; take the quotes away']),
        (Order, ORDER % "tier: 21", ["1: tier: expected a whole number between 1 and 20, was 21"]),
        (Order, ORDER % "tier: 1.5", ["1: tier: expected a whole number between 1 and 20, was 1.5"]),
        (Order, ORDER % "tier: '2'", ['1: tier: expected a whole number between 1 and 20, was the text "2"; take the quotes away']),
        (Order, ORDER % "hours: Mon", ['1: hours: expected a list, such as [a, b], was "Mon"']),
        (Order, ORDER % "hours: [~]", ["1: hours[0]: expected text, was nothing"]),
        (Order, ORDER % "name: {a: b}", ["1: name: expected text, was keys and values"]),
        (Order, ORDER % "sellers: [Acme]", [f'1: sellers[0]: expected {A_NAME}, was "Acme"']),
        (Cap, "{per: fortnight}", ['1: per: expected `day`, `hour`, `minute`, `month`, `second`, `total` or `week`, was "fortnight"']),
        (Cap, "{per: day, spend: lots}", ['1: spend: expected an amount such as 25.00, was "lots"']),
        (Cap, "{per: day, spend: [1]}", ["1: spend: expected an amount such as 25.00, was a list"]),
        (Cap, "{per: day, spend: -1}", ["1: spend: expected an amount of 0 or more, was -1"]),
        (Cap, "{per: day, spend: 1e999999999}", ['1: spend: expected an amount of at most 1000000000, was "1e999999999"']),
        (Cap, "{per: day, spend: 1.00001}", ["1: spend: expected at most four decimals, was 1.00001"]),
        (Cap, "{per: day, leads: 9999999999}", ["1: leads: expected a whole number between 1 and 1000000000, was 9999999999"]),
        (Price, "{fixed: nan}", ['1: fixed: expected a finite amount, was "nan"']),
        (FieldSpec, "{name: a-b, type: text}", ['1: name: expected a name of letters, digits and `_`, at most 64, such as `zip_code`, was "a-b"']),
        (FieldSpec, "{name: a, type: date, min: []}", ["1: min: expected text or a number, was a list"]),
        (Seller, "{id: a, code: acme}", ['1: code: expected a code of 8 capital letters and digits, such as `ACME1234`, was "acme"']),
        (Seller, "{id: a, rate_limit: 60/min}", ['1: rate_limit: expected a rate such as `60/minute` (or second, hour, day), was "60/min"']),
        (House, "{currency: usd}", ['1: currency: expected a currency\'s code of 3 capital letters, such as `USD`, was "usd"']),
        (Campaign, "{id: a, fields: {}}", ["1: fields: expected a list, such as [a, b], was keys and values"]),
        (Buyer, "{id: a, headers: [x]}", ["1: headers: expected keys and values, such as {key: value}, was something else (not shown: it is secret)"]),
    ],
)  # fmt: skip
def test_each_mistake_says_what_was_expected(entry_type: type[Entry], text: str, mistakes: list[str]) -> None:
    assert read(entry_type, text) == (None, mistakes)


def test_all_leaves_are_told_at_once() -> None:
    _, mistakes = read(
        Order, "id: A\nbuyer: 'b '\nprice: {fixed: x,\n max: y}\ncaps:\n- {leads: 0}\ntier: a\n"
    )
    assert [mistake.split(": ")[:2] for mistake in mistakes] == [
        ["1", "id"],
        ["2", "buyer"],
        ["3", "price.fixed"],
        ["4", "price.max"],
        ["6", "caps[0].leads"],
        ["6", "caps[0].per"],
        ["7", "tier"],
        ["1", "campaign"],
    ]


@pytest.mark.parametrize(
    "text",
    ["{id: a, keys: [hunter2]}", "{id: a, keys: hunter2}", "{id: a, keys: [{hunter2: 1}]}"],
)
def test_a_secret_is_not_shown_when_it_is_wrong(text: str) -> None:
    _, mistakes = read(Seller, text)
    assert mistakes
    assert "hunter2" not in "".join(mistakes)


def test_a_trailing_newline_is_not_part_of_a_name() -> None:
    seller, _ = read(Seller, r'{id: "a\n"}')
    assert seller is None


def test_every_pattern_of_the_model_has_words() -> None:
    entry_types = [
        kind for kind in vars(model).values() if isinstance(kind, type) and issubclass(kind, Entry)
    ]
    patterns = {
        part.pattern
        for kind in entry_types
        for part in _parts(mi.type_info(kind))
        if isinstance(part, mi.StrType) and part.pattern is not None
    }
    assert patterns == set(SHAPES)


def _parts(info: mi.Type) -> list[mi.Type]:
    inner: list[mi.Type] = []
    if isinstance(info, mi.StructType):
        inner = [field.type for field in info.fields]
    elif isinstance(info, mi.UnionType):
        inner = list(info.types)
    elif isinstance(info, mi.VarTupleType):
        inner = [info.item_type]
    return [info, *(part for one in inner for part in _parts(one))]


def test_every_type_of_the_model_can_be_read() -> None:
    for kind in (Campaign, Seller, Buyer, Order, House):
        entry, mistakes = read(kind, "{zzz: 1}")
        assert entry is None
        assert mistakes[0] == "1: unknown key `zzz`"


def test_a_url_in_a_wrong_place_is_told_without_its_secrets() -> None:
    _, mistakes = read(Seller, "{id: acme, postbacks: ['https://t.example/p?api_key=hush']}")
    assert mistakes == [
        '1: postbacks[0]: expected keys and values, such as {url: ...}, was "https://t.example/p?..."'
    ]
