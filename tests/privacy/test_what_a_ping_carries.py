"""P7 over whole catalogues: the bytes of a ping to a buyer hold ping fields and that buyer's hashes, no more.

Every campaign of every catalogue file that comes with the house, and campaigns made at random. The buyers are sockets
that write down what they are sent.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from itertools import count
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from auction.catalogue.rules import check
from auction.changes.applying import read_files
from auction.market.fields import check_spec
from auction.market.hashing import digest_of, hash_for_buyer
from auction.market.market import compile_market
from auction.market.model import (
    Buyer,
    Campaign,
    Catalogue,
    FieldSpec,
    FieldType,
    Order,
    Price,
    Seller,
)
from auction.ping.floor import Floor
from tests.house import KEY_HASH, House
from tests.privacy.planted import planted_lead, traces_of
from tests.privacy.recorder import Recorder, Request, recording

CONFIG = Path(__file__).parents[2] / "config"
FILES = [
    path
    for path in sorted(CONFIG.glob("*.yaml"))
    if path.read_text().startswith(("# The demo's m", "# A start"))
]
ENVELOPE = {"ping_id", "campaign", "order", "tmax", "floor", "currency", "test", "lead", "hashed"}
_versions = count(1_000)
Open = Callable[..., Awaitable[House]]


@pytest.fixture
async def house(open_sqlite_house: Open) -> House:
    """A house whose market the test replaces."""
    return await open_sqlite_house([{"id": "a", "buyer": "a-co"}])


@pytest.fixture
async def recorder() -> AsyncIterator[Recorder]:
    """Plays every buyer."""
    async with recording() as one:
        yield one


async def trade_on(house: House, catalogue: Catalogue, recorder: Recorder) -> None:
    """From now on every order of `catalogue` is asked at the recorder about every lead."""
    buyers = tuple(
        replace(
            buyer,
            ping_url=f"{recorder.url}/{buyer.id}/ping",
            post_url=f"{recorder.url}/{buyer.id}/post",
            headers={},
            signing_secret=None,
            caps=(),
        )
        for buyer in catalogue.buyers
    )
    orders = tuple(
        replace(order, filter=None, hours=(), tier=1, paused=False, price=Price(live=True), caps=())
        for order in catalogue.orders
    )
    sellers = (Seller(id="acme", keys=(KEY_HASH,)),)
    everything = replace(catalogue, buyers=buyers, orders=orders, sellers=sellers)
    market = compile_market(everything, next(_versions))
    exchange = house.exchange
    exchange.swapping.floor = Floor(market, {}, exchange.floor.hashes)
    await exchange.fanout.prepare([ask.target for ask in exchange.floor.asks.values()])


async def hold_pings_to_the_rule(house: House, recorder: Recorder, campaign: Campaign) -> int:
    """Sends leads of this campaign in every way there is; how many bid requests they made."""
    lead = planted_lead(campaign.fields)
    pinged = {spec.name: lead[spec.name] for spec in campaign.fields if spec.in_ping}
    hashed = {spec.name: lead[spec.name] for spec in campaign.fields if spec.hashed_in_ping}
    digests = {
        spec.name: digest_of(spec.type, lead[spec.name]) for spec in campaign.fields if spec.hashed_in_ping
    }
    recorder.taken()
    # what names a person, or comes later, is refused in a ping
    if pinged.keys() | hashed.keys() != lead.keys():
        status, answer = await house.post("/ping", {"campaign": campaign.id, "lead": lead})
        assert (status, answer["code"]) == (422, "bad_fields")
        assert {mistake["field"] for mistake in answer["errors"]} == {
            f"lead.{name}" for name in lead.keys() - pinged.keys() - hashed.keys()
        }
        assert recorder.taken() == []
    seen = 0
    for path, sent, floor in (
        ("/ping", pinged, 0.01),
        ("/ping", {**pinged, **hashed}, 0.02),
        ("/ping", {**pinged, **{name: digest.upper() for name, digest in digests.items()}}, 0.03),
        ("/direct", lead, 0.04),
    ):
        body = {"campaign": campaign.id, "lead": sent, "floor": floor, "sub_id": "s-1", "tmax": 1_000}
        status, answer = await house.post(path, body)
        assert (status, answer["status"]) == (200, "no_bid"), answer
        requests = recorder.taken()
        for request in requests:
            assert_names_nobody(house, campaign, request, lead, bool(sent.keys() & hashed.keys()))
        seen += len(requests)
    return seen


def assert_names_nobody(
    house: House, campaign: Campaign, request: Request, lead: dict[str, Any], with_hashes: bool
) -> None:
    buyer_id = request.line.split(b"/")[1].decode()
    key = house.exchange.floor.hashes.buyer_key(buyer_id)
    assert b"/ping " in request.line
    body = msgspec.json.decode(request.body)
    assert body.keys() <= ENVELOPE
    assert body["lead"] == {spec.name: lead[spec.name] for spec in campaign.fields if spec.in_ping}
    wanted = {
        spec.name: hash_for_buyer(key, digest_of(spec.type, lead[spec.name]))
        for spec in campaign.fields
        if spec.hashed_in_ping
    }
    assert body.get("hashed", {}) == (wanted if with_hashes else {})
    for spec in campaign.fields:
        if not spec.in_ping:
            for trace in traces_of(spec, lead[spec.name]):
                assert trace not in request.raw, spec


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
async def test_every_campaign_of_every_file(house: House, recorder: Recorder, path: Path) -> None:
    catalogue = read_files([path])
    await trade_on(house, catalogue, recorder)
    for campaign in catalogue.campaigns:
        assert await hold_pings_to_the_rule(house, recorder, campaign), campaign.id
    assert any(spec.hashed_in_ping for campaign in catalogue.campaigns for spec in campaign.fields)


def test_every_file_was_looked_at() -> None:
    assert [path.stem for path in FILES] == ["demo", "production.sample"]


@st.composite
def field_specs(draw: st.DrawFn, name: str) -> FieldSpec | None:
    """A field of any kind; None where its flags contradict each other."""
    kind: FieldType = draw(st.sampled_from(get_args(FieldType)))
    spec = FieldSpec(
        name=name,
        type=kind,
        required=draw(st.sampled_from(["ping", "post", "no"])),
        ping=draw(st.booleans()),
        pii=draw(st.booleans()),
        ping_as=draw(st.sampled_from([None, "hash"])),
        choices=("red", "blue") if kind == "choice" else (),
    )
    return None if check_spec(spec) else spec


@st.composite
def catalogues(draw: st.DrawFn) -> Catalogue:
    """One campaign of fields of every kind, and two buyers."""
    drawn = [draw(field_specs(f"field_{number}")) for number in range(draw(st.integers(4, 14)))]
    fields = tuple(spec for spec in drawn if spec is not None)
    state = FieldSpec(name="state", type="us_state", required="ping")
    campaign = Campaign(id="any", fields=(state, *fields))
    buyers = tuple(Buyer(id=name, ping_url="http://b.example/") for name in ("ann", "bob"))
    orders = tuple(
        Order(id=f"{buyer.id}-{number}", buyer=buyer.id, campaign="any", price=Price(live=True))
        for buyer in buyers
        for number in range(2)
    )
    return Catalogue(campaigns=(campaign,), buyers=buyers, orders=orders)


@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(catalogue=catalogues())
async def test_any_catalogue(house: House, recorder: Recorder, catalogue: Catalogue) -> None:
    assert (
        check(replace(catalogue, buyers=tuple(replace(b, post_url=b.ping_url) for b in catalogue.buyers)))
        == []
    )
    await trade_on(house, catalogue, recorder)
    assert await hold_pings_to_the_rule(house, recorder, catalogue.campaigns[0]) == 16


async def test_hashes_of_two_buyers_cannot_be_put_together(house: House, recorder: Recorder) -> None:
    phone = FieldSpec(name="phone", type="phone", pii=True, ping_as="hash")
    catalogue = Catalogue(
        campaigns=(Campaign(id="any", fields=(phone,)),),
        buyers=tuple(Buyer(id=name, ping_url="http://b.example/") for name in ("ann", "bob")),
        orders=tuple(
            Order(id=name, buyer=name, campaign="any", price=Price(live=True)) for name in ("ann", "bob")
        ),
    )
    await trade_on(house, catalogue, recorder)
    sent: dict[str, set[str]] = {"ann": set(), "bob": set()}
    for spelling in ("+15125550142", "(512) 555-0142", "1.512.555.0142"):
        await house.post("/ping", {"campaign": "any", "lead": {"phone": spelling}})
        for request in recorder.taken():
            sent[request.line.split(b"/")[1].decode()].add(
                msgspec.json.decode(request.body)["hashed"]["phone"]
            )
    assert [len(hashes) for hashes in sent.values()] == [1, 1], "one person, one hash a buyer"
    assert sent["ann"] != sent["bob"]
