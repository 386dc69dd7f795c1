from __future__ import annotations

from hashlib import sha256
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from auction.catalogue.reading import CatalogueMistakes, Mistake, Source, read_catalogue
from auction.market.market import compile_market
from auction.market.model import Catalogue, House

CONFIG = Path(__file__).parents[2] / "config"
DEMO = (CONFIG / "demo.yaml").read_text()
CAMPAIGN = "campaigns: [{id: solar, fields: [{name: zip, type: us_zip, ping: true}]}]"
BUYER = "buyers: [{id: sun, post_url: 'https://sun.example/'}]"
FILTER = "{field: zip, in: [01234, 75001]}"
ORDER = f"orders: [{{id: a, buyer: sun, campaign: solar, price: {{fixed: 5}}, filter: {FILTER}}}]"


def read(*texts: str) -> Catalogue:
    return read_catalogue([Source(f"{at}.yaml", text) for at, text in enumerate(texts)])


def mistakes(*texts: str) -> list[str]:
    with pytest.raises(CatalogueMistakes) as caught:
        read(*texts)
    assert str(caught.value).splitlines() == [str(mistake) for mistake in caught.value.mistakes]
    return [str(mistake) for mistake in caught.value.mistakes]


def mistakes_in(text: str) -> tuple[Mistake, ...]:
    """Those of a text that may have none. Any other error is the test's to see."""
    try:
        read(text)
    except CatalogueMistakes as error:
        return error.mistakes
    return ()


def test_nothing_is_an_empty_catalogue() -> None:
    assert read() == read("") == read("", "# nothing\n") == read("orders:\nbuyers: ~\n") == Catalogue()


def test_sections_may_be_spread_over_files() -> None:
    """An order's filter is read by the types of its campaign's fields, wherever the campaign stands."""
    catalogue = read(ORDER, "exchange: {name: Here}", BUYER, CAMPAIGN, BUYER.replace("id: sun", "id: moon"))
    assert catalogue.exchange == House(name="Here")
    assert [buyer.id for buyer in catalogue.buyers] == ["sun", "moon"]
    assert catalogue.orders[0].filter == {"field": "zip", "in": ["01234", "75001"]}


def test_a_json_file_is_a_catalogue_file() -> None:
    assert read('{"sellers": [{"id": "acme", "margin": "20%", "paused": true}]}').sellers[0].paused


def test_mistakes_of_all_files_and_kinds_are_told_at_once_in_order() -> None:
    first = "exchange: {currency: dollar}\nsellers:\n- {id: acme, campaigns: [solr]}\n- {id: acme}\n"
    second = f"exchange: {{name: Two}}\n{CAMPAIGN}\nsellers:\n- {{id: acme, margin: lots}}\nbuyers: [{{}}]\n"
    assert [mistake.split(": ")[:2] for mistake in mistakes(first, second)] == [
        ["0.yaml:1", "exchange.currency"],
        ["0.yaml:3", "sellers[0].campaigns[0]"],
        ["0.yaml:4", "sellers[1].id"],
        ["1.yaml:1", "exchange"],
        ["1.yaml:4", "sellers[0].margin"],
        ["1.yaml:4", "sellers[0].id"],
        ["1.yaml:5", "buyers[0].id"],
    ]


@pytest.mark.parametrize("broken", ["buyers: [", "buyerz: []", "buyers: {}", "[]", "buyers: []\nbuyers: []"])
def test_a_section_that_cannot_be_read_does_not_make_others_wrong(broken: str) -> None:
    (top, price) = mistakes(broken, CAMPAIGN, ORDER, ORDER.replace("fixed: 5", "fixed: five"))
    assert top.startswith("0.yaml:")
    assert price.startswith("3.yaml:1: orders[0].price.fixed: ")


def test_places_are_those_of_the_file_not_of_the_whole() -> None:
    (mistake,) = mistakes("sellers: [{id: a}, {id: b}]", "sellers:\n- {id: c}\n- {id: b}\n")
    assert mistake == (
        "1.yaml:3: sellers[1].id: the seller `b` stands twice; give one another id (the first is at 0.yaml:1)"
    )


def test_a_mistake_after_an_unreadable_entry_has_its_own_place() -> None:
    assert mistakes("sellers:\n- {id: A}\n- {id: b, margin: x}\n")[1].startswith(
        "0.yaml:3: sellers[1].margin: "
    )


def test_the_exchange_stands_once() -> None:
    assert mistakes("exchange: {}", "\nexchange: {}") == [
        "1.yaml:2: exchange: expected one in all files; the first is at 0.yaml:1"
    ]


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        ("[]", "1: expected the keys exchange, campaigns, sellers, buyers and orders, was a list"),
        ("hello", '1: expected the keys exchange, campaigns, sellers, buyers and orders, was "hello"'),
        ("orders: {}", "1: orders: expected a list, such as [{id: order-1, ...}], was keys and values"),
        ("orders: []\norders: []", "2: orders: the key stands twice; the first is on line 1"),
        ("exchange: 5", "1: exchange: expected keys and values, such as {name: ..., currency: ...}, was 5"),
        ("orders: [~]", "1: orders[0]: expected keys and values, such as"),
    ],
)
def test_the_top_of_a_file_has_its_own_mistakes(text: str, mistake: str) -> None:
    (found,) = mistakes(text)
    assert found.startswith(f"0.yaml:{mistake}")


