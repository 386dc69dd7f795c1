"""Each rule between entries, broken once: a snippet of a file, and the sentence for it."""

# ruff: noqa: E501  (one mistake, one row)

from __future__ import annotations

import pytest

from auction.catalogue.mistakes import Problem
from auction.catalogue.reading import CatalogueMistakes, Source, read_catalogue
from auction.catalogue.rules import check
from auction.market.model import Buyer, Catalogue, House, Order, Price, Seller
from auction.market.money import Micros

CAMPAIGNS = """\
campaigns:
  - {id: solar, fields: [{name: state, type: us_state, ping: true}], auction: {floor: 5}}
  - {id: auto, fields: [{name: zip, type: us_zip, ping: true}], auction: {mode: shared, max_buyers: 3}}
"""
SELLERS = "sellers: [{id: acme}, {id: bright}]\n"
BUYERS = """\
buyers:
  - {id: sun, ping_url: "https://sun.example/ping", post_url: "https://sun.example/post"}
"""
HASH = "sha256:" + "0" * 64


def mistakes(text: str) -> list[str]:
    """All mistakes of a file as `line: path: error`."""
    try:
        read_catalogue([Source("x", text)])
    except CatalogueMistakes as error:
        return [str(mistake).removeprefix("x:") for mistake in error.mistakes]
    return []


def order(keys: str, campaign: str = "solar") -> str:
    """A file with one order, on line 9; `keys` are what is of interest."""
    start = f"{CAMPAIGNS}{SELLERS}{BUYERS}\norders:\n"
    return f"{start}  - {{id: a, buyer: sun, campaign: {campaign}, {keys}}}\n"


@pytest.mark.parametrize(
    "keys",
    [
        "price: {live: true}, caps: [{pings: 9, per: second}, {pings: 99, per: minute}]",
        "price: {fixed: 5}",
        "price: {live: true, max: 5}",
        "price: {live: true}",
    ],
)
def test_a_good_order_has_no_mistake(keys: str) -> None:
    assert mistakes(order(keys)) == []


@pytest.mark.parametrize(
    ("keys", "mistake"),
    [
        ("price: {}", "price: expected a price, {fixed: 25.00} or {live: true, max: 80.00}"),
        ("price: {max: 9}", "price: expected a price, {fixed: 25.00} or {live: true, max: 80.00}"),
        ("price: {fixed: 9, live: true}", "price.live: a price is fixed or live, not both; take one out"),
        ("price: {fixed: 9, max: 8}", "price.max: the fixed price 9.00 is above it; take `max` out"),
        ("price: {fixed: 4.9999}", "price.fixed: below the floor of `solar`, 5.00: it can never win; raise it"),
        ("price: {live: true, max: 4}", "price.max: below the floor of `solar`, 5.00: it can never win; raise it"),
        (
            "price: {fixed: 9}, caps: [{spend: 8.5, per: day}]",
            "price.fixed: above its own cap, a spend of 8.50: not one lead can be sold; raise the cap",
        ),
        ("price: {fixed: 9}, caps: [{per: day}]",
         "caps[0]: expected what is limited beside `per`: leads, spend or pings, such as {leads: 50, per: day}"),
        ("price: {fixed: 9}, caps: [{per: day, pings: 5, leads: 5}]",
         "caps[0].pings: expected one limit, has leads and pings; write one cap for each"),
        ("price: {fixed: 9}, caps: [{per: day, leads: 5}, {leads: 4, per: day}]",
         "caps[1]: the day's cap of leads stands twice (the first is at x:9)"),
        ("price: {fixed: 9}, caps: [{leads: 50, per: hour}, {leads: 10, per: day}]",
         "caps[0].leads: the day's cap of 10 makes the hour's cap of 50 unreachable; lower it or take it out"),
        ("price: {fixed: 9}, caps: [{spend: 10, per: total}, {spend: 50.5, per: month}]",
         "caps[1].spend: the total cap of 10.00 makes the month's cap of 50.50 unreachable; lower it or take it out"),
        ("price: {live: true}, caps: [{pings: 100, per: second}, {pings: 99, per: minute}]",
         "caps[0].pings: the minute's cap of 99 makes the second's cap of 100 unreachable; lower it or take it out"),
        ("price: {fixed: 9}, caps: [{leads: 5, per: second}]",
         "caps[0].per: only pings are limited by the second; a cap of leads needs an hour at least, such as `per: hour`"),
        ("price: {fixed: 9}, caps: [{spend: 50, per: minute}]",
         "caps[0].per: only pings are limited by the minute; a cap of spend needs an hour at least, such as `per: hour`"),
        ("price: {fixed: 9}, caps: [{spend: 0, per: day}]",
         "caps[0].spend: a cap of 0 lets nothing be sold; write `paused: true`"),
        ("price: {fixed: 9}, sellers: [acne]", "sellers[0]: there is no seller `acne`; did you mean `acme`?"),
        ("price: {fixed: 9}, not_sellers: [zzz]", "not_sellers[0]: there is no seller `zzz`"),
        ("price: {fixed: 9}, sellers: [acme], not_sellers: [bright, acme]",
         "not_sellers[1]: `acme` is also in `sellers`; take one out"),
        ("price: {fixed: 9}, hours: [daily 08:00-09:00, Mon 25:00-26:00]",
         "hours[1]: 'Mon 25:00-26:00': expected times from 00:00 to 24:00"),
        ("price: {fixed: 9}, hours: [Mon 08:00-09:00, Mon closed]",
         "hours: the hours leave no minute open: pause the order instead"),
        ("price: {fixed: 9}, timezone: America/New York",
         "timezone: there is no time zone `America/New York`; did you mean `America/New_York`?"),
        ("price: {fixed: 9}, timezone: America",
         "timezone: there is no time zone `America`"),
        ("price: {fixed: 9}, timezone: ../../etc/passwd",
         "timezone: there is no time zone `../../etc/passwd`; write one such as America/Chicago"),
        ("price: {fixed: 9}, filter: {field: zip, in: [75001]}",
         "filter.field: 'zip' is not a field of the campaign"),
    ],
)  # fmt: skip
def test_an_order_with_one_mistake(keys: str, mistake: str) -> None:
    (found,) = mistakes(order(keys))
    assert found.startswith(f"9: orders[0].{mistake}")


