from __future__ import annotations

import re
from pathlib import Path
from random import Random

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from auction.catalogue.reading import read_catalogue
from auction.catalogue.yaml_source import Source
from auction.market.fields import LeadDecoder, check_spec, compile_field
from auction.market.model import Campaign, FieldSpec, FieldType
from loadtest.leads import LeadMaker, make_person, make_phone, maker_of

DEMO = Path(__file__).parents[2] / "config" / "demo.yaml"
CAMPAIGNS = read_catalogue([Source(DEMO.name, DEMO.read_text(encoding="utf-8"))]).campaigns

types: st.SearchStrategy[FieldType] = st.sampled_from(
    ["text", "integer", "number", "boolean", "choice", "date", "us_state", "us_zip", "phone", "email", "url"]
)
names = st.sampled_from(
    [
        "age",
        "roof_age",
        "electric_bill",
        "birth_date",
        "made_on",
        "first_name",
        "home_address",
        "carrier",
        "x",
        "IP",
    ]
)
integers = st.none() | st.integers(-(10**9), 10**9)
dates = st.none() | st.dates().map(str)


@st.composite
def specs(draw: st.DrawFn) -> FieldSpec:
    kind = draw(types)
    bounds = {"integer": integers, "number": integers, "date": dates}.get(kind, st.none())
    spec = FieldSpec(
        name=draw(names),
        type=kind,
        min=draw(bounds),
        max=draw(bounds),
        max_length=draw(st.none() | st.integers(1, 40)) if kind == "text" else None,
        choices=("good", "fair", "poor") if kind == "choice" else (),
    )
    assume(not check_spec(spec))
    return spec


@given(spec=specs(), seed=st.integers(0, 1000))
@settings(max_examples=300)
def test_every_value_is_one_that_the_exchange_takes(spec: FieldSpec, seed: int) -> None:
    rng = Random(seed)
    read = compile_field(spec)
    value = maker_of(spec)(rng, make_person(rng))
    assert read(value) is not None


@pytest.mark.parametrize("campaign", CAMPAIGNS, ids=lambda campaign: campaign.id)
def test_the_demo_market_takes_ping_and_post(campaign: Campaign) -> None:
    maker = LeadMaker(campaign.fields, Random(7))
    decoder = LeadDecoder(campaign.fields, "reject")
    for _ in range(100):
        values, mistakes = decoder.ping(maker.ping_fields())
        assert mistakes == []
        decoded = decoder.post(maker.post_fields(), values)
        assert decoded.mistakes == []
        assert decoded.changed == ()


@pytest.mark.parametrize("campaign", CAMPAIGNS, ids=lambda campaign: campaign.id)
def test_a_ping_names_nobody(campaign: Campaign) -> None:
    personal = {field.name for field in campaign.fields if field.pii}
    assert personal
    maker = LeadMaker(campaign.fields, Random(7))
    for _ in range(20):
        assert not personal & maker.ping_fields().keys()
        assert {
            field.name for field in campaign.fields if field.required == "post"
        } <= maker.post_fields().keys()


def test_the_same_seed_makes_the_same_leads() -> None:
    def leads(seed: int) -> list[dict[str, object]]:
        maker = LeadMaker(CAMPAIGNS[0].fields, Random(seed))
        return [{**maker.ping_fields(), **maker.post_fields()} for _ in range(10)]

    assert leads(1) == leads(1)
    assert leads(1) != leads(2)


def test_state_and_zip_fit_together() -> None:
    maker = LeadMaker(CAMPAIGNS[0].fields, Random(7))
    leads = [maker.ping_fields() for _ in range(300)]
    assert {str(lead["zip"])[:2] for lead in leads if lead["state"] == "NY"} <= {"10", "11"}
    assert len({lead["state"] for lead in leads}) > 20


def test_optional_fields_are_left_out_now_and_then() -> None:
    maker = LeadMaker([FieldSpec(name="shade", type="boolean", ping=True)], Random(7))
    left_out = [maker.ping_fields() for _ in range(500)].count({})
    assert 50 < left_out < 150


@given(seed=st.integers(0, 10_000))
@settings(max_examples=100)
def test_nobody_is_called_and_nobody_gets_mail(seed: int) -> None:
    rng = Random(seed)
    assert re.fullmatch(r"\+?1?[2-9]\d\d55501\d\d", re.sub(r"[() -]", "", make_phone(rng)))
    assert make_person(rng).email.endswith("@example.com")
