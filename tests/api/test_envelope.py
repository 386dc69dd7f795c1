"""The envelope of a ping and of a post: what may stand in it, and every mistake at once."""

from __future__ import annotations

from typing import Any

import pytest

from auction.api.envelope import read_ping, read_post
from auction.api.idempotency import hash_of
from auction.errors import SellerError


def test_every_wrong_key_of_a_ping_is_named_at_once() -> None:
    wrong = {"campain": "x", "lead": [], "tmax": 0, "floor": -1, "sub_id": "", "test": "yes"}
    with pytest.raises(SellerError) as error:
        read_ping(wrong)
    assert (error.value.status, error.value.code) == (422, "bad_fields")
    assert [mistake.field for mistake in error.value.mistakes] == [
        "campain",
        "campaign",
        "lead",
        "tmax",
        "floor",
        "sub_id",
        "test",
    ]
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
    assert (error.value.status, error.value.code) == (400, "too_deep")