def test_a_line_that_is_repeated_by_an_alias_is_told_where_it_stands() -> None:
    text = "campaigns:\n- {id: a, fields: [&zip {name: zip, type: zap}]}\n- {id: b, fields: [*zip]}\n"
    assert [mistake.split(": ")[:2] for mistake in mistakes(text)] == [
        ["0.yaml:2", "campaigns[0].fields[0].type"],
        ["0.yaml:2", "campaigns[1].fields[0].type"],
    ]


class TestTheFilesWeShip:
    """config/*.yaml are the first that a newcomer reads and runs."""

    @pytest.mark.parametrize("name", ["demo.yaml", "production.sample.yaml"])
    def test_they_are_without_mistakes_and_compile(self, name: str) -> None:
        catalogue = read_catalogue([Source(name, (CONFIG / name).read_text())])
        market = compile_market(catalogue, version=1)
        assert market.campaigns.keys() == {campaign.id for campaign in catalogue.campaigns}

    def test_the_demo_is_played_by_the_buyers_of_the_mock(self) -> None:
        played = yaml.safe_load((CONFIG / "demo-buyers.yaml").read_text())["buyers"]
        catalogue = read_catalogue([Source("demo.yaml", DEMO)])
        assert {buyer.id for buyer in catalogue.buyers} == set(played)
        for buyer in catalogue.buyers:
            assert buyer.ping_url == f"http://127.0.0.1:8090/{buyer.id}/ping"
            assert buyer.post_url == f"http://127.0.0.1:8090/{buyer.id}/post"

    def test_the_demos_keys_are_those_of_its_comment(self) -> None:
        for seller in read_catalogue([Source("demo.yaml", DEMO)]).sellers:
            key = f"demo-{seller.id}-key"
            assert key in DEMO
            assert seller.keys == (f"sha256:{sha256(key.encode()).hexdigest()}",)

    def test_every_buyer_of_the_demo_has_orders_and_every_campaign_is_always_open_to_some(self) -> None:
        catalogue = read_catalogue([Source("demo.yaml", DEMO)])
        assert {order.buyer for order in catalogue.orders} == {buyer.id for buyer in catalogue.buyers}
        anyone_any_time = {
            order.campaign for order in catalogue.orders if not (order.filter or order.hours or order.paused)
        }
        assert anyone_any_time == {campaign.id for campaign in catalogue.campaigns}


@settings(max_examples=300, deadline=None)
@given(st.text())
def test_any_text_is_a_catalogue_or_its_mistakes(text: str) -> None:
    assert all(mistake.error for mistake in mistakes_in(text))


LINES = DEMO.splitlines()
SCRAPS = st.sampled_from(
    [
        *(
            "{",
            "}",
            "[",
            "]",
            ": ",
            "- ",
            "#",
            "'",
            '"',
            "*phone",
            "&x ",
            "~",
            "NO",
            "-1",
            "1e999999999",
            "nan",
        ),
        *(
            "<<: *phone",
            "!x ",
            "\n",
            "  ",
            "field",
            "all",
            "not",
            "state",
            "{}",
            "[]",
            "null",
            "é",
            "9" * 400,
        ),
        *("*", "%", "\x00"),
    ]
)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_a_spoiled_demo_is_a_catalogue_or_its_mistakes(data: st.DataObject) -> None:
    lines = LINES.copy()
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, len(lines) - 1))
        column = data.draw(st.integers(0, len(lines[at])))
        width = data.draw(st.integers(0, 8))
        lines[at] = lines[at][:column] + data.draw(SCRAPS) + lines[at][column + width :]
    assert all(1 <= mistake.line <= len(lines) * 2 + 1 for mistake in mistakes_in("\n".join(lines)))


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("sellers:\n  - {id: acme, campaigns: []}", "sellers[0].campaigns"),
        (
            "orders:\n  - {id: o, buyer: b, campaign: c, price: {fixed: 5}, sellers: []}",
            "orders[0].sellers",
        ),
        (
            "suppression_lists:\n  - {id: dnc, fields: [phone], campaigns: []}",
            "suppression_lists[0].campaigns",
        ),
    ],
)
def test_an_empty_list_is_not_all(text: str, where: str) -> None:
    """Whoever takes the last campaign from a seller does not mean to open all of them to it."""
    with pytest.raises(CatalogueMistakes) as caught:
        read_catalogue([Source("c.yaml", text)])
    told = [str(mistake) for mistake in caught.value.mistakes]
    assert any(f"{where}: is empty: leave the key out where all are meant" in one for one in told), told
