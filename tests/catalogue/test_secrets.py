"""Secrets of entries: hidden on the way out, kept on the way in."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auction.catalogue.secrets import hidden, with_kept
from auction.errors import FieldMistake

BUYER: dict[str, Any] = {
    "id": "sun",
    "ping_url": "https://sun.example/ping?api_key=hush1&v=hush2",
    "post_url": "https://sun.example/post?hush3",
}
ONE, TWO = "https://t.example/p?key=hush-1&id={lead_id}", "https://t.example/p?key=hush-2&id={lead_id}"
SHOWN = "https://t.example/p?key=(kept)&id={lead_id}"


def back(sent: dict[str, Any], before: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """What was sent, whole; and the fields with mistakes."""
    mistakes: list[FieldMistake] = []
    return with_kept(sent, before, mistakes), [one.field for one in mistakes]


def seller(*postbacks: dict[str, Any]) -> dict[str, Any]:
    return {"id": "acme", "postbacks": list(postbacks)}


def test_the_values_in_a_urls_query_are_hidden() -> None:
    shown = hidden(BUYER)
    assert shown["ping_url"] == "https://sun.example/ping?api_key=(kept)&v=(kept)"
    assert shown["post_url"] == "https://sun.example/post?(kept)"
    assert "hush" not in str(shown)
    assert back(shown, BUYER) == (BUYER, [])


def test_one_thing_can_be_changed_and_the_secrets_stay() -> None:
    sent = {**hidden(BUYER), "timeout_ms": 200, "ping_url": "https://sun.example/ping?api_key=(kept)&v=3"}
    assert back(sent, BUYER) == (
        {**BUYER, "timeout_ms": 200, "ping_url": "https://sun.example/ping?api_key=hush1&v=3"},
        [],
    )


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example/ping?api_key=(kept)",
        "https://sun.example.evil.example/ping?api_key=(kept)",
        "https://sun.example/other?api_key=(kept)",
        "https://sun.example/ping?key=(kept)",
    ],
)
def test_a_secret_is_not_sent_elsewhere_by_whom_it_was_not_told(url: str) -> None:
    whole, mistakes = back({**hidden(BUYER), "ping_url": url}, BUYER)
    assert mistakes == ["ping_url"]
    assert "hush1" not in str(whole)


def test_what_is_new_has_nothing_to_keep() -> None:
    assert back({"id": "new", "ping_url": "https://sun.example/ping?k=(kept)"}, {})[1] == ["ping_url"]
    assert back(seller({"url": SHOWN}), {})[1] == ["postbacks[0].url"]


def test_a_postback_is_known_by_its_url_without_its_secrets() -> None:
    before = seller({"url": ONE, "secret": "hush-s"}, {"url": "https://other.example/"})
    sent = hidden(before)
    assert "hush" not in str(sent)
    sent["postbacks"].reverse()
    sent["postbacks"][1] |= {"statuses": ["sold"], "url": f"{SHOWN}&more=1"}
    assert back(sent, before) == (
        seller(
            {"url": "https://other.example/"},
            {"url": f"{ONE}&more=1", "secret": "hush-s", "statuses": ["sold"]},
        ),
        [],
    )


def test_of_postbacks_that_look_alike_none_gets_the_others_secret() -> None:
    sold, returned = {"url": ONE, "statuses": ["sold"]}, {"url": TWO, "statuses": ["returned"]}
    before = seller(sold, returned)
    first, second = hidden(before)["postbacks"]
    assert first["url"] == second["url"] == SHOWN
    assert back(seller(second, first), before) == (seller(returned, sold), [])
    assert back(seller(second), before) == (seller(returned), [])
    unclear = {**second, "statuses": ["rejected"]}
    assert back(seller(first, unclear), before)[1] == ["postbacks[1].url"]


def test_of_postbacks_that_are_alike_in_all_that_is_shown_all_are_sent_or_none() -> None:
    before = seller({"url": ONE}, {"url": TWO})
    shown = {"url": SHOWN}
    assert back(seller(shown, shown), before) == (before, [])
    assert back(seller(shown), before)[1] == ["postbacks[0].url"]
    assert back(seller(shown, shown, shown), before)[1] == [f"postbacks[{at}].url" for at in range(3)]


URLS = st.sampled_from(
    [ONE, TWO, "https://t.example/p", "https://t.example/p?hush", "https://u.example/?key=hush"]
)
POSTBACKS = st.lists(
    st.fixed_dictionaries({"url": URLS}, optional={"secret": st.just("hush"), "statuses": st.just(["sold"])}),
    max_size=4,
)


@given(POSTBACKS)
def test_what_was_shown_can_be_sent_back_as_it_is(postbacks: list[dict[str, Any]]) -> None:
    before = seller(*{one["url"]: one for one in postbacks}.values())
    assert "hush" not in str(hidden(before))
    assert back(hidden(before), before) == (before, [])
