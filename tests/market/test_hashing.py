"""Hashes of fields that name a person: one spelling, one digest, one hash a buyer."""

from __future__ import annotations

import hashlib
import hmac
from typing import Any

import pytest

from auction.errors import FieldMistake
from auction.market.fields import LeadDecoder, check_spec
from auction.market.hashing import digest_of, hash_for_buyer, spelled
from auction.market.model import FieldSpec, FieldType

SPECS = [
    FieldSpec(name="state", type="us_state", required="ping"),
    FieldSpec(name="phone", type="phone", required="post", pii=True, ping_as="hash"),
    FieldSpec(name="email", type="email", pii=True, ping_as="hash"),
    FieldSpec(name="name", type="text", pii=True, ping_as="hash"),
    FieldSpec(name="street", type="text", pii=True),
]
DECODER = LeadDecoder(SPECS)


@pytest.mark.parametrize(
    ("kind", "value", "text"),
    [
        ("phone", "+15125550142", "+15125550142"),
        ("email", "Ann.Lee@example.com", "ann.lee@example.com"),
        ("text", "Ann  Marie\u00a0LEE", "ann marie lee"),
        ("text", "\u00c9tienne", "\u00e9tienne"),
    ],
)
def test_one_spelling(kind: FieldType, value: str, text: str) -> None:
    assert spelled(kind, value) == text
    assert digest_of(kind, value) == hashlib.sha256(text.encode()).hexdigest()


def test_what_a_buyer_computes_over_its_own_list() -> None:
    """As the demo's catalogue tells it."""
    digest = hashlib.sha256(b"+15125550142").hexdigest()
    wanted = hmac.new(b"k" * 32, digest.encode(), hashlib.sha256).hexdigest()
    assert hash_for_buyer(b"k" * 32, digest_of("phone", "+15125550142")) == wanted
    assert hash_for_buyer(b"j" * 32, digest) != wanted


def test_a_ping_may_carry_the_value_or_its_digest() -> None:
    digest = digest_of("phone", "+15125550142")
    for sent in ("(512) 555-0142", digest, digest.upper()):
        lead = {"state": "TX", "phone": sent}
        assert DECODER.ping(lead) == ({"state": "TX"}, []), "never among the ping's own values"
        assert DECODER.hashed(lead) == ({"phone": digest}, [])
    assert DECODER.hashed({"state": "TX", "phone": None}) == ({}, [])
    assert DECODER.hashed({"name": " Ann  LEE "})[0] == {"name": digest_of("text", "ann lee")}


@pytest.mark.parametrize("wrong", ["777", "a" * 63, "g" * 64, "a" * 65, 7777, ["x"], {"sha256": "x"}])
def test_a_bad_value_is_told_without_itself(wrong: Any) -> None:
    digests, mistakes = DECODER.hashed({"phone": wrong})
    assert digests == {}
    (mistake,) = mistakes
    assert mistake.field == "lead.phone"
    assert mistake.error.endswith("or its SHA-256 as 64 hex characters")
    assert str(wrong) not in mistake.error


def test_a_field_that_is_not_marked_stays_out() -> None:
    lead = {"state": "TX", "street": "1 Oak St", "phone": "512-555-0142"}
    assert DECODER.ping(lead)[1] == [FieldMistake("lead.street", "names a person: send it with the post")]
    assert "street" not in DECODER.hashed(lead)[0]


def test_the_digests_of_a_post_are_those_of_its_ping() -> None:
    values = DECODER.post({"state": "TX", "phone": "512-555-0142", "email": "A@B.example"}, {}).values
    pinged, _ = DECODER.hashed({"phone": "+1 512 555 0142", "email": "a@b.example"})
    assert DECODER.digests(values, ["phone", "email", "name"]) == pinged


@pytest.mark.parametrize(
    ("spec", "sentence"),
    [
        (FieldSpec(name="x", type="phone", ping_as="hash"), "write pii: true"),
        (FieldSpec(name="x", type="date", pii=True, ping_as="hash"), "not for date"),
    ],
)
def test_what_cannot_be_hashed(spec: FieldSpec, sentence: str) -> None:
    assert any(sentence in wrong for wrong in check_spec(spec))
