from __future__ import annotations

import msgspec
from hypothesis import given, settings

from auction.catalogue.changes import diff
from auction.catalogue.reading import Source, read_catalogue
from auction.market.model import Catalogue
from tests.catalogue.catalogues import catalogues

OLD = """
exchange: {name: House}
campaigns:
  - id: solar
    fields: [{name: state, type: us_state, required: ping}, {name: bill, type: integer}]
sellers: [{id: old}, {id: acme, keys: ["sha256:%s"]}]
buyers:
  - id: sun
    post_url: https://sun.example/post?token=one
    headers: {authorization: Bearer SECRET-ONE}
    signing_secret: env:OLD_SECRET
orders:
  - {id: helios-ca, buyer: sun, campaign: solar, price: {fixed: 25.00}, caps: [{leads: 5, per: day}]}
  - {id: same, buyer: sun, campaign: solar, price: {fixed: 25.00}}
""" % ("a" * 64)
NEW = """
exchange: {name: House}
campaigns:
  - id: solar
    auction: {floor: 20}
    fields: [{name: state, type: us_state, required: post}, {name: zip, type: us_zip, required: ping}]
    duplicates: {fields: [zip], days: 3}
sellers: [{id: acme, keys: ["sha256:%s"], paused: true}]
buyers:
  - id: sun
    post_url: https://sun.example/post?token=two
    headers: {authorization: Bearer SECRET-TWO}
    signing_secret: env:NEW_SECRET
orders:
  - {id: sunrise-tx, buyer: sun, campaign: solar, price: {fixed: 1001}}
  - {id: same, buyer: sun, campaign: solar, price: {fixed: 25.00}}
  - id: helios-ca
    buyer: sun
    campaign: solar
    price: {fixed: 27.50}
    filter: {field: state, in: [TX]}
    caps: [{leads: 6, per: day}]
""" % ("b" * 64)


def read(text: str) -> Catalogue:
    return read_catalogue([Source("test.yaml", text)])


def test_the_lines_say_what_will_be_done() -> None:
    changes = diff(read(OLD), read(NEW))
    campaign = (
        "~ campaign solar  fields: [state, bill] -> [state, zip], fields.state: {name: state, type: us_state,"
        " required: ping} -> {name: state, type: us_state, required: post}, fields.bill: {name: bill,"
        " type: integer} -> (none), auction.floor: 0.00 -> 20.00, fields.zip: (none) ->"
        " {name: zip, type: us_zip, required: ping}, duplicates.fields: (none) -> [zip],"
        " duplicates.days: (none) -> 3"
    )
    order = (
        "~ order helios-ca  filter: (none) -> {field: state, in: [TX]}, price.fixed: 25.00 -> 27.50,"
        " caps: [{per: day, leads: 5}] -> [{per: day, leads: 6}]"
    )
    assert changes.lines() == [
        "+ order sunrise-tx",
        campaign,
        "~ seller acme  keys: (changed), paused: false -> true",
        "~ buyer sun  post_url: (changed), headers: (changed), signing_secret: (changed)",
        order,
        "- seller old",
        "1 added, 4 changed, 1 removed",
    ]


def test_secrets_are_never_shown() -> None:
    shown = "\n".join(diff(read(OLD), read(NEW)).lines())
    for secret in ("SECRET", "token", "aaaa", "bbbb"):
        assert secret not in shown


def test_secrets_inside_of_an_entry_are_not_shown_either() -> None:
    postback = "{url: 'https://t.example/p?token=one', secret: env:ONE, statuses: [sold]}"
    old = OLD.replace(
        "sellers: [{id: old}, {id: acme, ", f"sellers: [{{id: old}}, {{id: acme, postbacks: [{postback}], "
    )
    assert diff(read(OLD), read(old)).lines()[0] == (
        "~ seller acme  postbacks: [] -> [{url: 'https://t.example/p?...', secret: (secret), statuses: [sold]}]"
    )
    for part, other in (("token=one", "token=two"), ("env:ONE", "env:TWO")):
        assert (
            diff(read(old), read(old.replace(part, other))).lines()[0]
            == "~ seller acme  postbacks: (changed)"
        )


def test_changes_keep_both_entries() -> None:
    old, new = read(OLD), read(OLD.replace("25.00}, caps", "26.00}, caps"))
    (change,) = diff(old, new).changed
    assert (change.kind, change.id) == ("order", "helios-ca")
    assert (change.old, change.new) == (old.orders[0], new.orders[0])
    assert [(key.key, key.old, key.new) for key in change.keys] == [("price.fixed", "25.00", "26.00")]


def test_the_exchange_is_an_entry_too() -> None:
    assert diff(read(OLD), read(OLD.replace("House", "Home"))).lines() == [
        "~ exchange  name: House -> Home",
        "0 added, 1 changed, 0 removed",
    ]


def test_long_values_are_cut() -> None:
    (line, _) = diff(read(OLD), read(OLD.replace("House", "x" * 500))).lines()
    assert len(line) < 160
    assert line.endswith("...")


def test_control_characters_do_not_reach_the_terminal() -> None:
    changes = diff(read(OLD), read(OLD.replace("{name: House}", r'{name: "\e[31mred"}')))
    assert all(line.isprintable() for line in changes.lines())


@settings(max_examples=30, deadline=None)
@given(catalogues(), catalogues())
def test_changes_lead_from_the_old_to_the_new(old: Catalogue, new: Catalogue) -> None:
    changes = diff(old, new)
    assert changes.empty == (by_name(old) == by_name(new))
    entries = by_name(old)
    for change in (*changes.added, *changes.changed):
        assert change.new is not None
        entries[change.kind, change.id] = change.new
    for change in changes.removed:
        del entries[change.kind, change.id]
    assert entries == by_name(new)
    assert all(change.keys for change in changes.changed)


@settings(max_examples=30, deadline=None)
@given(catalogues())
def test_nothing_changes_between_equal_catalogues(catalogue: Catalogue) -> None:
    turned = msgspec.structs.replace(
        catalogue,
        orders=catalogue.orders[::-1],
        sellers=catalogue.sellers[::-1],
        buyers=catalogue.buyers[::-1],
    )
    assert diff(catalogue, turned).empty
    assert diff(catalogue, turned).lines() == ["no changes"]


def by_name(catalogue: Catalogue) -> dict[tuple[str, str], object]:
    entries: dict[tuple[str, str], object] = {("exchange", "exchange"): catalogue.exchange}
    entries |= {("campaign", entry.id): entry for entry in catalogue.campaigns}
    entries |= {("seller", entry.id): entry for entry in catalogue.sellers}
    entries |= {("buyer", entry.id): entry for entry in catalogue.buyers}
    return entries | {("order", entry.id): entry for entry in catalogue.orders}
