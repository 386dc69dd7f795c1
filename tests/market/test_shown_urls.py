"""URLs as they are shown: where they lead, and nothing that may be secret."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auction.market.shown_urls import in_short, masked, unmasked

MASK = "(kept)"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://crm.example/ping", "https://crm.example/ping"),
        ("https://crm.example/p?api_key=hush", "https://crm.example/p?api_key=(kept)"),
        ("https://crm.example/p?hush", "https://crm.example/p?(kept)"),
        ("https://crm.example/p?", "https://crm.example/p?"),
        ("https://t.example/{lead_id}?id={sub_id}&key=hush&v=", "https://t.example/{lead_id}?id={sub_id}&key=(kept)&v="),
        ("https://t.example/p?id={hush}&x=a{lead_id}", "https://t.example/p?id=(kept)&x=(kept)"),
        ("https://t.example/p?key=hush=hush?hush", "https://t.example/p?key=(kept)"),
        ("https://ann:hush@crm.example/p", "https://(kept)@crm.example/p"),
        ("https://crm.example/a@b", "https://crm.example/a@b"),
    ],
)  # fmt: skip
def test_names_and_macros_are_shown_and_values_are_not(url: str, shown: str) -> None:
    assert masked(url, MASK) == shown
    assert unmasked(shown, url, MASK) == url


@pytest.mark.parametrize(
    ("sent", "whole"),
    [
        ("https://x.example/p?a=(kept)&b=(kept)&c=3", "https://x.example/p?a=1&b=2&c=3"),
        ("https://x.example/p?b=(kept)", "https://x.example/p?b=2"),
        ("https://x.example/p?b=(kept)&a=new", "https://x.example/p?b=2&a=new"),
        ("https://x.example/p", "https://x.example/p"),
        ("https://y.example/p?a=new", "https://y.example/p?a=new"),
        ("https://y.example/p?a=(kept)", None),
        ("https://x.example/q?a=(kept)", None),
        ("http://x.example/p?a=(kept)", None),
        ("https://x.example/p?c=(kept)", None),
        ("https://x.example/p?a=(kept)&a=(kept)", None),
        ("https://x.example/p?(kept)", None),
    ],
)
def test_a_mask_means_what_is_there_and_only_at_the_same_place(sent: str, whole: str | None) -> None:
    assert unmasked(sent, "https://x.example/p?a=1&b=2", MASK) == whole


def test_of_several_of_one_name_all_are_sent_back_or_none() -> None:
    before = "https://x.example/p?k=1&k=2"
    assert unmasked("https://x.example/p?k=(kept)&v=1&k=(kept)", before, MASK) == (
        "https://x.example/p?k=1&v=1&k=2"
    )
    assert unmasked("https://x.example/p?k=(kept)", before, MASK) is None


def test_in_short_it_is_where_a_url_leads() -> None:
    assert in_short("https://crm.example/p?api_key=hush&v=2") == "https://crm.example/p?..."
    assert in_short("https://ann:hush@crm.example:8443/p") == "https://...@crm.example:8443/p"
    assert in_short("https://crm.example/p") == "https://crm.example/p"


@given(st.text(alphabet="ab=&?{}/:@(kept)", max_size=30).map("https://x.example/p?".__add__))
def test_what_was_shown_means_what_was_there(url: str) -> None:
    assert unmasked(masked(url, MASK), url, MASK) == url
