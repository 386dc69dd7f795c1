from __future__ import annotations

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from auction.catalogue.reading import Source, read_catalogue, write_catalogue
from auction.catalogue.writing import write_line
from auction.market.model import Campaign, Catalogue, FieldSpec, Order, Price
from auction.market.money import Micros
from tests.catalogue.catalogues import TEXT, catalogues


@settings(max_examples=150, deadline=None)
@given(catalogues())
def test_what_is_written_reads_back_equal(catalogue: Catalogue) -> None:
    written = write_catalogue(catalogue)
    assert read_catalogue([Source("export", written)]) == catalogue
    assert write_catalogue(read_catalogue([Source("export", written)])) == written


@settings(max_examples=60, deadline=None)
@given(catalogues())
def test_other_readers_of_yaml_see_the_same_texts(catalogue: Catalogue) -> None:
    loaded = yaml.safe_load(write_catalogue(catalogue)) or {}
    for written, order in zip(loaded.get("orders", []), catalogue.orders, strict=True):
        assert written.get("name", "") == order.name
        assert written.get("filter") == order.filter


def test_it_is_pretty() -> None:
    catalogue = Catalogue(
        campaigns=(
            Campaign(
                id="solar-us",
                fields=(
                    FieldSpec(name="state", type="us_state", required="ping"),
                    FieldSpec(name="shade", type="choice", choices=("no", "some"), ping=True),
                ),
            ),
        ),
        orders=(
            Order(
                id="sunrise-tx",
                buyer="sunrise",
                campaign="solar-us",
                filter={"all": [{"field": "state", "in": ["TX", "OK"]}, {"field": "shade", "equals": "no"}]},
                price=Price(live=True, max_micros=Micros(80_000_000)),
            ),
        ),
    )
    assert (
        write_catalogue(catalogue)
        == """\
campaigns:
- id: solar-us
  fields:
  - {name: state, type: us_state, required: ping}
  - {name: shade, type: choice, ping: true, choices: ["no", some]}
orders:
- id: sunrise-tx
  buyer: sunrise
  campaign: solar-us
  filter: {all: [{field: state, in: [TX, OK]}, {field: shade, equals: "no"}]}
  price: {live: true, max: 80.00}
"""
    )


def test_an_empty_catalogue_is_written_and_read() -> None:
    assert write_catalogue(Catalogue()) == "{}\n"
    assert read_catalogue([Source("export", "{}\n")]) == Catalogue()


@example("\xad")
@example("\u202e")
@given(st.recursive(TEXT | st.booleans() | st.integers(), st.lists, max_leaves=5))
def test_a_line_is_one_line(value: object) -> None:
    line = write_line(value)
    assert line.isprintable()
    assert yaml.safe_load(line) == value


@pytest.mark.parametrize("number", [5e-324, -1e22, 1.5e-7, 0.1, 25.0, 10**18])
def test_a_number_is_a_number_to_other_readers_too(number: float) -> None:
    """YAML 1.1 takes `1e+22` for a text."""
    assert yaml.safe_load(write_line({"at_least": number})) == {"at_least": number}
