from __future__ import annotations

from random import Random

import msgspec
import pytest

from auction.api.native import read_ping
from auction.api.wire import read_object
from auction.errors import SellerError
from loadtest.nonsense import Nonsense, all_nonsense, make_nonsense

PING = {"campaign": "roofing", "lead": {"state": "TX", "zip": "75001", "job": "repair"}}


@pytest.mark.parametrize("nonsense", all_nonsense(PING), ids=lambda nonsense: nonsense.what)
def test_the_door_refuses_it_as_the_sellers_fault(nonsense: Nonsense) -> None:
    if nonsense.what == "a campaign that is not there":  # for the door it is a name like others
        assert read_ping(msgspec.json.decode(nonsense.body)).campaign not in PING.values()
        return
    with pytest.raises(SellerError) as raised:
        read_ping(read_object(nonsense.body))
    assert 400 <= raised.value.status < 500


def test_the_ping_itself_would_be_fine() -> None:
    assert read_ping(read_object(msgspec.json.encode(PING))).campaign == "roofing"


def test_every_kind_is_made() -> None:
    rng = Random(7)
    assert {make_nonsense(PING, rng).what for _ in range(500)} == {one.what for one in all_nonsense(PING)}
