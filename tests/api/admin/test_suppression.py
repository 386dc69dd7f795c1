"""Lists uploaded as they come: replaced, added to, taken from; and what is cut off changes nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from hashlib import sha256
from io import BytesIO
from urllib.parse import urlsplit

import pytest

from auction.changes import uploading
from tests.api.admin.conftest import OpenOffice, Operator, Told, on_both
from tests.api.wired import until
from tests.house import PERSON
from tests.privacy.planted import tells_number

LISTS = [{"id": "dnc", "fields": ["phone"]}, {"id": "other", "fields": ["phone"]}]
ENTRIES = "/suppression_lists/dnc/entries"


@pytest.fixture
async def ops(open_office: OpenOffice) -> Operator:
    return await open_office(suppression_lists=LISTS)


async def send(ops: Operator, method: str, body: bytes, query: str = "", **headers: str) -> Told:
    headers = {"content_type": "text/plain", **headers}
    return await ops.call(method, ENTRIES + query, data=BytesIO(body), **headers)


@on_both
async def test_a_list_is_replaced_added_to_and_taken_from(ops: Operator) -> None:
    empty = await ops.get(ENTRIES)
    assert empty.json == {"list": "dnc", "entries": 0, "form": None, "changed_at": None}
    put = await send(ops, "PUT", b"\xef\xbb\xbf512-555-0101\r\n\r\nnobody\n+15125550102")
    assert (put.status, put.json) == (
        200,
        {
            "list": "dnc",
            "entries": 2,
            "form": "sha256",
            "changed_at": "2026-01-01T12:00:00.000Z",
            "lines": 3,
            "passed_over": 1,
            "passed_over_lines": [3],
        },
    )
    digest = sha256(b"+15125550142").hexdigest().encode()
    assert (await send(ops, "POST", digest, "?hashed=sha256")).json["entries"] == 3
    assert (await send(ops, "DELETE", b"(512) 555 0101")).json["entries"] == 2
    await until(lambda: ops.house.exchange.shelf.entries.get("dnc") == 2)
    sold = await ops.house.sell((await ops.house.ping())["ping_id"])
    assert (sold["status"], sold["reason"], PERSON["phone"]) == ("rejected", "suppressed", "512-555-0142")
    assert (await send(ops, "DELETE", b"")).code == "nothing_to_load"
    assert (await send(ops, "DELETE", b"", "?all=true")).json["entries"] == 0
    audit = (await ops.get("/audit?id=dnc")).json["data"]
    assert [line["action"] for line in audit[:4]] == [
        "replace_entries",
        "remove_entries",
        "add_entries",
        "replace_entries",
    ]
    for number in (101, 102, 142):
        assert not tells_number(str(audit), f"512-555-0{number}")
    assert ops.house.exchange.uploading.running == 0


async def test_a_column_of_a_csv(ops: Operator) -> None:
    csv = b'name,phone\n"Ann, Smith",512-555-0101\n"Bob\nB",512-555-0102\nshort\n'
    told = await send(ops, "PUT", csv, "?column=phone", content_type="text/csv; charset=utf-8")
    assert (told.json["entries"], told.json["passed_over"]) == (2, 1)
    told = await send(ops, "PUT", csv, "?column=2", content_type="text/csv")
    assert (told.json["entries"], told.json["passed_over_lines"]) == (2, [1, 4])
    told = await send(ops, "PUT", csv, "?column=mobile", content_type="text/csv")
    assert (told.status, told.code) == (422, "unknown_column")
    assert "phone" not in told.json["detail"], "a file without a first row of names has people there"
    told = await send(ops, "PUT", b'"' + b"x\n" * 100_000, content_type="text/csv")
    assert (told.status, told.code) == (422, "bad_csv")


async def test_what_cannot_be_loaded_says_why(ops: Operator, monkeypatch: pytest.MonkeyPatch) -> None:
    assert (await send(ops, "PUT", b"x", "?hashed=sha1")).code == "bad_query"
    assert (await send(ops, "PUT", b"x", "?all=true")).fields == ["all"]
    assert (await send(ops, "PUT", b"x", content_type="application/json")).code == "not_text"
    assert (await send(ops, "PUT", b"nobody\n")).code == "nothing_to_load"
    told = await ops.call("PUT", "/suppression_lists/none/entries", data=b"x", content_type="text/plain")
    assert (told.status, told.code) == (404, "unknown_entry")
    assert (await send(ops.with_key("reader-key"), "PUT", b"x")).code == "not_in_your_scope"
    await send(ops, "PUT", sha256(b"x").hexdigest().encode(), "?hashed=sha256")
    digest = b"0" * 32
    assert (await send(ops, "POST", digest, "?hashed=md5")).code == "other_form"
    monkeypatch.setattr("auction.api.admin.suppression.MOST_BYTES", 10)
    assert (await send(ops, "PUT", b"512-555-0101")).status == 413
    assert (await ops.get(ENTRIES)).json["entries"] == 1


async def test_a_body_beyond_what_other_doors_take_comes_in_pieces(ops: Operator) -> None:
    async def numbers() -> AsyncIterator[bytes]:
        for block in range(200):
            yield b"".join(b"512555%04d\n" % (block * 50 + number) for number in range(50))

    long_line = b"9" * 100_000 + b"\n"

    async def body() -> AsyncIterator[bytes]:
        yield long_line
        async for piece in numbers():
            yield piece

    told = await ops.call("PUT", ENTRIES, data=body(), content_type="text/plain")
    assert (told.status, told.json["entries"], told.json["passed_over_lines"]) == (200, 10_000, [1])


async def test_an_upload_that_is_cut_off_changes_nothing(ops: Operator) -> None:
    await send(ops, "PUT", b"512-555-0101")
    where = urlsplit(ops.house.url)
    _, writer = await asyncio.open_connection(where.hostname, where.port)
    head = f"PUT /admin{ENTRIES} HTTP/1.1\r\nhost: x\r\nx-api-key: ops-key\r\ncontent-length: 1000\r\n\r\n"
    writer.write(head.encode() + b"512-555-0102\n")
    await until(lambda: ops.house.exchange.uploading.running == 1)
    writer.close()
    await until(lambda: ops.house.exchange.uploading.running == 0)
    assert ops.house.exchange.uploading.outcomes["cut_off",] == 1
    assert (await ops.get(ENTRIES)).json["entries"] == 1


async def test_so_many_at_once_and_so_long(ops: Operator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploading, "MOST_AT_ONCE", 0)
    told = await send(ops, "PUT", b"512-555-0101")
    assert (told.status, told.code, told.headers["retry-after"]) == (503, "house_full", "10")
    monkeypatch.setattr(uploading, "MOST_AT_ONCE", 2)
    monkeypatch.setattr(uploading, "WITHIN_S", 0.01)
    assert (await send(ops, "PUT", b"512-555-0101")).code == "too_slow"
    assert (await ops.get(ENTRIES)).json["entries"] == 0
