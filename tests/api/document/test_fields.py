from __future__ import annotations

from typing import Any, get_args

import jsonschema_rs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from auction.api.document.fields import direct_lead, field_schema, ping_lead, post_lead
from auction.market.fields import FieldError, LeadDecoder, compile_field
from auction.market.model import Campaign, FieldSpec, FieldType

TYPES: tuple[FieldType, ...] = get_args(FieldType)
CHOICES = ("none", "some", "Ümlaut")
SPECS: dict[str, FieldSpec] = {
    **{kind: FieldSpec(name="x", type=kind, choices=CHOICES if kind == "choice" else ()) for kind in TYPES},
    "few": FieldSpec(name="x", type="integer", min=16, max=99),
    "little": FieldSpec(name="x", type="number", min=0.5),
    "late": FieldSpec(name="x", type="date", min="2030-01-01"),
    "short": FieldSpec(name="x", type="text", max_length=3),
}
NEAR = ["TX", " new  york", "75001-0000", " 501", "+44 20 7946 0958", "(512) 555-0142", "a@b.co", "YES", "0"]
NEAR += [
    "02/28/2026",
    "2026-02-28",
    "-.5",
    "12.",
    "http://a.example",
    "HTTPS://a.example:8/x?y",
    "nOnE",
    "üMLAUT",
]
sent = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=10)
    | st.sampled_from(NEAR)
    | st.from_regex(r"\s?[+-]?[0-9.]{1,12}\s?", fullmatch=True)
)


def holds(schema: dict[str, Any], value: object) -> bool:
    return bool(jsonschema_rs.validator_for(schema, validate_formats=False).is_valid(value))


@pytest.mark.parametrize("name", SPECS)
@given(value=sent)
def test_what_the_decoder_takes_the_schema_allows(name: str, value: object) -> None:
    schema = field_schema(SPECS[name], optional=False)
    try:
        compile_field(SPECS[name])(value)
    except FieldError:
        return
    assert holds(schema, value)


@pytest.mark.parametrize("name", SPECS)
def test_every_example_is_good(name: str) -> None:
    schema = field_schema(SPECS[name], optional=True)
    (example,) = schema["examples"]
    compile_field(SPECS[name])(example)
    assert holds(schema, example)
    assert holds(schema, None)
    assert not holds(field_schema(SPECS[name], optional=False), None)
    assert not holds(schema, [example])


CAMPAIGN = Campaign(
    id="solar",
    fields=(
        FieldSpec(name="state", type="us_state", required="ping"),
        FieldSpec(name="bill", type="integer", ping=True),
        FieldSpec(name="phone", type="phone", required="post", pii=True),
        FieldSpec(name="email", type="email", pii=True, ping_as="hash"),
        FieldSpec(name="note", type="text"),
    ),
)
GOOD = {"state": "TX", "bill": 5, "phone": "512-555-0142", "note": "n", "email": "a" * 64}
leads = st.dictionaries(
    st.sampled_from([*GOOD, "more"]), st.sampled_from([*GOOD.values(), None, [], True, "a@b.co"]), max_size=5
)


@given(lead=leads)
def test_a_lead_that_is_decoded_is_a_lead_that_is_described(lead: dict[str, Any]) -> None:
    decoder = LeadDecoder(CAMPAIGN.fields)
    if not decoder.ping(lead)[1] and not decoder.hashed(lead)[1]:
        assert holds(ping_lead(CAMPAIGN), lead)
    if not decoder.post(lead, {"state": "TX"}).mistakes:
        assert holds(post_lead(CAMPAIGN), lead)
    if not decoder.post(lead, {}).mistakes:
        assert holds(direct_lead(CAMPAIGN), lead)


def test_what_each_step_asks_for() -> None:
    assert ping_lead(CAMPAIGN)["required"] == ["state"]
    assert post_lead(CAMPAIGN)["required"] == ["phone"]
    assert direct_lead(CAMPAIGN)["required"] == ["state", "phone"]
    assert set(ping_lead(CAMPAIGN)["properties"]) == {"state", "bill", "email"}
    assert "Names a person" in post_lead(CAMPAIGN)["properties"]["phone"]["description"]
    assert holds(ping_lead(CAMPAIGN), {"state": "TX", "email": "A0" * 32})
    lax = Campaign(id="lax", fields=CAMPAIGN.fields, unknown_fields="ignore")
    assert holds(ping_lead(lax), {"state": "TX", "more": "x"})
    assert not holds(ping_lead(CAMPAIGN), {"state": "TX", "more": "x"})
