"""What reads as a person's, and what only looks a little like it."""

from __future__ import annotations

from uuid import uuid4

import pytest

from auction.market.model import FieldValue
from auction.market.personal import names_somebody, repeats


@pytest.mark.parametrize(
    "text",
    ["ann@example.com", "x:ann.lee@mail.example.com;y", "5125550142", "512-555-0142", "(512) 555-0142", "+15125550142",
     "1-512-555-0142", "lead-512.555.0142", "click 5125550142 a", "+49 30 901820", "+442071838750"],
)  # fmt: skip
def test_ids_that_name_somebody(text: str) -> None:
    assert names_somebody(text)


@pytest.mark.parametrize(
    "text",
    ["fb-7", "", "a:b::c", "1700000000", "1700000000123", "23851234567890123", "1234567890", "2001234567",
     "EAIaIQobChMI5125550142abc", "x5125550142", "user@host", "512-555-014", "2024-11-21", "+1", "aff_220_310_44"],
)  # fmt: skip
def test_ids_that_do_not(text: str) -> None:
    assert not names_somebody(text)


def test_no_uuid_does() -> None:
    assert not any(names_somebody(str(uuid4())) or names_somebody(uuid4().hex) for _ in range(2_000))


PERSON: list[FieldValue] = [
    "Ann",
    "O'Brien-Lee",
    "+15125550142",
    "ann@example.com",
    "1934-07-19",
    "12 Oak St",
    True,
    200,
]


@pytest.mark.parametrize(
    "text",
    ["dup:Ann", "ann_known", "BRIEN", "lead-5125550142", "512.555.0142", "x15125550142y", "ANN@EXAMPLE.COM",
     "annexamplecom", "dob19340719", "oak", "12oakst"],
)  # fmt: skip
def test_words_that_repeat_a_lead(text: str) -> None:
    assert repeats(text, PERSON)


@pytest.mark.parametrize(
    "text", ["duplicate", "phone_invalid", "channel", "77", "200", "12", "lead-0142", "", "01a2001a70c9"]
)
def test_words_that_do_not(text: str) -> None:
    assert not repeats(text, PERSON)
