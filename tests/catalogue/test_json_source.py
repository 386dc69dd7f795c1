"""Entries that come as JSON: read as those of files are, strict where JSON says what is what."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auction.catalogue.documents import KINDS, SECTIONS, Kind, to_document
from auction.catalogue.json_source import is_deeper, read_document
from auction.catalogue.merging import merged
from auction.catalogue.secrets import hidden, with_kept
from auction.errors import FieldMistake
from tests.catalogue.catalogues import catalogues

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)
ORDER: dict[str, Any] = {"id": "a", "buyer": "b", "campaign": "c", "price": {"fixed": 25.5}}


@given(catalogues())
def test_what_is_shown_is_read_back(catalogue: Any) -> None:
    for section, kind in SECTIONS.items():
        for entry in getattr(catalogue, section):
            assert read_document(kind, to_document(entry), catalogue.campaigns) == entry


@given(st.sampled_from(sorted(KINDS)), st.dictionaries(st.text(max_size=8), JSON, max_size=5))
def test_any_object_is_an_entry_or_mistakes(kind: Kind, document: dict[str, Any]) -> None:
    read = read_document(kind, document)
    assert isinstance(read, KINDS[kind]) or (isinstance(read, list) and read)


@pytest.mark.parametrize(
    "wrong",
    [
        {"id": 5},
        {"name": 5},
        {"name": True},
        {"tier": "2"},
        {"tier": 2.5},
        {"paused": "true"},
        {"paused": 1},
        {"hours": "Mon"},
        {"price": {"fixed": "25.00"}},
        {"price": {"fixed": 0.00001}},
        {"sellers": [None]},
        {"filter": []},
    ],
)
def test_json_says_what_is_text_and_what_is_not(wrong: dict[str, Any]) -> None:
    read = read_document("order", {**ORDER, **wrong})
    assert isinstance(read, list)
    assert [one.field.split("[")[0].split(".")[0] for one in read] == list(wrong)


def test_a_whole_number_may_have_a_point() -> None:
    assert read_document("order", {**ORDER, "tier": 2.0}) == read_document("order", {**ORDER, "tier": 2})
    assert read_document("order", {**ORDER, "name": None}) == read_document("order", ORDER)


def test_what_is_nested_without_end_is_refused() -> None:
    deep: Any = 1
    for _ in range(100_000):
        deep = {"not": deep}
    assert is_deeper(deep, 64)
    assert read_document("order", {**ORDER, "filter": deep}) == [FieldMistake("", "nested more than 64 deep")]


# RFC 7396, appendix A
@pytest.mark.parametrize(
    ("target", "patch", "result"),
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_a_patch_merges_as_the_rfc_says(
    target: dict[str, Any], patch: dict[str, Any], result: dict[str, Any]
) -> None:
    before = repr(target)
    assert merged(target, patch) == result
    assert repr(target) == before


def test_secrets_are_hidden_and_put_back() -> None:
    whole = {
        "id": "x",
        "signing_secret": "s",
        "headers": {"a": "1", "b": "2"},
        "postbacks": [{"url": "u", "secret": "t"}, {"url": "v"}],
        "keys": ["sha256:0"],
    }
    shown = hidden(whole)
    for secret in ("'s'", "'1'", "'2'", "'t'"):
        assert secret not in str(shown)
    mistakes: list[FieldMistake] = []
    assert with_kept(shown, whole, mistakes) == whole
    assert mistakes == []
    shown["postbacks"].reverse()
    shown["headers"]["c"] = "(kept)"
    back = with_kept(shown, whole, mistakes)
    assert back["postbacks"] == [{"url": "v"}, {"url": "u", "secret": "t"}]
    assert [one.field for one in mistakes] == ["headers.c"]
