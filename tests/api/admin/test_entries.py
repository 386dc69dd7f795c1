"""The catalogue by its API: lists, entries shown, made, changed and deleted; who may, and who came first."""

from __future__ import annotations

import asyncio
import threading
from io import BytesIO
from typing import Any
from urllib.parse import quote

import pytest

from auction.api.admin import entries
from auction.changes import applying
from auction.changes.applying import stored_catalogue
from tests.api.admin.conftest import OpenOffice, Operator, Told, on_both
from tests.api.conftest import hash_of_key
from tests.api.wired import until
from tests.house import KEY_HASH

ZETA: dict[str, Any] = {"id": "zeta", "name": "Zeta Leads", "margin": "20%", "campaigns": ["solar"]}
SECRET = "whsec_" + "c2VjcmV0" * 6


@on_both
async def test_an_entry_is_made_shown_changed_and_deleted(ops: Operator) -> None:
    made = await ops.call("POST", "/sellers", ZETA)
    assert (made.status, made.json) == (201, ZETA)
    assert made.headers["location"] == "/admin/sellers/zeta"
    assert made.version == 2
    shown = await ops.get("/sellers/zeta")
    assert (shown.status, shown.json, shown.tag) == (200, ZETA, made.tag)
    changed = await ops.call("PATCH", "/sellers/zeta", {"margin": 5.5, "name": None}, if_match=shown.tag)
    assert (changed.status, changed.version) == (200, 3)
    assert changed.json == {"id": "zeta", "margin": 5.5, "campaigns": ["solar"]}
    assert changed.tag != shown.tag
    put = await ops.call("PUT", "/sellers/zeta", {"id": "zeta"}, if_match=changed.tag)
    assert (put.status, put.json) == (200, {"id": "zeta"})
    gone = await ops.call("DELETE", "/sellers/zeta", if_match=put.tag)
    assert (gone.status, gone.json) == (200, {"version": 5})
    assert (await ops.get("/sellers/zeta")).code == "unknown_entry"


async def test_a_change_is_live_within_a_second(ops: Operator) -> None:
    assert (await ops.house.ping())["payout"] == 30
    assert (await ops.patch("/orders/a", {"paused": True})).status == 200

    async def follows() -> bool:
        return bool((await ops.house.ping(sub_id="later"))["payout"] == 20)

    await until(lambda: ops.house.exchange.floor.market.version == 2, within_s=5)  # the machine may be busy
    assert await follows()


async def test_the_house_itself_is_changed_too(ops: Operator) -> None:
    shown = await ops.get("/exchange")
    assert shown.json == {"name": "Test"}
    assert (await ops.patch("/exchange", {"timezone": "Mars/Olympus"})).fields == ["timezone"]
    changed = await ops.call("PATCH", "/exchange", {"timezone": "America/Chicago"}, if_match=shown.tag)
    assert changed.json == {"name": "Test", "timezone": "America/Chicago"}
    assert (await ops.call("DELETE", "/exchange")).status == 405


async def test_put_with_if_none_match_makes_what_is_not_there(ops: Operator) -> None:
    made = await ops.call("PUT", "/sellers/zeta", {"name": "Z"}, if_none_match="*")
    assert (made.status, made.json) == (201, {"id": "zeta", "name": "Z"})
    again = await ops.call("PUT", "/sellers/zeta", {"name": "Y"}, if_none_match="*")
    assert (again.status, again.code) == (412, "changed_meanwhile")
    assert (await ops.call("POST", "/sellers", {"id": "zeta"})).code == "already_there"


async def test_nothing_is_changed_unseen(ops: Operator) -> None:
    shown = await ops.get("/orders/a")
    for method, body in (("PATCH", {}), ("PUT", {}), ("DELETE", None)):
        blind = await ops.call(method, "/orders/a", body)
        assert (blind.status, blind.code) == (428, "no_precondition")
        other = await ops.call(method, "/orders/a", body, if_match='"v9"')
        assert (other.status, other.code) == (412, "changed_meanwhile")
        other = await ops.call(method, "/orders/a", body, if_match='"0123"')
        assert (other.status, other.code) == (412, "changed_meanwhile")
        assert (await ops.call(method, "/orders/a", body, if_match="v1")).fields == ["If-Match"]
    assert (await ops.call("PATCH", "/orders/a", {"tier": 2}, if_match='"v1"')).version == 2
    assert (await ops.call("PATCH", "/orders/a", {"tier": 3}, if_match=shown.tag)).status == 412
    assert (await ops.call("PATCH", "/orders/a", {"tier": 3}, if_match='"v1"')).status == 412
    now = (await ops.get("/orders/a")).tag
    assert (await ops.call("PATCH", "/orders/a", {"tier": 3}, if_match=f"{shown.tag}, {now}")).status == 200


