"""Campaigns at the door of the lead distribution API, and the rules of a campaign's own filter."""

from __future__ import annotations

import pytest

from auction.catalogue.reading import CatalogueMistakes, Source, read_catalogue
from auction.catalogue.writing import write_catalogue

SYSTEM = """
    fields:
      - {name: first_name, type: text, required: post, pii: true}
      - {name: last_name, type: text, required: post, pii: true}
      - {name: mobile, type: phone, required: post, pii: true}
      - {name: email, type: email, required: post, pii: true}
      - {name: state, type: us_state, ping: true}
      - {name: code, type: text, ping: true}
"""


def campaign(id_: str, more: str) -> str:
    """One campaign with the door's fields."""
    return f"  - id: {id_}{SYSTEM}    {more}\n"


def mistakes(*campaigns: str) -> list[str]:
    """What is wrong, without its place in the file."""
    try:
        read_catalogue([Source("x", "campaigns:\n" + "".join(campaigns))])
    except CatalogueMistakes as error:
        return [f"{mistake.path}: {mistake.error}" for mistake in error.mistakes]
    return []


def test_a_campaign_has_a_place_for_all_that_the_door_sends() -> None:
    text = "campaigns:\n" + campaign("a", "doors: {distro: {name: Solar Leads, fields: {phone: mobile}}}")
    catalogue = read_catalogue([Source("x", text + campaign("b", ""))])
    assert read_catalogue([Source("w", write_catalogue(catalogue))]) == catalogue
    missing = "this door sends `phone`: give the campaign that field, or say here which of its own it is"
    assert mistakes(campaign("a", "doors: {distro: {}}")) == [f"campaigns[0].doors.distro.fields: {missing}"]
    assert mistakes(campaign("a", "unknown_fields: ignore\n    doors: {distro: {}}")) == []


@pytest.mark.parametrize(
    ("filter_", "told"),
    [
        (
            "{field: stat, in: [TX]}",
            "filter.field: 'stat' is not a field of the campaign (did you mean state?)",
        ),
        ("{field: state, in: [XX]}", "filter.in[0]: "),
        (
            "{field: mobile, exists: true}",
            "filter: `mobile` is not told in a ping, when this filter is looked at: write `ping: true` for it",
        ),
    ],
)
def test_what_is_wrong_with_a_campaigns_own_filter(filter_: str, told: str) -> None:
    (found,) = mistakes(campaign("a", f"filter: {filter_}"))
    assert found.startswith(f"campaigns[0].{told}")


def test_what_looks_like_a_number_stays_text_where_the_field_is_text() -> None:
    for spelled in ("[01234, 5e3, 12]", "['01234', '5e3', '12']"):
        text = "campaigns:\n" + campaign("a", f"filter: {{field: code, in: {spelled}}}")
        (found,) = read_catalogue([Source("x", text)]).campaigns
        assert found.filter == {"field": "code", "in": ["01234", "5e3", "12"]}


def test_an_orders_rule_on_duplicates_is_held_against_its_campaign() -> None:
    order = "{id: o, buyer: b, campaign: a, price: {fixed: 1}, duplicates: {fields: [mobil], days: 3}}"
    text = f"buyers: [{{id: b, post_url: 'https://b.example/x'}}]\norders: [{order}]\ncampaigns:\n"
    with pytest.raises(CatalogueMistakes) as caught:
        read_catalogue([Source("x", text + campaign("a", ""))])
    (told,) = caught.value.mistakes
    assert (told.path, told.error) == (
        "orders[0].duplicates.fields[0]",
        "`a` has no field `mobil`; did you mean `mobile`?",
    )
