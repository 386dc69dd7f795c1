from __future__ import annotations

import pytest

from auction.counters.address import Address, Watched, parse
from auction.errors import OperatorError


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("redis://h", Address(host="h")),
        ("redis://h:7000/3", Address(host="h", port=7000, db=3)),
        ("redis://[::1]:7000", Address(host="::1", port=7000)),
        ("rediss://u:p%40ss@h", Address(host="h", tls=True, user="u", password="p@ss")),
        ("redis://:secret@h", Address(host="h", password="secret")),
        (
            "redis+sentinel://one,two:7000/house",
            Address(port=0, watched=Watched("house", (("one", 26379), ("two", 7000)))),
        ),
        (
            "rediss+sentinel://u:p%40ss@one/house/3?sentinel_user=s&sentinel_password=q",
            Address(
                port=0,
                tls=True,
                user="u",
                password="p@ss",
                db=3,
                watched=Watched("house", (("one", 26379),), "s", "q"),
            ),
        ),
        ("unix:///run/v.sock", Address(path="/run/v.sock")),
        ("unix://u:p@/run/a%20b.sock?db=2", Address(path="/run/a b.sock", user="u", password="p", db=2)),
    ],
)
def test_understood(url: str, address: Address) -> None:
    assert parse(url) == address


@pytest.mark.parametrize(
    "url",
    [
        *("", "localhost:6379", "http://h", "redis://", "redis://h:port", "redis://h/db", "unix://"),
        *("redis+sentinel://h", "redis+sentinel:///name", "redis+sentinel://h,/name"),
        *("redis+sentinel://h:port/name", "redis+sentinel://h/name/db"),
    ],
)
def test_not_understood(url: str) -> None:
    with pytest.raises(OperatorError, match="redis://"):
        parse(url)


def test_no_password_is_ever_shown() -> None:
    assert "secret" not in str(parse("redis://u:secret@h:1"))
    assert str(parse("redis+sentinel://u:secret@h/house?sentinel_password=secret")) == "the primary house"
    with pytest.raises(OperatorError) as caught:
        parse("redis://u:secret@h:port")
    assert "secret" not in caught.value.detail