@on_both
async def test_of_two_at_once_one_is_told_to_look_again(ops: Operator) -> None:
    tag = (await ops.get("/orders/a")).tag
    tiers = range(2, 10)
    told = await asyncio.gather(
        *(ops.call("PATCH", "/orders/a", {"tier": tier}, if_match=tag) for tier in tiers)
    )
    assert sorted(one.status for one in told) == [200] + [412] * 7
    (won,) = [one for one in told if one.status == 200]
    assert (await ops.get("/orders/a")).json["tier"] == won.json["tier"]


async def test_every_mistake_is_told_at_once_by_its_path(ops: Operator) -> None:
    wrong = {
        "tier": 99,
        "wieght": 2,
        "name": 5,
        "price": {"fixed": "1.00", "max": -1, "fixd": 1},
        "caps": [{"per": "week", "leads": "5"}],
        "hours": {},
    }
    told = await ops.patch("/orders/a", wrong)
    assert (told.status, told.code) == (422, "bad_fields")
    assert sorted(told.fields) == [
        *("caps[0].leads", "hours", "name", "price.fixd", "price.fixed", "price.max", "tier", "wieght")
    ]
    errors = {one["field"]: one["error"] for one in told.json["errors"]}
    assert errors["wieght"] == "unknown key; did you mean `weight`?"
    assert errors["price.fixd"] == "unknown key; did you mean `fixed`?"
    told = await ops.patch(
        "/orders/a", {"buyer": "nobody", "hours": ["Mon 25:00-26:00"], "price": {"max": 1}}
    )
    assert sorted(told.fields) == ["buyer", "hours[0]"]
    told = await ops.call("POST", "/orders", {"buyer": 1})
    assert sorted(told.fields) == ["buyer", "campaign", "id", "price"]
    assert (await ops.get("/orders/a")).version == 1


async def test_a_change_that_breaks_another_entry_names_it(ops: Operator) -> None:
    filtered = {"filter": {"field": "bill", "at_least": 100}}
    assert (await ops.patch("/orders/a", filtered)).status == 200
    fields = (await ops.get("/campaigns/solar")).json["fields"]
    without = [field for field in fields if field["name"] != "bill"]
    told = await ops.patch("/campaigns/solar", {"fields": without})
    assert (told.status, told.fields) == (422, ["orders[a].filter.field"])


async def test_what_others_name_is_not_deleted(ops: Operator) -> None:
    told = await ops.call("DELETE", "/buyers/a-co", if_match="*")
    assert (told.status, told.code, told.fields) == (409, "still_named", ["orders[a].buyer"])
    told = await ops.call("DELETE", "/campaigns/solar", if_match="*")
    assert (told.status, told.fields) == (409, ["orders[a].campaign", "orders[b].campaign"])
    assert (await ops.call("DELETE", "/orders/a", if_match="*")).status == 200
    assert (await ops.call("DELETE", "/buyers/a-co", if_match="*")).status == 200


async def test_secrets_are_not_shown_and_are_kept(ops: Operator) -> None:
    secret = {"signing_secret": SECRET, "headers": {"x-token": "hush-hush"}}
    assert (await ops.patch("/buyers/a-co", secret)).status == 200
    postbacks = [{"url": "https://x.example/a?t={status}"}, {"url": "https://x.example/b", "secret": SECRET}]
    assert (await ops.patch("/sellers/acme", {"postbacks": postbacks})).status == 200
    buyer, seller = await ops.get("/buyers/a-co"), await ops.get("/sellers/acme")
    assert buyer.json["signing_secret"] == "(kept)"
    assert buyer.json["headers"] == {"x-token": "(kept)"}
    assert seller.json["postbacks"][1] == {"url": "https://x.example/b", "secret": "(kept)"}
    assert seller.json["keys"] == [KEY_HASH]
    listed = str((await ops.get("/buyers")).json) + str((await ops.get("/audit")).json)
    assert "hush" not in listed
    assert SECRET not in listed
    same = await ops.call("PUT", "/buyers/a-co", buyer.json, if_match=buyer.tag)
    assert (same.status, same.tag) == (200, buyer.tag)
    await ops.patch("/buyers/a-co", {"name": "A"})
    await ops.patch("/sellers/acme", {"postbacks": seller.json["postbacks"][1:]})
    catalogue = await stored(ops)
    assert [one.signing_secret for one in catalogue.buyers] == [SECRET, None]
    assert catalogue.buyers[0].headers == {"x-token": "hush-hush"}
    assert [one.secret for one in catalogue.sellers[0].postbacks] == [SECRET]
    none = {"signing_secret": "(kept)", "headers": {"x-other": "(kept)"}}
    assert (await ops.patch("/buyers/b-co", none)).fields == ["signing_secret", "headers.x-other"]


