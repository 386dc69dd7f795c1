from __future__ import annotations

import pytest

from auction.catalogue.reading import CatalogueMistakes, Source, read_catalogue
from auction.catalogue.writing import write_catalogue

FIELDS = "fields: [{name: phone, type: phone, required: post}], unknown_fields: ignore"
SELLERS = "sellers: [{id: acme, rate_limit: 9/day}, {id: other, campaigns: [roofing]}, {id: free}]\n"


def written(solar: str, roofing: str = "{}") -> str:
    return (
        f"campaigns:\n  - {{id: solar, {FIELDS}, doors: {solar}}}\n"
        f"  - {{id: roofing, {FIELDS}, doors: {roofing}}}\n{SELLERS}"
    )


def test_doors_that_are_good() -> None:
    doors = "{router: {keyless: acme, fields: {tel: phone, mobile: phone}}, leads: {name: Solar}}"
    catalogue = read_catalogue([Source("c.yaml", written(doors, "{leads: {name: Roofing}, distro: {}}"))])
    assert read_catalogue([Source("w.yaml", write_catalogue(catalogue))]) == catalogue


@pytest.mark.parametrize(
    ("solar", "roofing", "told"),
    [
        (
            "{leads: {fields: {tel: phon}}}",
            "{}",
            "c.yaml:2: campaigns[0].doors.leads.fields.tel: `solar` has no field `phon`; did you mean `phone`?",
        ),
        (
            "{router: {keyless: acm}}",
            "{}",
            "c.yaml:2: campaigns[0].doors.router.keyless: there is no seller `acm`; did you mean `acme`?",
        ),
        (
            "{router: {keyless: other}}",
            "{}",
            "c.yaml:2: campaigns[0].doors.router.keyless: `other` may not sell in `solar`; add it to its `campaigns`",
        ),
        (
            "{router: {keyless: free}}",
            "{}",
            (
                "c.yaml:2: campaigns[0].doors.router.keyless: anybody can send what needs no key: give `free` a "
                "`rate_limit`, such as `600/minute`"
            ),
        ),
        (
            "{leads: {name: Best}}",
            "{leads: {name: ' BEST '}}",
            "c.yaml:3: campaigns[1].doors.leads.name: `solar` is called so at this door (the first is at c.yaml:2)",
        ),
        (
            "{leads: {name: Roofing}}",
            "{leads: {}}",
            "c.yaml:2: campaigns[0].doors.leads.name: `roofing` is called so at this door (the first is at c.yaml:3)",
        ),
        (
            "{distro: {name: ' '}}",
            "{}",
            "c.yaml:2: campaigns[0].doors.distro.name: write what the campaign is called at this door",
        ),
    ],
)
def test_mistakes(solar: str, roofing: str, told: str) -> None:
    with pytest.raises(CatalogueMistakes) as caught:
        read_catalogue([Source("c.yaml", written(solar, roofing))])
    assert [str(mistake) for mistake in caught.value.mistakes] == [told]