def test_a_max_of_nothing_buys_nothing() -> None:
    assert mistakes(order("price: {live: true, max: 0}", "auto")) == [
        "9: orders[0].price.max: a bid of at most 0 buys nothing; write `paused: true`"
    ]


def test_an_exclusive_order_cannot_win_where_leads_are_shared() -> None:
    assert mistakes(order("price: {fixed: 9}, exclusive: true", "auto")) == [
        "9: orders[0].exclusive: `auto` sells shared leads only, so it can never win; take it out"
    ]


def test_mistakes_in_a_filter_have_their_own_lines() -> None:
    text = order("price: {fixed: 9}").replace(
        ", price",
        ", filter: {all: [\n {field: state, in: [TX,\n QQ, NO]},\n {field: state, at_least: TX}]}, price",
    )
    found = mistakes(text)
    assert [mistake.split(": ")[:2] for mistake in found] == [
        ["11", "orders[0].filter.all[0].in[1]"],
        ["11", "orders[0].filter.all[0].in[2]"],
        ["12", "orders[0].filter.all[1].at_least"],
    ]


def test_who_is_named_must_be_there() -> None:
    text = "sellers: [{id: acme, campaigns: [solar,\n sola]}]\n" + order("price: {fixed: 9}").replace(
        SELLERS, ""
    ).replace("buyer: sun, campaign: solar", "buyer: sum,\n campaign: xyz")
    assert mistakes(text) == [
        "2: sellers[0].campaigns[1]: there is no campaign `sola`; did you mean `solar`?",
        "10: orders[0].buyer: there is no buyer `sum`; did you mean `sun`?",
        "11: orders[0].campaign: there is no campaign `xyz`",
    ]


@pytest.mark.parametrize("section", ["campaigns", "sellers", "buyers", "orders"])
def test_an_id_stands_once(section: str) -> None:
    entries = {
        "campaigns": "{id: a, fields: [{name: x, type: text}]}",
        "sellers": "{id: a}",
        "buyers": "{id: a}",
        "orders": "{id: a, buyer: b, campaign: c, price: {fixed: 1}}",
    }
    found = mistakes(f"{section}:\n- {entries[section]}\n- {entries[section]}\n")
    kind = section[:-1]
    error = f"the {kind} `a` stands twice; give one another id (the first is at x:2)"
    assert f"3: {section}[1].id: {error}" in found


