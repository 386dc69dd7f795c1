"""What is wrong with routes, teams, sources and the fields that they speak of: each told where it stands."""

from __future__ import annotations

import pytest

from auction.catalogue.reading import CatalogueMistakes, Source, read_catalogue
from auction.catalogue.writing import write_catalogue

CATALOGUE = """\
campaigns:
  - id: solar
    fields:
      - {name: source, type: text, ping: true}
      - {name: kind, type: choice, choices: [a, b], ping: true}
      - {name: zip, type: us_zip, ping: true}
      - {name: later, type: text}
      - {name: bill, type: integer, ping: true}
    routed_by: {source: source, contact_source: kind, filter: kind, zip: zip}
  - {id: plain, fields: [{name: source, type: text, ping: true}], routed_by: {source: source}}
  - {id: unrouted, fields: [{name: source, type: text, ping: true}]}
buyers: [{id: ann}, {id: ben}]
teams: [{id: home, name: Home, buyers: [ann]}]
sources:
  - {id: zillow, name: Zillow, values: [zlw]}
  - {id: web, name: Web, kind: contact, values: [zlw]}
lead_routes:
  - {id: r, owner: ann, target: team, select: team, team: home, source: zillow, contact_source: web, campaign: solar}
"""
GOOD = "{id: x, owner: ann, target: team, select: team, team: home}"


def mistakes_of(text: str) -> list[str]:
    with pytest.raises(CatalogueMistakes) as caught:
        read_catalogue([Source("c.yaml", text)])
    return [f"{mistake.path}: {mistake.error}" for mistake in caught.value.mistakes]


def test_a_good_one_is_read_and_written() -> None:
    catalogue = read_catalogue([Source("c.yaml", CATALOGUE)])
    assert read_catalogue([Source("w.yaml", write_catalogue(catalogue))]) == catalogue


@pytest.mark.parametrize(
    ("route", "told"),
    [
        (GOOD.replace("ann", "anne"), "owner: there is no buyer `anne`; did you mean `ann`?"),
        (GOOD.replace("home", "hom"), "team: there is no team `hom`; did you mean `home`?"),
        (GOOD.replace("}", ", source: zilow}"), "source: there is no source `zilow`; did you mean `zillow`?"),
        (GOOD.replace("}", ", source: web}"), "source: `web` is a contact source; name a lead source here"),
        (
            GOOD.replace("}", ", contact_source: zillow}"),
            "contact_source: `zillow` is a lead source; name a contact source here",
        ),
        (GOOD.replace("}", ", campaign: roof}"), "campaign: there is no campaign `roof`"),
        (
            GOOD.replace("select: team, ", ""),
            "select: how is the team selected: by itself, or by zip code?",
        ),
        (GOOD.replace(", team: home", ""), "team: name the team that is selected"),
        (GOOD.replace("select: team", "select: zip"), "team: the zip code says which team; take it out"),
        (
            "{id: x, owner: ann, target: none, team: home}",
            "team: only where the target is a team; take it out",
        ),
        (
            "{id: x, owner: ann, target: myself, select: zip}",
            "select: only where the target is a team; take it out",
        ),
        (
            GOOD.replace("}", ", campaign: unrouted}"),
            "campaign: the leads of `unrouted` are not routed: see `routed_by`",
        ),
        (
            GOOD.replace("}", ", campaign: plain, filter: Buyer}"),
            "filter: the leads of `plain` are not routed by their filter",
        ),
        (
            GOOD.replace("}", ", campaign: solar, filter: c}"),
            "filter: the `kind` of a lead of `solar` is one of a, b",
        ),
        (
            "{id: x, owner: ann, target: team, select: zip, campaign: plain}",
            "select: the leads of `plain` are not routed by their zip",
        ),
        (
            GOOD.replace("}", ", campaign: plain, contact_source: web}"),
            "contact_source: the leads of `plain` are not routed by their contact_source",
        ),
    ],
)
def test_a_route_that_cannot_be(route: str, told: str) -> None:
    assert mistakes_of(f"{CATALOGUE}  - {route}\n") == [f"lead_routes[1].{told}"]


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        (
            "buyers: [ann]}]",
            "buyers: [ann, bob]}]",
            "teams[0].buyers[1]: there is no buyer `bob`",
        ),
        ("buyers: [ann]}]", "buyers: []}]", "teams[0].buyers: name at least one buyer"),
        (
            "kind: contact, values: [zlw]",
            "kind: contact, buyers: [eve]",
            "sources[1].buyers[0]: there is no buyer `eve`",
        ),
        (
            "lead_routes:",
            "  - {id: other, name: ' ZLW'}\nlead_routes:",
            "sources[2]: `zlw` already says `zillow`; a lead's word names one source (the first is at c.yaml:15)",
        ),
        (
            "filter: kind",
            "filter: knd",
            "campaigns[0].routed_by.filter: `solar` has no field `knd`; did you mean `kind`?",
        ),
        (
            "{source: source, contact",
            "{source: later, contact",
            "campaigns[0].routed_by.source: `later` is not known at ping, where leads are routed; write `ping: true`",
        ),
        (
            "filter: kind",
            "filter: bill",
            "campaigns[0].routed_by.filter: `bill` is of type integer; this one is choice or text",
        ),
        (
            "zip: zip}",
            "zip: source}",
            "campaigns[0].routed_by.zip: `source` is of type text; this one is us_zip",
        ),
    ],
)
def test_what_routes_speak_of_that_cannot_be(old: str, new: str, told: str) -> None:
    assert mistakes_of(CATALOGUE.replace(old, new, 1)) == [told]


def test_a_number_is_one_entrys_of_its_kind() -> None:
    """Lead and contact sources are counted by themselves."""
    numbered = CATALOGUE.replace("name: Zillow,", "name: Zillow, number: 3,").replace(
        "name: Web,", "name: Web, number: 3,"
    )
    read_catalogue([Source("c.yaml", numbered)])
    twice = numbered.replace("lead_routes:", "  - {id: other, name: Other, number: 3}\nlead_routes:")
    assert mistakes_of(twice) == [
        "sources[2].number: the number 3 stands twice; give one another (the first is at c.yaml:15)"
    ]


def test_what_could_not_be_read_is_no_mistake_of_its_own() -> None:
    broken = CATALOGUE.replace("{id: home, name: Home,", "{id: home, nam: Home,")
    assert all(mistake.startswith("teams[0]") for mistake in mistakes_of(broken))
