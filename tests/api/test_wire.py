"""Bodies, problems and repeated keys: the HTTP edge, without a server."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from auction.api.native import hash_of, read_ping, read_post
from auction.api.wire import MOST_DEEP, headers_of, key_of, problem, read_object
from auction.errors import FieldMistake, HouseError, SellerError


def codes(error: pytest.ExceptionInfo[SellerError]) -> tuple[int, str]:
    return error.value.status, error.value.code


def fields(error: pytest.ExceptionInfo[SellerError]) -> list[str]:
    return [mistake.field for mistake in error.value.mistakes]


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


def test_every_wrong_key_of_a_ping_is_named_at_once() -> None:
    wrong = {"campain": "x", "lead": [], "tmax": 0, "floor": -1, "sub_id": "", "test": "yes"}
    with pytest.raises(SellerError) as error:
        read_ping(wrong)
    assert codes(error) == (422, "bad_fields")
    assert fields(error) == ["campain", "campaign", "lead", "tmax", "floor", "sub_id", "test"]
    assert "campaign" in error.value.mistakes[0].error, "the near name is suggested"


@pytest.mark.parametrize("tmax", [0, 9, 60_001, 3_600_000, -5, 1.5, True, "400", 1e300])
def test_a_tmax_out_of_bounds(tmax: object) -> None:
    ping = read_ping({"campaign": "c", "lead": {}, "tmax": tmax})
    assert [mistake.field for mistake in ping.mistakes] == ["tmax"]


@pytest.mark.parametrize("floor", [-0.01, 1e9, 0.00001, "5", True, [], 1e300])
def test_a_floor_that_is_no_amount(floor: object) -> None:
    ping = read_ping({"campaign": "c", "lead": {}, "floor": floor})
    assert [mistake.field for mistake in ping.mistakes] == ["floor"]


def test_a_ping_with_everything() -> None:
    ping = read_ping(
        {"campaign": "c", "lead": {"a": 1}, "tmax": 400.0, "floor": 10.5, "sub_id": "s", "test": True}
    )
    assert (ping.campaign, ping.lead, ping.tmax_ms, ping.floor_micros, ping.sub_id, ping.test) == (
        "c",
        {"a": 1},
        400,
        10_500_000,
        "s",
        True,
    )


def test_the_same_post_has_the_same_hash_however_it_is_spelled() -> None:
    one = read_post({"ping_id": "p", "lead": {"a": 1, "b": 2}})
    two = read_post({"lead": {"b": 2, "a": 1}, "ping_id": "p"})
    assert one.body_hash == two.body_hash
    assert one.body_hash != hash_of({"ping_id": "p", "lead": {"a": 1, "b": 3}})


def test_the_first_unknown_keys_come_with_a_guess() -> None:
    mistakes = read_ping({"campaign": "c", "lead": {}} | {f"tmax{n}": 1 for n in range(20)}).mistakes
    assert len(mistakes) == 20
    assert [mistake.field for mistake in mistakes if "did you mean tmax?" in mistake.error] == [
        f"tmax{n}" for n in range(5)
    ]


def test_what_cannot_be_written_again_is_too_deep() -> None:
    deep: dict[str, Any] = {}
    for _ in range(10_000):
        deep = {"a": deep}
    with pytest.raises(SellerError) as error:
        read_post({"ping_id": "p", "lead": deep})
    assert codes(error) == (400, "too_deep")


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
