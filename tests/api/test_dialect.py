"""Forms in parts, as browsers and `curl -F` send them: read as the other kind is, bounded, and never a file."""

from __future__ import annotations

import encodings
from typing import Any

import aiohttp
import pytest
from python_multipart.exceptions import FormParserError

from auction.api import dialect
from auction.api.dialect import MOST_TYPE, read_parts
from auction.errors import SellerError
from tests.api.conftest import OpenDoors
from tests.house import KEY, KEY_HASH, House

SELLER = {"id": "acme", "code": "ACME1234", "keys": [KEY_HASH]}
DOORS: dict[str, Any] = {"leads": {"name": "Solar"}, "router": {}}
FIXED = [{"id": "a", "buyer": "a-co", "price": {"fixed": 20}}]
LEAD = {"state": "TX", "first_name": "Zoë", "phone": "512-555-0142", "bill": ""}


def in_parts(*parts: bytes, boundary: str = "xx") -> tuple[bytes, bytes]:
    """A body, and its content type."""
    edge = f"--{boundary}".encode()
    body = b"".join(edge + b"\r\ncontent-disposition: form-data; " + part + b"\r\n" for part in parts)
    return body + edge + b"--\r\n", f"multipart/form-data; boundary={boundary}".encode()


@pytest.fixture
async def house(open_doors: OpenDoors) -> House:
    return await open_doors(FIXED, {}, campaign={"doors": DOORS}, sellers=[SELLER], more_campaigns=())


@pytest.mark.parametrize(
    ("path", "beside"),
    [
        ("/api/leads", {"seller": "ACME1234", "category": "Solar"}),
        ("/api.php", {}),
    ],
)
async def test_a_form_in_parts_is_a_lead(house: House, path: str, beside: dict[str, str]) -> None:
    form = aiohttp.FormData(quote_fields=False)
    lead = {**LEAD, **beside}
    if path == "/api.php":
        lead["name"] = lead.pop("first_name")
    for name, value in lead.items():
        form.add_field(name, value)
    form.add_field("photo", b"", filename="", content_type="application/octet-stream")  # left empty
    headers = {"authorization": f"Bearer {KEY}"}
    async with aiohttp.request("POST", house.url + path, data=form, headers=headers) as response:
        assert response.status == 200, await response.text()
    (posted,) = await house.seen("a-co", "post")
    assert posted["body"]["lead"]["first_name"] == "Zoë"
    assert "bill" not in posted["body"]["lead"]


async def test_what_is_no_lead_is_told(house: House) -> None:
    headers = {"authorization": f"Bearer {KEY}"}

    async def refused(body: bytes, kind: bytes) -> tuple[int, str, Any]:
        sent = {**headers, "content-type": kind.decode()}
        async with aiohttp.request("POST", house.url + "/api/leads", data=body, headers=sent) as answer:
            told = await answer.json()
            return answer.status, told["code"], told.get("fields")

    photo = b'name="photo"; filename="a.png"\r\ncontent-type: image/png\r\n\r\n\x89PNG'
    assert await refused(*in_parts(photo)) == (422, "bad_fields", {"photo": "is a file; send text"})
    twice = in_parts(b'name="state"\r\n\r\nTX', b'name="state"\r\n\r\nOK')
    assert await refused(*twice) == (422, "repeated_key", {"state": "is there twice"})
    large = in_parts(b'name="a"\r\n\r\n' + b"x" * 70_000)
    assert (await refused(*large))[:2] == (413, "too_large")


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"", b"multipart/form-data"),
        (b"--xx\r\n", b"multipart/form-data; boundary="),
        (b"nothing", b"multipart/form-data; boundary=xx"),
        (in_parts(b"\r\n\r\nTX")[0], b"multipart/form-data; boundary=xx"),
        (
            in_parts(*(b'name="a%d"\r\n\r\n1' % at for at in range(1_001)))[0],
            b"multipart/form-data; boundary=xx",
        ),
        (in_parts(b'name="a"\r\n\r\n\xff')[0], b"multipart/form-data; boundary=xx; charset=undefined"),
        (in_parts(b'name="a"\r\n\r\nx')[0], b"multipart/form-data; boundary=" + b"x" * 300),
    ],
)
async def test_what_is_no_form_is_400(body: bytes, kind: bytes) -> None:
    with pytest.raises(SellerError) as caught:
        await read_parts(body, kind)
    assert (caught.value.status, caught.value.code) == (400, "bad_form")


async def test_a_long_content_type_is_not_looked_into(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each `;` behind a quote that does not end would be another look at all of it."""
    monkeypatch.setattr(dialect, "parse_options_header", pytest.fail)
    with pytest.raises(SellerError) as caught:
        await read_parts(b"x", b'multipart/form-data; a="' + b";" * MOST_TYPE)
    assert (caught.value.status, caught.value.code) == (400, "bad_form")


async def test_a_long_head_of_a_part_is_not_looked_into() -> None:
    longest = b'name="%b"' % (b"a" * (MOST_TYPE - len(b' form-data; name=""')))
    body, kind = in_parts(longest + b"\r\n\r\nx")
    assert list((await read_parts(body, kind)).values()) == ["x"]
    for head in (longest + b";", b'name="a"' + b";" * 4_000, b'name="a"' + b"\n;" * 400):
        body, kind = in_parts(b'name="b"\r\n\r\n1', head + b"\r\n\r\nx")
        for each in (body, body.replace(b"content-disp", b"Content-DISP")):
            with pytest.raises(SellerError) as caught:
                await read_parts(each, kind)
            assert (caught.value.status, caught.value.code) == (400, "bad_form")


async def test_a_fault_of_the_parsers_own_is_400(monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(self: object) -> None:
        raise FormParserError("no boundary")

    monkeypatch.setattr("starlette.formparsers.MultiPartParser.parse", broken)
    with pytest.raises(SellerError) as caught:
        await read_parts(*in_parts(b'name="a"\r\n\r\nx'))
    assert (caught.value.status, caught.value.code) == (400, "bad_form")


@pytest.mark.parametrize("named", [b"idna", b"zlib", b"made-up-by-a-sender", b'"utf-8;x"', b"utf\xfc8", b""])
async def test_no_codec_is_looked_up_that_a_sender_names(named: bytes) -> None:
    body, kind = in_parts(b'name="a"\r\n\r\nx')
    with pytest.raises(SellerError) as caught:
        await read_parts(body, kind + b"; charset=" + named)
    assert (caught.value.status, caught.value.code) == (400, "bad_form")
    assert not any("sender" in (name or "") for name in encodings._cache)


@pytest.mark.parametrize("named", [b"utf-8", b'"UTF-8"', b"US-ASCII", b"utf-8 ", b"Windows-1252"])
async def test_the_usual_character_sets_are_taken(named: bytes) -> None:
    body, kind = in_parts(b'name="a"\r\n\r\nx')
    assert await read_parts(body, kind + b"; charset=" + named) == {"a": "x"}


async def test_texts_come_as_they_were_sent() -> None:
    body, kind = in_parts('name="é"\r\n\r\n Zoë\r\nLee '.encode(), b'name="none"\r\n\r\n')
    assert await read_parts(body, kind) == {"é": " Zoë\r\nLee "}