@pytest.mark.parametrize(
    ("keys", "mistake"),
    [
        ("fields: []", "fields: a campaign needs at least one field"),
        ("fields: [{name: x, type: text}, {name: x, type: date}]",
         "fields[1].name: the field `x` stands twice (the first is at x:1)"),
        ("fields: [{name: x, type: choice}]", "fields[0]: a choice needs choices: list them"),
        ("fields: [{name: x, type: text}], auction: {max_buyers: 2}",
         "auction.max_buyers: an exclusive lead has one buyer, not 2; write `mode: shared` or `hybrid`"),
        ("fields: [{name: x, type: text}], auction: {mode: hybrid, max_buyers: 2, pays: second}",
         "auction.pays: a mix of exclusive and shared bids has no second price; write `pays: first`"),
        ("fields: [{name: x, type: text}], auction: {pays: second, select: turn}",
         "auction.pays: there is no second price where the turn decides; write `pays: first`"),
        ("fields: [{name: phone, type: phone}], duplicates: {fields: [fone], days: 1}",
         "duplicates.fields[0]: `a` has no field `fone`; did you mean `phone`?"),
        ("fields: [{name: x, type: text}], duplicates: {fields: [x, x], days: 1}",
         "duplicates.fields[1]: the field `x` stands twice"),
        ("fields: [{name: x, type: text}], duplicates: {fields: [], days: 1}",
         "duplicates.fields: name at least one field, such as [phone]"),
    ],
)  # fmt: skip
def test_a_campaign_with_one_mistake(keys: str, mistake: str) -> None:
    assert mistakes(f"campaigns: [{{id: a, {keys}}}]") == [f"1: campaigns[0].{mistake}"]


@pytest.mark.parametrize(
    ("sellers", "mistake"),
    [
        ("{id: a, margin: 120%}", "sellers[0].margin: expected a share between 0% and 100%"),
        ("{id: a, margin: some}", "sellers[0].margin: expected a share such as 20% or an amount such as 5.00"),
        ("{id: a, margin: 1e99999999}", "sellers[0].margin: expected a share such as 20% or an amount such as 5.00"),
        (f'{{id: a, keys: ["{HASH}"]}}, {{id: b, keys: ["{HASH}"]}}',
         "sellers[1].keys[0]: this key stands twice; each caller needs its own (the first is at x:1)"),
        (f'{{id: a, keys: ["{HASH}", "{HASH}"]}}',
         "sellers[0].keys[1]: this key stands twice; each caller needs its own (the first is at x:1)"),
        ("{id: a, code: ABCD1234}, {id: b, code: ABCD1234}",
         "sellers[1].code: this code stands twice; each seller needs its own (the first is at x:1)"),
    ],
)  # fmt: skip
def test_sellers_with_one_mistake(sellers: str, mistake: str) -> None:
    assert mistakes(f"sellers: [{sellers}]") == [f"1: {mistake}"]


URL = "expected a URL such as https://buyer.example/ping"
OF_THE_HOUSE = "AUCTION_… are the settings of the house, and stay in it; name another variable"
NOT_SHOWN = "`(kept)` stands where the admin API does not show a secret; write the secret"
SIGNING = "expected `env:NAME`, or `whsec_` and 24 to 64 random bytes in base64"


@pytest.mark.parametrize(
    ("keys", "mistake"),
    [
        *[(f'ping_url: "{url}"', f"ping_url: {URL}") for url in ("ftp://a/b", "a.example/b", "http:///b", "http://[::1", "http://a:99999/", "")],
        ('post_url: "http://user:hunter2@a.example/"',
         "post_url: a URL may not hold a user or a password; write an `authorization` under `headers`"),
        ('post_url: "http://a.example/b c"', "post_url: expected a URL of printable ASCII; write other characters percent-encoded"),
        ('post_url: "http://a.example/b\\r\\nx"', "post_url: expected a URL of printable ASCII; write other characters percent-encoded"),
        ('post_url: "http://ä.example/"', "post_url: expected a URL of printable ASCII; write other characters percent-encoded"),
        ('post_url: "http://a.example/#b"', "post_url: a URL's part after `#` is never sent; take it out"),
        ("post_url: http://a.example/?k=(kept)", f"post_url: {NOT_SHOWN}"),
        ("headers: {a: (kept)}", f"headers.a: {NOT_SHOWN}"),
        ('headers: {"a b": hunter2}', "headers.a b: expected a header's name of letters, digits and `-`"),
        ('headers: {"a\\r\\nb": hunter2}', "headers.a\\r\\nb: expected a header's name of letters, digits and `-`"),
        ('headers: {a: "hunter2\\r\\nx: y"}', "headers.a: expected a value of one line of printable ASCII, no space around it"),
        ('headers: {a: " hunter2"}', "headers.a: expected a value of one line of printable ASCII, no space around it"),
        ("headers: {a: hünter2}", "headers.a: expected a value of one line of printable ASCII, no space around it"),
        ('headers: {a: "env:hunter-2"}', "headers.a: expected `env:NAME`, the name of an environment variable"),
        ('headers: {a: "env:AUCTION_SECRET_KEY"}', f"headers.a: {OF_THE_HOUSE}"),
        ('signing_secret: "env:AUCTION_SECRET_KEY"', f"signing_secret: {OF_THE_HOUSE}"),
        ("headers: {Host: hunter2}", "headers.Host: this header is set by the exchange; take it out"),
        ("headers: {A: hunter2, a: x}", "headers.a: this header stands twice (the first is at x:1)"),
        *[(f"signing_secret: '{text}'", f"signing_secret: {SIGNING}") for text in ("hunter2", "whsec_hunter2", "whsec_ä", "env:", "env:1X", "whsec_" + "A" * 28)],
        ("timezone: Mars/Olympus", "timezone: there is no time zone `Mars/Olympus`; write one such as America/Chicago"),
        ("caps: [{per: day}]", "caps[0]: expected what is limited beside `per`: leads, spend or pings, such as {leads: 50, per: day}"),
    ],
)  # fmt: skip
def test_a_buyer_with_one_mistake(keys: str, mistake: str) -> None:
    (found,) = mistakes(f"buyers: [{{id: a, {keys}}}]")
    assert found == f"1: buyers[0].{mistake}"
    assert "hunter" not in found


