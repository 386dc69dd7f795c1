from __future__ import annotations

from auction.catalogue import mistakes
from auction.catalogue.mistakes import CatalogueMistakes, Mistake, Names, show_path, unknown_name
from auction.errors import OperatorError


def test_a_mistake_says_where_and_what() -> None:
    mistake = Mistake("config/demo.yaml", 12, show_path(("orders", 3, "price", "max")), "expected an amount")
    assert str(mistake) == "config/demo.yaml:12: orders[3].price.max: expected an amount"
    assert str(Mistake("a.yaml", 1, "", "not readable")) == "a.yaml:1: not readable"


def test_a_mistake_is_one_line_whatever_the_file_holds() -> None:
    assert (
        str(Mistake("a", 1, "headers.x\r\ny", "was é \x1b[31m")) == "a:1: headers.x\\r\\ny: was é \\x1b[31m"
    )


def test_all_mistakes_are_one_error_of_the_operator() -> None:
    error = CatalogueMistakes([Mistake("a", 1, "b", "c"), Mistake("a", 2, "d", "e")])
    assert isinstance(error, OperatorError)
    assert error.code == "bad_catalogue"
    assert str(error) == "a:1: b: c\na:2: d: e"


def test_names_hint_at_the_nearest() -> None:
    names = Names(["caps", "price", "HVAC"])
    assert "caps" in names
    assert "cap" not in names
    assert names.hint("caps_") == "; did you mean `caps`?"
    assert names.hint("hvac") == "; did you mean `HVAC`?"
    assert names.hint("zzz") == ""


def test_names_stop_comparing_at_a_limit() -> None:
    names = Names(f"buyer-{number}" for number in range(1000))
    allowed = mistakes._MOST_COMPARISONS // 1000
    names._comparisons_left = 3000  # the real limit takes seconds to reach
    for number in range(5):
        names.hint(f"buyer-{number}x")
    assert allowed == 200
    assert names.unhelped == 2
    assert names.hint("buyer-0x")  # what was found once is remembered


def test_an_unknown_name_is_told_with_what_there_is() -> None:
    assert unknown_name("seller", "acem", ["acme", "globex"]) == (
        "there is no seller `acem`; did you mean `acme`?"
    )
    assert unknown_name("seller", "zzz", ["b", "a"]) == "there is no seller `zzz`; known: a, b"
    assert unknown_name("seller", "zzz", []) == "there is no seller `zzz`; known: none"
    many = unknown_name("order", "zzz", (f"o-{number:02}" for number in range(1_012)))
    assert many.endswith("o-08, o-09 and 1,002 more")
