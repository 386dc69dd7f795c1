"""One entry of a catalogue changed: where it stands, and what the change breaks."""

from __future__ import annotations

from msgspec.structs import replace

from auction.catalogue.one_entry import broken_rules, entry_of, with_entry
from auction.catalogue.reading import Source, read_catalogue
from auction.errors import FieldMistake
from auction.market.model import Buyer, House
from tests.house import catalogue

TEXT = catalogue(
    [
        {"id": "a", "buyer": "ann", "price": {"fixed": 1}},
        {"id": "b", "buyer": "bob", "price": {"fixed": 1}},
    ]
)
BEFORE = read_catalogue([Source("market.yaml", TEXT)])


def test_an_entry_is_put_in_changed_and_taken_out() -> None:
    cat = Buyer(id="cat", post_url="https://cat.example/post")
    more = with_entry(BEFORE, "buyer", "cat", cat)
    assert [each.id for each in more.buyers] == ["ann", "bob", "cat"]
    assert entry_of(more, "buyer", "cat") is cat
    renamed = with_entry(more, "buyer", "ann", replace(BEFORE.buyers[0], name="Ann"))
    assert [each.name for each in renamed.buyers] == ["Ann", "", ""]
    assert with_entry(renamed, "buyer", "cat", None).buyers == renamed.buyers[:2]
    assert entry_of(BEFORE, "buyer", "cat") is None


def test_the_house_is_an_entry_too() -> None:
    named = with_entry(BEFORE, "exchange", "exchange", House(name="Other"))
    assert entry_of(named, "exchange", "exchange").name == "Other"
    assert with_entry(named, "exchange", "exchange", None).exchange == House()


def test_what_a_change_breaks_is_told_by_ids() -> None:
    without = with_entry(BEFORE, "buyer", "bob", None)
    assert broken_rules(BEFORE, without) == [FieldMistake("orders[b].buyer", "there is no buyer `bob`")]
    nowhere = replace(BEFORE.orders[0], hours=("Xyz 9-5",))
    (mistake,) = broken_rules(BEFORE, with_entry(BEFORE, "order", "a", nowhere))
    assert mistake.field == "orders[a].hours[0]"


def test_what_was_wrong_before_is_not_told_again() -> None:
    broken = with_entry(BEFORE, "buyer", "bob", None)
    paused = replace(BEFORE.orders[0], paused=True)
    assert broken_rules(broken, with_entry(broken, "order", "a", paused)) == []
