from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

import pytest

from auction.catalogue.reading import read_catalogue
from auction.catalogue.yaml_source import Source
from buyers_mock.script import Manner, ScriptError, Spread, changed, read_script

CONFIG = Path(__file__).parents[2] / "config"


def mistakes_of(text: str) -> dict[str, str]:
    with pytest.raises(ScriptError) as raised:
        read_script(text)
    return {mistake.field: mistake.error for mistake in raised.value.mistakes}


def test_a_buyer_of_whom_nothing_is_said_bids_and_takes_all() -> None:
    script = read_script("buyers: {sunrise: , helios: {}}")
    assert script.buyers == {"sunrise": Manner(), "helios": Manner()}


def test_a_whole_manner_is_read() -> None:
    manner = read_script("""
buyers:
  sunrise:
    bid: {price: {normal: [42, 6], min: 5}, exclusive: null, share_no_bid: 0.05, no_bid_reason: not today}
    bids: [{price: 40, exclusive: true}, {price: {uniform: [8, 12]}, exclusive: false}]
    latency_ms: {spike: {usual: 10, share: 0.05, of: 400}}
    faults: {error_500: 0.02, hang: 0.01, negative: 0.1}
    post: {accept: 0.9, reject_reasons: [duplicate], latency_ms: 40, refuse_duplicates: [phone], status: ok}
    caps: {leads: 100}
    auth: {header: X-Key, value: secret}
""").buyers["sunrise"]
    assert manner.bid.price == Spread(normal=(42, 6), min=5)
    assert [bid.exclusive for bid in manner.bids] == [True, False]
    assert manner.faults.hang == 0.01
    assert manner.post.status == "ok"
    assert manner.caps.leads == 100
    assert manner.auth is not None
    assert manner.auth.header == "X-Key"


def test_every_mistake_is_named_at_once() -> None:
    mistakes = mistakes_of("""
buyers:
  Sunrise: {}
  helios: 7
  greenroof:
    bid: {price: dear, share_no_bid: 2, exclusiv: true}
    latency_ms: {uniform: [1, 2], normal: [1, 2]}
    faults: {hang: 0.6, reset: 0.6}
    bids: [{price: 3}, {prize: 3}, {price: -1}]
    post: {refuse_duplicates: phone, faults: {negative: 0.1}, reject_reasons: []}
    auth: {header: x}
    weather: fine
""")
    assert set(mistakes) == {
        "Sunrise",
        "helios",
        "greenroof.bid.price",
        "greenroof.bid.share_no_bid",
        "greenroof.bid.exclusiv",
        "greenroof.latency_ms",
        "greenroof.faults",
        "greenroof.bids[1].prize",
        "greenroof.bids[2].price",
        "greenroof.post.refuse_duplicates",
        "greenroof.post.faults.negative",
        "greenroof.post.reject_reasons",
        "greenroof.auth",
        "greenroof.weather",
    }
    assert "did you mean `exclusive`" in mistakes["greenroof.bid.exclusiv"]
    assert "exactly one" in mistakes["greenroof.latency_ms"]
    assert "at most 1" in mistakes["greenroof.faults"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "buyer: {}",
        "buyers: [sunrise]",
        "buyers: {a: {}}\nseed: 7",
        "buyers: {a: {",
        "buyers: {a: , a: }",
    ],
)
def test_what_is_no_script_is_refused(text: str) -> None:
    assert mistakes_of(text).keys() == {"script"}


@pytest.mark.parametrize(
    "spread",
    ["{}", "{normal: [1, -1]}", "{normal: [.nan, 1]}", "{uniform: [1, .inf]}", "{choices: []}", "{uniform: [1]}",
     "{uniform: [1, 2], min: 3, max: 2}", "-1", ".nan", ".inf", "true",
     "{spike: {usual: 1, share: 2, of: 3}}"],
)  # fmt: skip
def test_a_spread_that_cannot_be_drawn_is_refused(spread: str) -> None:
    (field,) = mistakes_of(f"buyers: {{a: {{latency_ms: {spread}}}}}")
    assert field.startswith("a.latency_ms")


def test_a_change_is_merged_key_by_key_but_a_spread_is_replaced_whole() -> None:
    manner = read_script("""
buyers: {a: {bid: {price: {normal: [9, 1]}, share_no_bid: 0.5}, post: {accept: 0.5, faults: {hang: 0.5}}}}
""").buyers["a"]
    after = changed(manner, {"bid": {"price": {"uniform": [1, 2]}}, "post": {"faults": {"reset": 0.1}}})
    assert after.bid.price == Spread(uniform=(1, 2))
    assert after.bid.share_no_bid == 0.5
    assert (after.post.accept, after.post.faults.hang, after.post.faults.reset) == (0.5, 0.5, 0.1)
    assert changed(after, {"bid": None, "post": {"accept": None}}).bid == Manner().bid
    assert changed(after, {"post": {"accept": None}}).post.accept == 1.0
    assert changed(after, {}) == after


def test_a_change_with_mistakes_names_them() -> None:
    with pytest.raises(ScriptError) as raised:
        changed(Manner(), {"bid": {"price": "dear"}, "fault": {}, "post": {"accept": 2}})
    assert {mistake.field for mistake in raised.value.mistakes} == {"bid.price", "fault", "post.accept"}


def test_the_demo_script_plays_every_buyer_that_the_demo_market_asks() -> None:
    script = read_script((CONFIG / "demo-buyers.yaml").read_text(encoding="utf-8"))
    market = CONFIG / "demo.yaml"
    catalogue = read_catalogue([Source(market.name, market.read_text(encoding="utf-8"))])
    assert {buyer.id for buyer in catalogue.buyers} == set(script.buyers)
    for buyer in catalogue.buyers:
        assert urlsplit(buyer.ping_url).path == f"/{buyer.id}/ping"
        auth = script.buyers[buyer.id].auth
        assert auth is None or buyer.headers[auth.header] == auth.value
