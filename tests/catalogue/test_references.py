"""Who names whom: what an entry says of others is checked as far as it can be read; one mistake breeds no others."""

from __future__ import annotations

import msgspec
import pytest

from auction.catalogue.documents import KINDS, SECTIONS
from auction.catalogue.reading import CatalogueMistakes, Source, read_catalogue
from auction.catalogue.references import NAMED

MARKET = """
campaigns:
- {id: solar, fields: [{name: zip, type: us_zip, ping: true}, {name: bill, type: integer, ping: true}]}
sellers:
- {id: acme, campaigns: [solar]}
buyers:
- {id: sun, post_url: 'https://sun.example/'}
orders:
- {id: a, buyer: sun, campaign: solar, price: {fixed: 5}, sellers: [acme]}
teams:
- {id: home, name: Home, buyers: [sun]}
sources:
- {id: web, name: Web, buyers: [sun]}
suppression_lists:
- {id: dnc, fields: [zip], campaigns: [solar]}
"""


def mistakes(*changes: tuple[str, str]) -> list[str]:
    """Path and sentence of each mistake, once these changes are made."""
    text = MARKET
    for before, after in changes:
        assert text.count(before) == 1, before
        text = text.replace(before, after)
    with pytest.raises(CatalogueMistakes) as caught:
        read_catalogue([Source("m.yaml", text)])
    return [f"{one.line}: {one.path}: {one.error}" for one in caught.value.mistakes]


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (
            ("price: {fixed: 5}, sellers: [acme]", "price: {fixed: lots}, sellers: [acme, acmee], not_sellers: [x]"),
            [
                '9: orders[0].price.fixed: expected an amount such as 25.00, was "lots"',
                "9: orders[0].sellers[1]: there is no seller `acmee`; did you mean `acme`?",
                "9: orders[0].not_sellers[0]: there is no seller `x`",
            ],
        ),
        (
            ("buyer: sun, campaign: solar, price", "buyer: sum, campaign: sollar, tier: x, price"),
            [
                '9: orders[0].tier: expected a whole number between 1 and 20, was "x"',
                "9: orders[0].buyer: there is no buyer `sum`; did you mean `sun`?",
                "9: orders[0].campaign: there is no campaign `sollar`; did you mean `solar`?",
            ],
        ),
        (
            ("price: {fixed: 5}", "tier: x, price: {fixed: 5}, filter: {field: bil, at_least: 3}"),
            [
                '9: orders[0].tier: expected a whole number between 1 and 20, was "x"',
                "9: orders[0].filter.field: 'bil' is not a field of the campaign (did you mean bill?)",
            ],
        ),
        (
            ("{id: acme, campaigns: [solar]}", "{id: acme, campaigns: [sollar], margn: 1}"),
            [
                "5: sellers[0]: unknown key `margn`; did you mean `margin`?",
                "5: sellers[0].campaigns[0]: there is no campaign `sollar`; did you mean `solar`?",
            ],
        ),
        (
            ("name: Home, buyers: [sun]", "buyers: [sun, moon]"),
            [
                "11: teams[0].name: this key is required and missing",
                "11: teams[0].buyers[1]: there is no buyer `moon`",
            ],
        ),
    ],
)  # fmt: skip
def test_what_can_be_read_of_an_entry_with_a_mistake_is_checked(
    change: tuple[str, str], found: list[str]
) -> None:
    assert mistakes(change) == found


@pytest.mark.parametrize(
    ("change", "path"),
    [
        (("{id: acme, ", "{id: acme, margn: 1, "), "sellers[0]"),
        (("{id: acme, ", "{ide: acme, "), "sellers[0]"),
        (("{id: acme, ", "{id: Acme Leads, "), "sellers[0].id"),
        (("{id: solar, ", "{id: Solar, "), "campaigns[0].id"),
        (("{id: solar, ", "{id: solar, tier: 1, "), "campaigns[0]"),
        (("{id: sun, ", "{id: sun, timeout_ms: soon, "), "buyers[0].timeout_ms"),
        (("{id: sun, ", "{"), "buyers[0].id"),
        (("sellers: [acme]}", "sellers: [acme, 7!]}"), "orders[0].sellers[1]"),
        (("buyer: sun, ", "buyr: sun, "), "orders[0]"),
    ],
)
def test_one_mistake_breeds_no_others(change: tuple[str, str], path: str) -> None:
    """A name that stands wrong itself is not missed where others use it."""
    found = {sentence.split(": ")[1] for sentence in mistakes(change)}
    section = path.partition("[")[0]
    assert path in found
    assert all(one.startswith(f"{section}[0]") for one in found), found


def test_a_mistake_of_what_was_read_in_part_stands_at_its_own_line() -> None:
    orders = "- {id: a, buyer: sun, campaign: solar, price: {fixed: 5}, sellers: [acme]}"
    bad = orders.replace("{fixed: 5}", "5").replace("id: a, buyer: sun", "id: b, buyer: moon")
    bad += "\n" + orders.replace("id: a, buyer: sun", "id: c, buyer: mars")
    assert [sentence.split(": ")[:2] for sentence in mistakes((orders, f"{bad}\n{orders}"))] == [
        ["9", "orders[0].price"],
        ["9", "orders[0].buyer"],
        ["10", "orders[1].buyer"],
    ]


def test_every_key_that_names_others_is_a_key_of_its_entry() -> None:
    for section, keys in NAMED.items():
        fields = {field.encode_name for field in msgspec.structs.fields(KINDS[SECTIONS[section]])}
        assert set(keys) <= fields
        assert set(keys.values()) <= set(SECTIONS)
