"""Bad input through a whole house: a clear problem with a stable code, every bad field named, nothing stored."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.api.conftest import MANNERS, ORDERS, OpenDoors, Traces
from tests.api.wired import Answer, Wired, wired
from tests.house import CAMPAIGN, PERSON, PING, House, open_house

encode = msgspec.json.encode


def lead(fields: str) -> bytes:
    """A ping whose lead is written by hand."""
    return b'{"campaign":"solar","lead":{%b}}' % fields.encode("utf-8", "surrogatepass")


def ping(**changes: Any) -> bytes:
    return encode({**PING, **changes})


def anything(*values: Any) -> tuple[Any, ...]:
    """Values of whatever types."""
    return values


def problem_of(answer: Answer) -> tuple[int, str | None]:
    """Status and code, of what must be a problem in all its parts."""
    assert answer.headers["content-type"] == "application/problem+json", answer
    assert answer.json["status"] == answer.status
    assert answer.json["detail"]
    assert answer.json["title"]
    assert "Traceback" not in str(answer.json)
    return answer.status, answer.code


NOT_JSON = [
    b"",
    b"{",
    b"}",
    b"nonsense",
    b"campaign=solar&lead=x",
    b"{'campaign':'solar'}",
    b'{"campaign":"solar",}',
    b'{"campaign":"solar"} {}',
    b"\xef\xbb\xbf{}",
    b'{"campaign":"\xff\xfe"}',
    b'{"\xed\xa0\x80":1}',
    '{"campaign":"solar"}'.encode("utf-16"),
    lead('"bill":NaN'),
    lead('"bill":Infinity'),
    lead('"bill":-Infinity'),
    lead('"bill":1e999'),
    lead('"bill":0x10'),
    lead('"bill":007'),
    lead('"bill":' + "9" * 5_000),
    lead('"state":"\\ud800"'),
    lead('"state":"\\udc00\\ud800"'),
    lead('"state":"T\x00X"'),
    lead('"state":"T\nX"'),
]
NOT_OBJECTS = [b"null", b"1", b'"solar"', b"[]", b"[[[[]]]]", b"true"]
TOO_DEEP = [
    b"[" * 30_000,
    b"[" * 30_000 + b"]" * 30_000,
    b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
    lead('"state":' + "[" * 20_000 + "]" * 20_000),
    lead('"state":' + '{"a":' * 9_000 + "1" + "}" * 9_000),
]
REPEATED = [
    (b'{"campaign":"solar","campaign":"solar","lead":{"state":"TX"}}', ["campaign"]),
    (lead('"state":"TX","state":"TX"'), ["state"]),
    (lead('"state":{"deep":[{"x":1,"x":2}]}'), ["x"]),
    (b'{"campaign" :"solar","lead":{},"lead"\n:{"state":"T:X"}}', ["lead"]),
    (b'{"campaign":"solar","lead":{"state":1,"state":"\\u003a"}}', ["state"]),
    (b'{"campaign":"solar","lead":{"state":":","state":"\\u003A"}}', ["state"]),
    (lead('"bill":1%s,"bill":2' % ("0" * 300)), ["bill"]),
]
BAD_KEYS: list[tuple[bytes, list[str]]] = [
    (b"{}", ["campaign", "lead"]),
    (encode({"lead": {"state": "TX"}}), ["campaign"]),
    (ping(campaign=None), ["campaign"]),
    (ping(campaign=""), ["campaign"]),
    (ping(campaign=7), ["campaign"]),
    (ping(campaign=["solar"]), ["campaign"]),
    (ping(campaign="s" * 129), ["campaign"]),
    (ping(campaign="so\x00lar"), ["campaign"]),
    (ping(campaign="so\u202elar"), ["campaign"]),
    (ping(lead=None), ["lead"]),
    (ping(lead=[]), ["lead"]),
    (ping(lead="state=TX"), ["lead"]),
    *(
        (ping(tmax=wrong), ["tmax"])
        for wrong in anything(0, -1, 9, 60_001, 3_600_000, 1.5, "400", True, [], {})
    ),
    (b'{"campaign":"solar","lead":{},"tmax":1%b}' % (b"0" * 400), ["tmax"]),
    *(
        (ping(floor=wrong), ["floor"])
        for wrong in anything(-0.01, -1, 1e9, 0.00001, "5", True, [], {}, 1e300)
    ),
    (b'{"campaign":"solar","lead":{},"floor":1%b}' % (b"0" * 400), ["floor"]),
    *((ping(sub_id=wrong), ["sub_id"]) for wrong in anything("", 5, "x" * 129, "a\tb", [])),
    *((ping(test=wrong), ["test"]) for wrong in anything(0, 1, "true", [])),
    (ping(tmaxx=400, Floor=5, **{"": 1}), ["", "Floor", "tmaxx"]),
    (
        encode({"campain": "solar", "lead": 3, "tmax": 0, "floor": -1, "sub_id": "", "test": 1}),
        ["campain", "campaign", "lead", "tmax", "floor", "sub_id", "test"],
    ),
]
BAD_LEADS: list[tuple[bytes, list[str]]] = [
    (ping(lead={}), ["lead.state"]),
    (ping(lead={"state": ""}), ["lead.state"]),
    (ping(lead={"state": "Texass", "bill": "lots"}), ["lead.bill", "lead.state"]),
    *((ping(lead={"state": state}), ["lead.state"]) for state in (1, 1.5, True, [], ["TX"], {}, {"a": 1})),
    *((lead(f'"state":"TX","bill":{bill}'), ["lead.bill"]) for bill in ("-1", "1.5", "[]", "{}", "true")),
    (lead('"state":"TX","bill":1%s' % ("0" * 400)), ["lead.bill"]),
    (lead('"state":"TX","bill":1e300'), ["lead.bill"]),
    (ping(lead={"state": "TX", "bill": "\u0661\u0662"}), ["lead.bill"]),
    (ping(lead={"state": "TX", "first_name": "Ann"}), ["lead.first_name"]),
    (ping(lead={"state": "TX", "stat": 1, "\x00": 2}), ["lead.\x00", "lead.stat"]),
    (ping(lead={"state": "TX"} | {f"k{n}": n for n in range(501)}), ["lead"]),
    (lead('"state":' + "[" * 500 + "]" * 500), ["lead.state"]),
]
BAD_PEOPLE: list[tuple[dict[str, Any], list[str]]] = [
    ({"first_name": None, "phone": None}, ["lead.first_name", "lead.phone"]),
    *(
        ({"phone": phone}, ["lead.phone"])
        for phone in (
            "\u0665\u0661\u0662555\u06600142",
            "\uff15\uff11\uff12\uff15\uff15\uff15\uff10\uff11\uff14\uff12",
            "512-555-\u00b2142",
            "512 555",
            "0" * 40_000,
            5125550142,
            ["512-555-0142"],
            "+",
            "",
        )
    ),
    *(({"first_name": name}, ["lead.first_name"]) for name in ("", "  ", "A\x00n", "A\x1bn", "x" * 257, 7)),
    ({"state": "TX", "bills": 5}, ["lead.bills"]),
    ({f"k{n}": n for n in range(501)}, ["lead"]),
]


async def test_every_kind_of_bad_ping(line: Wired, traces: Traces) -> None:
    """To `/ping` and to `/direct`, all on one connection."""
    before = await traces.taken()
    for path in ("/ping", "/direct"):
        for body in NOT_JSON:
            assert problem_of(await line.send(path, body)) == (400, "bad_json"), body[:80]
        for body in NOT_OBJECTS:
            assert problem_of(await line.send(path, body)) == (400, "not_an_object"), body[:80]
        for body in TOO_DEEP:
            assert problem_of(await line.send(path, body)) == (400, "too_deep"), body[:80]
        for body, fields in REPEATED:
            answer = await line.send(path, body)
            assert problem_of(answer) == (422, "repeated_key"), body[:80]
            assert answer.fields == fields
        for body, fields in BAD_KEYS:
            answer = await line.send(path, body)
            assert problem_of(answer) == (422, "bad_fields"), body[:80]
            keys = [field for field in answer.fields if not field.startswith("lead.")]  # told besides
            assert sorted(keys) == sorted(fields), body[:80]
            assert all(error["error"] for error in answer.json["errors"])
    assert await traces.taken() == before


async def test_what_is_wrong_in_the_envelope_and_in_the_lead_is_told_at_once(line: Wired) -> None:
    answer = await line.send("/ping", ping(lead={"state": "Nowhere", "bill": "x"}, floor="lots", tmaks=5))
    assert problem_of(answer) == (422, "bad_fields")
    assert {each["field"] for each in answer.json["errors"]} == {
        *("floor", "tmaks", "lead.state", "lead.bill")
    }


async def test_every_kind_of_bad_lead_in_a_ping(line: Wired, traces: Traces) -> None:
    before = await traces.taken()
    for body, fields in BAD_LEADS:
        answer = await line.send("/ping", body)
        assert problem_of(answer) == (422, "bad_fields"), body[:80]
        assert sorted(answer.fields) == fields, body[:80]
    assert await traces.taken() == before


async def test_every_kind_of_bad_lead_in_a_post(house: House, line: Wired, traces: Traces) -> None:
    """Each is refused with its fields, and the offer stands: the right lead is sold after all of them."""
    offer = await house.ping()
    before = await traces.taken()
    for person, fields in BAD_PEOPLE:
        answer = await line.send("/post", encode({"ping_id": offer["ping_id"], "lead": {**PERSON, **person}}))
        assert problem_of(answer) == (422, "bad_fields"), person
        assert answer.fields == fields, person
    for depth in range(900, 1_000):  # at some, a body can be read and not be written again
        body = b'{"ping_id":"%b","lead":{"x":%b%b}}' % (offer["ping_id"].encode(), b"[" * depth, b"]" * depth)
        assert problem_of(await line.send("/post", body)) in [(400, "too_deep"), (422, "bad_fields")]
    changed = await line.send(
        "/post", encode({"ping_id": offer["ping_id"], "lead": {**PERSON, "state": "OK"}})
    )
    assert problem_of(changed) == (422, "ping_fields_changed")
    assert changed.json["errors"] == [{"field": "lead.state", "error": "was 'TX' in the ping, is 'OK' now"}]
    after = await traces.taken()
    assert {**after, "keys": list(after["keys"])} == {**before, "keys": list(before["keys"])}
    assert (await house.sell(offer["ping_id"]))["status"] == "sold"


async def test_what_looks_bad_and_is_not(line: Wired) -> None:
    for body in (
        b' \n{"campaign" : "solar" ,\t"lead":{ "state" : "TX" } }\n',
        b'{"campaign":"so\\u006car","lead":{"state":"tx "}}',
        ping(floor=-0.0),
        b'{"campaign":"solar","lead":{"state":"TX"},"floor":-0}',
        b'{"campaign":"solar","lead":{"state":"TX"},"tmax":4e2,"floor":1E1}',
        lead('"state":"TX","bill":null,"first_name":null'),
        ping(sub_id="a:b::c \u00fc\u4e16"),
        ping(tmax=None, floor=None, sub_id=None, test=None),
    ):
        answer = await line.send("/ping", body)
        assert (answer.status, answer.json["status"]) == (200, "offer"), body
    for kind in (b"application/json; charset=utf-8", b"Application/JSON", b"application/vnd.lead+json"):
        assert (await line.send("/ping", ping(), headers=[b"content-type: " + kind])).status == 200
    assert (await line.send("/ping", ping(), headers=[])).status == 200


async def test_an_answer_is_bounded_however_much_is_wrong(line: Wired) -> None:
    many = {f"key-number-{n}": 1 for n in range(3_000)}
    answer = await line.send("/ping", encode(many))
    assert problem_of(answer) == (422, "bad_fields")
    assert len(answer.fields) == 102
    twice = b"{" + b",".join(b'"%d":1' % (n % 3_000) for n in range(6_000)) + b"}"
    answer = await line.send("/ping", twice)
    assert problem_of(answer) == (422, "repeated_key")
    assert len(answer.fields) == 100
    answer = await line.send("/ping", b'{"%b":1,"%b":1}' % (b"x" * 9_000, b"x" * 9_000))
    assert answer.fields == ["x" * 64]
    answer = await line.send("/ping", b'{"%b":1}' % (b"x" * 60_000))
    assert answer.fields[0] == "x" * 64


async def test_bodies_that_are_no_json_by_their_own_word(line: Wired) -> None:
    for kind in (b"application/x-www-form-urlencoded", b"multipart/form-data; boundary=x", b"text/plain"):
        for path in ("/ping", "/post", "/direct"):
            answer = await line.send(path, b"campaign=solar", headers=[b"content-type: " + kind])
            assert problem_of(answer) == (415, "not_json")


@pytest.mark.parametrize(
    "key",
    [
        b"",
        b"x-api-key: \r\n",
        b"x-api-key: nobodys\r\n",
        b"x-api-key: test-key-and-more\r\n",
        b"x-api-key: paused-key\r\n",
        b"x-api-key: \xff\xfe\xc3\xa9\r\n",
        b"x-api-key: " + b"k" * 8_000 + b"\r\n",
        b"authorization: Bearer\r\n",
        b"authorization: Bearer \r\n",
        b"authorization: Bearer nobodys\r\n",
        b"authorization: Basic dGVzdC1rZXk=\r\n",
        b"authorization: test-key\r\n",
        b"authorization: Bearer \xff\r\n",
    ],
)
async def test_nobodys_key(line: Wired, traces: Traces, key: bytes) -> None:
    before = await traces.taken()
    for method, path in (("POST", "/ping"), ("POST", "/post"), ("POST", "/direct")):
        answer = await line.send(path, ping(), method=method, key=key)
        assert problem_of(answer) == (401, "unknown_key")
        assert answer.headers["www-authenticate"] == "bearer"
    for path in ("/leads/x", "/pings/x"):
        assert problem_of(await line.send(path, method="GET", key=key)) == (401, "unknown_key")
    assert await traces.taken() == before


async def test_a_key_that_is_wrong_is_told_from_one_that_did_not_arrive(line: Wired) -> None:
    for path in ("/ping", "/lead-routes", "/admin/orders"):
        method = "POST" if path == "/ping" else "GET"
        details = [
            (await line.send(path, ping(), method=method, key=key)).json["detail"]
            for key in (b"", b"authorization: Bearer nobodys\r\n")
        ]
        assert details[0].startswith("Send "), path
        assert details[1].endswith(" has this key."), path


async def test_keys_as_they_should_be(line: Wired) -> None:
    for key in (
        b"x-api-key: test-key\r\n",
        b"X-API-KEY:test-key  \r\n",
        b"Authorization: bearer test-key\r\n",
    ):
        assert (await line.send("/ping", ping(), key=key)).status == 200


async def test_what_is_not_there_and_what_is_not_yours(house: House, line: Wired, traces: Traces) -> None:
    rival = b"x-api-key: rival-key\r\n"
    offer, nothing = await house.ping(), await house.ping(lead={"state": "TX"}, floor=1_000)
    lead_id = (await house.sell((await house.ping(sub_id="sold"))["ping_id"]))["lead_id"]
    before = await traces.taken()
    for path, body in (("/ping", ping(campaign="nowhere")), ("/direct", ping(campaign="nowhere"))):
        assert problem_of(await line.send(path, body)) == (404, "unknown_campaign")
    for path in ("/ping", "/direct"):
        assert problem_of(await line.send(path, ping(campaign="roofing"))) == (403, "not_your_campaign")
    for ping_id in ("nothing", "x" * 128, "\u4e16\u754c", "a/b", "{ping:x}", "%00", "' OR 1=1 --"):
        body = encode({"ping_id": ping_id, "lead": PERSON})
        assert problem_of(await line.send("/post", body)) == (404, "unknown_ping"), ping_id
    for wrong in anything("x" * 129, "", "a\x00b", None, 5, []):
        answer = await line.send("/post", encode({"ping_id": wrong, "lead": PERSON}))
        assert problem_of(answer) == (422, "bad_fields")
        assert answer.fields == ["ping_id"]
    for theirs in (offer, nothing):
        body = encode({"ping_id": theirs["ping_id"], "lead": PERSON})
        assert problem_of(await line.send("/post", body, key=rival)) == (403, "not_your_ping")
    assert problem_of(await line.send(f"/leads/{lead_id}", method="GET", key=rival)) == (403, "not_your_lead")
    assert problem_of(await line.send(f"/pings/{offer['ping_id']}", method="GET", key=rival)) == (
        403,
        "not_your_ping",
    )
    body = encode({"ping_id": nothing["ping_id"], "lead": PERSON})
    assert problem_of(await line.send("/post", body)) == (410, "no_offer")
    after = await traces.taken()
    assert {**after, "keys": list(after["keys"])} == {**before, "keys": list(before["keys"])}
    assert (await house.sell(offer["ping_id"]))["status"] == "sold", "the rival's post did not use it up"


async def test_an_offer_that_expired(house: House, line: Wired) -> None:
    offer = await house.ping()
    house.clock.move(61_000)
    body = encode({"ping_id": offer["ping_id"], "lead": PERSON})
    assert problem_of(await line.send("/post", body)) == (410, "offer_expired")
    rival = await line.send("/post", body, key=b"x-api-key: rival-key\r\n")
    assert problem_of(rival) == (403, "not_your_ping"), "whose it was is all that a rival hears"
    assert await house.seen("a-co", "post") == []


async def test_a_used_ping_with_another_body(house: House, line: Wired, traces: Traces) -> None:
    offer = await house.ping()
    sale = await house.sell(offer["ping_id"])
    before = await traces.taken()
    other = encode({"ping_id": offer["ping_id"], "lead": {**PERSON, "first_name": "Bob"}})
    assert problem_of(await line.send("/post", other)) == (409, "used_ping")
    rival = await line.send("/post", other, key=b"x-api-key: rival-key\r\n")
    assert problem_of(rival) == (403, "not_your_ping")
    assert await house.sell(offer["ping_id"]) == sale, "and the same body gets the same answer"
    assert await traces.taken() == before
    assert len(await house.seen("a-co", "post")) == 1


async def test_methods_and_paths(line: Wired) -> None:
    for path in ("/ping", "/post", "/direct"):
        for method in ("GET", "PUT", "DELETE", "PATCH", "OPTIONS"):
            answer = await line.send(path, method=method)
            assert problem_of(answer) == (405, "wrong_method")
            assert answer.headers["allow"] == "post"
        assert (await line.send(path, method="HEAD")).status == 405
    for path in ("/healthz", "/readyz", "/leads/x", "/pings/x"):
        answer = await line.send(path, b"{}")
        assert problem_of(answer) == (405, "wrong_method")
        assert answer.headers["allow"] == "get, head"
    assert (await line.send("/healthz", method="HEAD")).status == 200
    for path in (
        "/",
        "/nowhere",
        "/ping/",
        "/post/x",
        "//ping",
        "/PING",
        "/healthz/",
        "/leads",
        "/leads/",
        "/leads/x/",
    ):
        for method in ("GET", "POST"):
            assert problem_of(await line.send(path, method=method)) == (404, "no_such_path"), path
    assert (await line.send("/%70ing?x=1#y", ping())).status == 200
    assert (await line.send("/healthz?a=b", method="GET")).json == {"status": "ok"}


@pytest.mark.parametrize("kind", ["lead", "ping"])
async def test_ids_of_every_kind_of_weirdness(line: Wired, kind: str) -> None:
    for written in (
        "x",
        "x" * 128,
        "x" * 129,
        "x" * 15_000,
        "%00",
        "a%00b",
        "%E4%B8%96",
        "%ff%fe",
        "%ED%A0%80",
        "%2e%2e",
        "..;",
        "%0d%0aset-cookie:x",
        "'%20OR%201=1--",
        "%25",
        "%",
        "{ping}",
        "-1",
        "0",
    ):
        answer = await line.send(f"/{kind}s/{written}", method="GET")
        assert problem_of(answer) == (404, f"unknown_{kind}"), written[:40]
    for written in ("a/b", "a%2Fb", "a%2f..%2f", "../healthz%00"):
        answer = await line.send(f"/{kind}s/{written}", method="GET")
        assert problem_of(answer) == (404, "no_such_path"), written


async def test_an_id_that_postgresql_cannot_even_be_asked_for(
    tmp_path: Path, emptied_valkey: str, postgres_ledger: str
) -> None:
    """Its texts hold no NUL: the door says 404 by itself."""
    async with open_house(tmp_path, emptied_valkey, postgres_ledger, ORDERS, MANNERS) as house:
        async with wired(house.url) as line:
            for kind in ("lead", "ping"):
                answer = await line.send(f"/{kind}s/a%00b", method="GET")
                assert problem_of(answer) == (404, f"unknown_{kind}")
            answer = await line.send("/post", encode({"ping_id": "\u4e16%00", "lead": PERSON}))
            assert problem_of(answer) == (404, "unknown_ping")
        assert house.app.bugs == 0


BIG = 16_777_216
"""The longest body that a house can be set to read."""


async def test_the_largest_bodies_that_can_be_allowed_are_refused_quickly_and_clearly(
    tmp_path: Path, emptied_valkey: str, sqlite_ledger: str
) -> None:
    """A hundred thousand keys, texts of megabytes, numbers of a million digits, depths of all kinds: never a 500."""
    many = ",".join(f'"k{n}":{n}' for n in range(100_000))
    long = "x" * 3_000_000
    cases: list[tuple[bytes, tuple[int, str]]] = [
        (lead(f'"state":"TX",{many}'), (422, "bad_fields")),
        (b"{%b}" % many.encode(), (422, "bad_fields")),
        (b'{"campaign":"solar","lead":{"state":"TX"},%b}' % many.encode(), (422, "bad_fields")),
        (lead(f'"state":{{{many}}}'), (422, "bad_fields")),
        (lead('"state":"TX","a":[' + "0," * 500_000 + "0]"), (422, "bad_fields")),
        (lead(f'"state":"{long}"'), (422, "bad_fields")),
        (lead(f'"{long}":1'), (422, "bad_fields")),
        (ping(campaign=long), (422, "bad_fields")),
        (ping(sub_id=long), (422, "bad_fields")),
        (ping(sub_id="a@" * 1_000_000), (422, "bad_fields")),
        (lead('"bill":' + "9" * 1_000_000), (400, "bad_json")),
        (lead('"bill":0.' + "9" * 1_000_000), (422, "bad_fields")),
        (lead('"state":"TX","state":"' + ":" * 1_000_000 + '"'), (422, "repeated_key")),
        (lead('"state":' + "[" * 1_000_000), (400, "too_deep")),
        (lead('"state":' + '{"a":' * 500_000), (400, "too_deep")),
        (b" " * BIG, (400, "bad_json")),
        (b"\xff" * 1_000_000, (400, "bad_json")),
        (b'"' + b"\\ud800" * 200_000 + b'"', (400, "bad_json")),
        (b"\xef\xbb\xbf" + ping(), (400, "bad_json")),
        (b" " * (BIG + 1), (413, "too_large")),
    ]
    settings = {"most_body_bytes": BIG}
    async with open_house(
        tmp_path, emptied_valkey, sqlite_ledger, ORDERS, MANNERS, settings=settings
    ) as house:
        for path in ("/ping", "/direct"):
            for body, expected in cases if path == "/ping" else cases[:3]:
                async with wired(house.url) as line:
                    answer = await line.send(path, body)
                assert problem_of(answer) == expected, (body[:80], answer)
                assert len(str(answer.json)) < 40_000
        offer = await house.ping()
        for person in (
            many,
            f'"first_name":"{long}"',
            f'"phone":"{"5" * 1_000_000}"',
            f'"first_name":[{{{many}}}]',
        ):
            body = b'{"ping_id":"%b","lead":{%b}}' % (offer["ping_id"].encode(), person.encode())
            async with wired(house.url) as line:
                assert problem_of(await line.send("/post", body)) == (422, "bad_fields")
        assert (await house.sell(offer["ping_id"]))["status"] == "sold"
        assert house.app.bugs == 0


async def test_five_hundred_custom_fields_are_a_lead_and_one_more_is_none(open_doors: OpenDoors) -> None:
    custom = [{"name": f"c{n}", "type": "text"} for n in range(497)]
    fields = [*CAMPAIGN["fields"][:1], *CAMPAIGN["fields"][2:], *custom]
    house = await open_doors(campaign={"fields": fields, "unknown_fields": "ignore"})
    whole = {**PING["lead"], **PERSON, **{f"c{n}": "v" * 64 for n in range(497)}}
    assert len(whole) == 500
    status, answer = await house.post("/direct", {"campaign": "solar", "lead": whole})
    assert (status, answer["status"]) == (200, "sold")
    (post,) = await house.seen("a-co", "post")
    assert len(post["body"]["lead"]) == 500
    status, answer = await house.post("/direct", {"campaign": "solar", "lead": {**whole, "more": 1}})
    assert (status, answer["errors"]) == (422, [{"field": "lead", "error": "expected at most 500 fields"}])
