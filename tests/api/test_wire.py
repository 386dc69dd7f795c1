"""Bodies, problems and repeated keys: the HTTP edge, without a server."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from auction.api.wire import MOST_DEEP, headers_of, key_of, problem, read_object
from auction.errors import FieldMistake, HouseError, SellerError


def codes(error: pytest.ExceptionInfo[SellerError]) -> tuple[int, str]:
    return error.value.status, error.value.code


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"{", 400, "bad_json"),
        (b"", 400, "bad_json"),
        (b'{"a": NaN}', 400, "bad_json"),
        (b'{"a": Infinity}', 400, "bad_json"),
        (b"\xff\xfe", 400, "bad_json"),
        (b"[1]", 400, "not_an_object"),
        (b'{"a":' * 40_000 + b"1" + b"}" * 40_000, 400, "too_deep"),
        (b'{"a":1,"a":2}', 422, "repeated_key"),
        (b'{"lead":{"x":1,"y":2,"x":3}}', 422, "repeated_key"),
    ],
)
def test_bodies_that_are_not_what_they_should_be(body: bytes, status: int, code: str) -> None:
    with pytest.raises(SellerError) as error:
        read_object(body)
    assert codes(error) == (status, code)


def test_another_content_type_is_told_so() -> None:
    with pytest.raises(SellerError) as error:
        read_object(b"a=1", b"application/x-www-form-urlencoded")
    assert codes(error) == (415, "not_json")
    for kind in (None, b"", b"application/json; charset=utf-8", b"Application/JSON", b"application/ld+json"):
        assert read_object(b"{}", kind) == {}


nested = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(st.text(max_size=4), nested, max_size=5))
def test_an_object_without_repeated_keys_is_read_whatever_it_holds(data: dict[str, Any]) -> None:
    assert read_object(msgspec.json.encode(data)) == data


@given(st.text(max_size=6), st.text(max_size=6))
def test_a_key_given_twice_is_found_whatever_the_values_hold(key: str, value: str) -> None:
    name, text = msgspec.json.encode(key), msgspec.json.encode(value)
    with pytest.raises(SellerError) as error:
        read_object(b'{"other":"a:b", %b:%b, %b : 1}' % (name, text, name))
    assert codes(error) == (422, "repeated_key")


def test_keys_come_as_bearer_or_x_api_key() -> None:
    def key(*headers: tuple[bytes, bytes]) -> str | None:
        return key_of(headers_of({"headers": headers}))

    assert key((b"authorization", b"bearer  k1")) == "k1"
    assert key((b"x-api-key", b" k2 ")) == "k2"
    assert key((b"authorization", b"Basic k3")) is None
    assert key((b"authorization", b"Basic k3"), (b"x-api-key", b"k4")) == "k4"
    assert key((b"x-api-key", b"\xff\x00")) == "\xff\x00"
    assert key() is None


def test_a_problem_says_code_fields_and_when_to_come_back() -> None:
    status, body, headers = problem(
        SellerError(422, "bad_fields", "Wrong.", mistakes=[FieldMistake("lead.zip", "expected 5 digits")])
    )
    told = msgspec.json.decode(body)
    assert (status, told["code"], told["errors"]) == (
        422,
        "bad_fields",
        [{"field": "lead.zip", "error": "expected 5 digits"}],
    )
    assert list(headers) == []
    assert problem(HouseError("away", "x", retry_after_s=3))[2] == [("retry-after", "3")]
    assert ("www-authenticate", "Bearer") in problem(SellerError(401, "unknown_key", "x"))[2]


def as_deep(deep: int) -> bytes:
    """An object with that many lists and objects in each other."""
    return b'{"a":' * deep + b"1" + b"}" * deep


def test_json_is_nested_as_deep_as_we_say_on_every_python() -> None:
    assert read_object(as_deep(MOST_DEEP))
    assert read_object(b'{"a":[%b]}' % b",".join([b"[[]]"] * 500))
    with pytest.raises(SellerError) as error:
        read_object(as_deep(MOST_DEEP + 1))
    assert (error.value.status, error.value.code) == (400, "too_deep")