async def test_what_stands_in_a_urls_query_is_not_shown_and_is_kept(ops: Operator) -> None:
    before = (await ops.get("/buyers/a-co")).json["ping_url"]
    assert (await ops.patch("/buyers/a-co", {"ping_url": f"{before}?api_key=hush-1&v=2"})).status == 200
    postbacks = [{"url": "https://x.example/a?id={lead_id}&key=hush-2"}]
    assert (await ops.patch("/sellers/acme", {"postbacks": postbacks})).status == 200
    buyer, seller = await ops.get("/buyers/a-co"), await ops.get("/sellers/acme")
    assert buyer.json["ping_url"] == f"{before}?api_key=(kept)&v=(kept)"
    assert seller.json["postbacks"] == [{"url": "https://x.example/a?id={lead_id}&key=(kept)"}]

    named = await ops.call("PUT", "/buyers/a-co", {**buyer.json, "name": "A"}, if_match=buyer.tag)
    assert (named.status, named.json["ping_url"]) == (200, buyer.json["ping_url"])
    assert (await ops.patch("/buyers/a-co", {"ping_url": f"{before}?api_key=(kept)&v=3"})).status == 200
    assert (await ops.patch("/sellers/acme", {"postbacks": seller.json["postbacks"]})).status == 200
    elsewhere = await ops.patch("/buyers/a-co", {"ping_url": "https://evil.example/?api_key=(kept)"})
    assert (elsewhere.status, elsewhere.fields) == (422, ["ping_url"])
    assert (await ops.patch("/buyers/b-co", {"headers": {"x": "(kept)"}})).fields == ["headers.x"]
    catalogue = await stored(ops)
    assert catalogue.buyers[0].ping_url == f"{before}?api_key=hush-1&v=3"
    assert catalogue.sellers[0].postbacks[0].url == postbacks[0]["url"]

    guessed = await ops.get(f"/buyers?ping_url={quote(f'{before}?api_key=hush-1&v=3', safe='')}")
    assert guessed.json["total"] == 0, "what is not shown cannot be found out by asking for it"
    listed = [
        await ops.get(path) for path in ("/buyers", "/sellers", "/audit", "/buyers/a-co", "/sellers/acme")
    ]
    assert "hush" not in "".join(str(one.json) for one in [*listed, named, elsewhere, guessed])


async def stored(ops: Operator) -> Any:

    return (await ops.house.exchange.reader.read(stored_catalogue))[1]


@on_both
async def test_lists_have_the_operators_of_all_lists(open_office: OpenOffice) -> None:
    orders: list[dict[str, Any]] = [
        {"id": f"o{number:02}", "buyer": f"b{number % 3}"} for number in range(25)
    ]
    orders[3]["paused"] = True
    orders[4] |= {"sellers": ["acme"], "filter": {"field": "bill", "at_least": 1}, "tier": 2}
    ops = await open_office(orders, manners={})

    async def ids(query: str) -> list[str]:
        told = await ops.get(f"/orders?{query}")
        assert told.status == 200, told.json
        return [one["id"] for one in told.json["data"]]

    first = await ops.get("/orders")
    assert {key: first.json[key] for key in ("total", "limit", "skip")} == {
        "total": 25,
        "limit": 10,
        "skip": 0,
    }
    assert await ids("$limit=2&$skip=23") == ["o23", "o24"]
    assert await ids("paused=true") == ["o03"]
    assert len(await ids("paused=false&$limit=100")) == 24
    assert await ids("buyer=b1&paused[$ne]=true&$limit=2") == ["o01", "o04"]
    assert await ids("id[$in]=o01&id[$in]=o09&buyer[$nin]=b0") == ["o01"]
    assert await ids("sellers=acme") == ["o04"]
    assert len(await ids("sellers=null&$limit=100")) == 24
    assert await ids("filter[$ne]=null") == ["o04"]
    assert await ids("tier=2") == ["o04"]
    many = "&".join(f"id[$in]={number}" for number in range(1_001))
    for query in ("$limit=-1", "nmae=x", "price=1", "tier=two", many, "%ff=1"):
        told = await ops.get(f"/orders?{query}")
        assert (told.status, told.code) == (400, "bad_query"), query[:20]
    for path, field in (
        ("/campaigns?unknown_fields=reject&unknown_fields[$ne]=drop", "unknown_fields[$ne]"),
        ("/lead_routes?select=zipp", "select"),
        ("/lead_routes?target=team&made_by=me", "made_by"),
        ("/sources?kind[$in]=lead&kind[$in]=led", "kind[$in]"),
        ("/admins?scopes=leads", "scopes"),
    ):
        told = await ops.get(path)
        assert (told.status, told.code, told.fields) == (422, "bad_fields", [field]), path
    assert len((await ops.get("/admins?scopes=leads:write&$limit=100")).json["data"]) == 2
    assert (await ops.get("/nothing")).code == "no_such_path"
    assert (await ops.get("/orders/NO")).code == "unknown_entry"


