"""Macros in URLs: whatever they stand for, the URL leads where its template says."""

from __future__ import annotations

from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from auction.market.macros import MACROS, MacroError, UrlTemplate

URL = "https://t.example:8443/in/{status}/x?id={lead_id}&sub={sub_id}&again={sub_id}&r={reason}"


@example(dict.fromkeys(MACROS, "/../a?b&c=d#e%41{lead_id}+ "))
@given(st.fixed_dictionaries({name: st.text(max_size=30) for name in MACROS}))
def test_a_value_stays_in_its_place(values: dict[str, str]) -> None:
    filled = UrlTemplate.from_text(URL).fill(values)
    assert filled.isascii()
    assert filled.isprintable()
    parts = urlsplit(filled)
    assert (parts.scheme, parts.netloc, parts.fragment) == ("https", "t.example:8443", "")
    _, before, status, after = parts.path.split("/")
    assert (before, unquote(status), after) == ("in", values["status"], "x")
    query = parse_qs(parts.query, keep_blank_values=True)
    assert query == {
        "id": [values["lead_id"]],
        "sub": [values["sub_id"]],
        "again": [values["sub_id"]],
        "r": [values["reason"]],
    }


def test_what_is_not_known_is_empty() -> None:
    assert UrlTemplate.from_text("https://t.example/?v={value}&l={lead_id}").fill({"lead_id": "1"}) == (
        "https://t.example/?v=&l=1"
    )
    assert UrlTemplate.from_text("https://t.example/plain").fill({}) == "https://t.example/plain"


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("https://t.example/?l={lead}", "there is no macro `{lead}`"),
        ("https://t.example/?l={}", "there is no macro `{}`"),
        ("https://t.example/?l={LEAD_ID}", "there is no macro `{LEAD_ID}`"),
        ("https://t.example/?l={lead_id", "a `{` or `}` stands alone"),
        ("https://t.example/?l=lead_id}", "a `{` or `}` stands alone"),
        ("https://t.example/?l={{lead_id}}", "a `{` or `}` stands alone"),
        ("https://{sub_id}.example/", "only behind the host"),
        ("https://t.example:{sub_id}/", "only behind the host"),
        ("https://{sub_id}@t.example/", "only behind the host"),
    ],
)
def test_a_template_that_cannot_be_used_is_told(url: str, told: str) -> None:
    with pytest.raises(MacroError) as caught:
        UrlTemplate.from_text(url)
    assert told in str(caught.value)