@pytest.mark.parametrize(
    "keys",
    [
        "ping_url: 'https://a.example:8443/x?y=z', post_url: 'http://[::1]:8090/'",
        "headers: {Authorization: 'Bearer x y', x-key: 'env:X_KEY', empty: ''}",
        "signing_secret: 'env:SIGNING_SECRET'",
        "signing_secret: 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw'",
    ],
)
def test_a_good_buyer_has_no_mistake(keys: str) -> None:
    assert mistakes(f"buyers: [{{id: a, {keys}}}]") == []


def test_a_buyer_with_orders_needs_its_urls() -> None:
    text = order("price: {live: true, max: 9}").replace('ping_url: "https://sun.example/ping", ', "")
    assert mistakes(text) == [
        "9: orders[0].price.live: the buyer `sun` has no `ping_url` to be asked at; give it one, or write {fixed: 25.00}"
    ]
    text = order("price: {fixed: 9}").replace(', post_url: "https://sun.example/post"', "")
    assert mistakes(text) == ["6: buyers[0].post_url: a buyer with orders needs one: leads are sent there"]
    assert mistakes("buyers: [{id: idle}]") == []


def test_the_cap_of_a_buyer_may_be_too_low_for_an_order() -> None:
    text = order("price: {fixed: 9}").replace("{id: sun,", "{id: sun, caps: [{spend: 8, per: day}],")
    assert mistakes(text) == [
        "9: orders[0].price.fixed: above the cap of its buyer `sun`, a spend of 8.00: not one lead can be sold; raise the cap"
    ]


def test_the_time_zone_of_the_exchange_is_checked() -> None:
    assert mistakes("exchange:\n  timezone: Chicago\n") == [
        "2: exchange.timezone: there is no time zone `Chicago`; did you mean `America/Chicago`?"
    ]


def test_mistakes_do_not_breed_mistakes() -> None:
    """What was written but could not be read is known all the same."""
    text = order("price: {fixed: 9}, filter: {field: bill, at_least: 1}, sellers: [acme]")
    text = text.replace("{id: acme}", "{id: acme, margn: 1}").replace("type: us_state", "type: us_stat")
    found = mistakes(text.replace('ping_url: "https', 'timeout_ms: soon, ping_url: "https'))
    assert [mistake.split(": ")[1] for mistake in found] == [
        "campaigns[0].fields[0].type",
        "sellers[0]",
        "buyers[0].timeout_ms",
    ]


def test_a_filter_is_not_judged_by_fields_that_are_wrong() -> None:
    text = order("price: {fixed: 9}, filter: {field: state, in: [x]}")
    found = mistakes(text.replace("type: us_state,", "type: choice,"))
    assert found == ["2: campaigns[0].fields[0]: a choice needs choices: list them"]


def test_a_catalogue_without_files_is_checked_by_paths() -> None:
    catalogue = Catalogue(
        exchange=House(timezone="Moon"),
        sellers=(Seller(id="a", code="ABCD1234"), Seller(id="b", code="ABCD1234")),
        buyers=(Buyer(id="x", post_url="https://x.example/"),),
        orders=(Order(id="o", buyer="x", campaign="c", price=Price(fixed_micros=Micros(1_000_000))),),
    )
    assert check(catalogue, {"campaigns": [{"id": "c"}]}) == [
        Problem(("exchange", "timezone"), "there is no time zone `Moon`; write one such as America/Chicago"),
        Problem(
            ("sellers", 1, "code"),
            "this code stands twice; each seller needs its own",
            ("sellers", 0, "code"),
        ),
    ]
    assert [problem.path for problem in check(catalogue)][-1] == ("orders", 0, "campaign")
