from __future__ import annotations

import pytest

from auction.catalogue.reading import CatalogueMistakes, Source, read_catalogue
from auction.catalogue.suppression_rules import campaigns_of, type_of
from auction.catalogue.writing import write_catalogue

CAMPAIGNS = """
campaigns:
  - id: solar
    fields:
      - {name: phone, type: phone, required: post, pii: true}
      - {name: mobile, type: phone}
      - {name: email, type: email}
      - {name: bill, type: integer}
  - id: roofing
    fields: [{name: email, type: email}]
suppression_lists:
"""


def mistakes_of(line: str) -> list[str]:
    with pytest.raises(CatalogueMistakes) as caught:
        read_catalogue([Source("c.yaml", CAMPAIGNS + line)])
    return [str(mistake) for mistake in caught.value.mistakes]


def test_a_list_is_of_the_campaigns_that_have_its_fields() -> None:
    text = (
        CAMPAIGNS
        + "  - {id: dnc, fields: [phone, mobile]}\n  - {id: optout, fields: [email], campaigns: [solar]}\n"
    )
    catalogue = read_catalogue([Source("c.yaml", text)])
    dnc, optout = catalogue.suppression_lists
    assert [one.id for one in campaigns_of(dnc, catalogue.campaigns)] == ["solar"]
    assert [one.id for one in campaigns_of(optout, catalogue.campaigns)] == ["solar"]
    assert (type_of(dnc, catalogue.campaigns), type_of(optout, catalogue.campaigns)) == ("phone", "email")
    assert read_catalogue([Source("w.yaml", write_catalogue(catalogue))]) == catalogue


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (
            "  - {id: dnc, fields: [phon]}",
            "no campaign of this list has a field `phon`; did you mean `phone`?",
        ),
        (
            "  - {id: dnc, fields: [phone, email]}",
            "the fields of a list are of one type; here are `phone` of type phone and `email` of type email",
        ),
        (
            "  - {id: dnc, fields: [bill]}",
            "`bill` is of type integer; a list is of phones, emails, zips, urls or texts",
        ),
        (
            "  - {id: dnc, fields: [phone], campaigns: [sola]}",
            "there is no campaign `sola`; did you mean `solar`?",
        ),
        (
            "  - {id: dnc, fields: [phone], campaigns: [roofing]}",
            "no campaign of this list has a field `phone`",
        ),
        (
            "  - {id: dnc, fields: [phone]}\n  - {id: dnc, fields: [email]}",
            "the suppression list `dnc` stands twice",
        ),
    ],
)
def test_what_is_wrong_with_a_list(line: str, told: str) -> None:
    (mistake,) = mistakes_of(line)
    assert told in mistake
    assert mistake.startswith("c.yaml:1")


def test_a_list_needs_fields() -> None:
    (mistake,) = mistakes_of("  - {id: dnc, fields: []}")
    assert "name at least one field, such as [phone]" in mistake


def test_a_field_may_stand_in_a_campaign_that_could_not_be_read() -> None:
    text = (
        CAMPAIGNS.replace("  - id: solar\n", "  - id: solar\n    speed: 9\n")
        + "  - {id: dnc, fields: [phone]}"
    )
    with pytest.raises(CatalogueMistakes) as caught:
        read_catalogue([Source("c.yaml", text)])
    (mistake,) = caught.value.mistakes
    assert "speed" in str(mistake)