async def test_who_may_do_what(ops: Operator) -> None:
    reader, nobody = ops.with_key("reader-key"), ops.with_key("test-key")
    assert (await reader.get("/sellers")).status == 200
    told = await reader.call("POST", "/sellers", ZETA)
    assert (told.status, told.code) == (403, "not_in_your_scope")
    assert "catalogue:write" in told.json["detail"]
    for method, path in (("PATCH", "/sellers/acme"), ("PUT", "/exchange"), ("DELETE", "/orders/a")):
        assert (await reader.call(method, path, {}, if_match="*")).status == 403
    for key in ("test-key", "asleep-key", "no-key"):
        assert (await ops.with_key(key).get("/sellers")).status == 401
    assert (await nobody.call("POST", "/sellers", ZETA)).status == 401


async def test_no_operator_makes_one_that_may_do_more(ops: Operator) -> None:
    writer = ops.with_key("writer-key")
    more = {"scopes": ["catalogue:read", "catalogue:write", "money:read"]}
    for told in (
        await writer.patch("/admins/writer", more),
        await writer.patch("/admins/ops", {"keys": [hash_of_key("mine")]}),
        await writer.call("DELETE", "/admins/ops", if_match="*"),
        await writer.call("POST", "/admins", {"id": "mine", **more}),
    ):
        assert (told.status, told.code) == (403, "not_in_your_scope")
        assert "money:read" in told.json["detail"] or "leads:read" in told.json["detail"]
    equal = {"id": "mine", "scopes": ["catalogue:write"]}
    assert (await writer.call("POST", "/admins", equal)).status == 201


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"{", "bad_json"),
        (b"[]", "not_an_object"),
        (b'{"name":"a","name":"b"}', "repeated_key"),
        (b'{"filter":' + b'{"not":' * 100 + b"1" + b"}" * 101, "too_deep"),
        (b'{"name":"' + b"x" * 1_048_576 + b'"}', "too_large"),
    ],
)
async def test_a_body_that_is_none_is_told_so(ops: Operator, body: bytes, code: str) -> None:
    headers = {"content_type": "application/merge-patch+json", "if_match": "*"}
    assert (await ops.call("PATCH", "/orders/a", data=BytesIO(body), **headers)).code == code


async def test_a_zip_code_in_a_filter_stays_text(open_office: OpenOffice) -> None:
    fields = [{"name": "zip", "type": "us_zip", "required": "ping"}]
    ops = await open_office(campaign={"fields": fields})
    told = await ops.patch("/orders/a", {"filter": {"field": "zip", "in": ["01234", 75001]}})
    assert told.json["filter"] == {"field": "zip", "in": ["01234", "75001"]}


async def test_methods_that_are_not_there_name_those_that_are(ops: Operator) -> None:
    told = await ops.call("PUT", "/sellers", {})
    assert (told.status, told.headers["allow"]) == (405, "GET, HEAD, POST")


def test_told_reads_problems() -> None:
    assert Told(200, {}, []).code is None


async def test_the_loop_does_none_of_the_heavy_work(ops: Operator, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading thousands of entries, checking and comparing them is for other threads."""
    done_by: dict[str, str] = {}

    def watch(module: Any, name: str) -> None:
        work = getattr(module, name)

        def watched(*arguments: Any, **more: Any) -> Any:
            done_by[name] = threading.current_thread().name
            return work(*arguments, **more)

        monkeypatch.setattr(module, name, watched)

    watch(entries, "documents_of")
    watch(entries, "_page")
    watch(applying, "stored_catalogue")
    watch(applying, "broken_rules")
    assert (await ops.get("/orders")).status == 200
    assert (await ops.patch("/orders/a", {"tier": 2})).status == 200
    assert {name: thread.rpartition("_")[0] for name, thread in done_by.items()} == {
        "documents_of": "ledger-reader",
        "_page": "ledger-reader",
        "stored_catalogue": "asyncio",
        "broken_rules": "asyncio",
    }
