"""What must hold of an entry before it is changed, as the headers say it."""

from __future__ import annotations

import pytest

from auction.api.admin.precondition import Precondition
from auction.errors import SellerError

TAG, OTHER = "0123456789abcdef" * 2, "fedcba9876543210" * 2


def of(if_match: str | None = None, if_none_match: str | None = None) -> Precondition:
    given = {b"if-match": if_match, b"if-none-match": if_none_match}
    return Precondition({name: value.encode() for name, value in given.items() if value is not None})


@pytest.mark.parametrize(
    ("said", "version"), [("*", None), (f'"{TAG}"', None), (f'"{OTHER}", "{TAG}"', None), ('"v17"', 17)]
)
def test_the_state_that_was_seen_holds(said: str, version: int | None) -> None:
    seen = of(said)
    seen.demand()
    seen.hold(TAG)
    assert seen.version == version


def test_another_state_does_not() -> None:
    with pytest.raises(SellerError) as refused:
        of(f'"{OTHER}"').hold(TAG)
    assert (refused.value.status, refused.value.code) == (412, "changed_meanwhile")


def test_who_says_nothing_is_asked_and_who_makes_something_new_has_said_it() -> None:
    with pytest.raises(SellerError) as refused:
        of().demand()
    assert (refused.value.status, refused.value.code) == (428, "no_precondition")
    new = of(if_none_match="*")
    new.demand()
    assert new.is_new


@pytest.mark.parametrize("said", ["", "v17", TAG, '"', '"zz"', 'W/"v1"', f'"{TAG}", nonsense'])
def test_what_is_no_tag_is_refused(said: str) -> None:
    with pytest.raises(SellerError) as refused:
        of(said)
    assert [mistake.field for mistake in refused.value.mistakes] == ["If-Match"]
