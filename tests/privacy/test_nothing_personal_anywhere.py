"""A whole house, seen from outside, is fed one person in every way there is; then everything it wrote is searched.

Real processes at debug level, buyers that send back what they were sent wherever an answer has room for it, requests
with mistakes, stores that are killed, and every command that shows something. What was planted may be at its
buyers; nowhere else in clear: no log, metric, problem, file of the ledger or of the counters.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import yaml
from click.testing import CliRunner

from auction.cli import main
from tests.house import KEY, KEY_HASH
from tests.privacy.recorder import Request, recording
from tests.servers import Client, Served, client_of, running_server

PERSON = {
    "first_name": "Zqanna",
    "last_name": "Zqobrien",
    "phone": "(307) 555-8642",
    "email": "Zq.Anna@planted.example",
    "street": "77 Zqoak Street",
    "born": "1934-07-19",
    "page": "https://planted.example/zq-page",
}
PLANTED = [
    *(
        "zqanna",
        "zqobrien",
        "3075558642",
        "307) 555",
        "307-555-8642",
        "planted.example",
        "zqoak",
        "1934-07-19",
    ),
    *("zq-page", "zqheader", "zqquery"),
]
SUB_ID = "sub-zq-17"
"""Names nobody: a seller's own id, kept in clear."""
FIELDS: list[dict[str, Any]] = [
    {"name": "state", "type": "us_state", "required": "ping"},
    {"name": "first_name", "type": "text", "required": "post", "pii": True},
    {"name": "last_name", "type": "text", "max_length": 12, "pii": True},
    {"name": "phone", "type": "phone", "required": "post", "pii": True, "ping_as": "hash"},
    {"name": "email", "type": "email", "pii": True, "ping_as": "hash"},
    {"name": "street", "type": "text", "pii": True},
    {"name": "born", "type": "date", "pii": True},
    {"name": "page", "type": "url", "pii": True},
]


def answer(status: str, body: object) -> bytes:
    text = msgspec.json.encode(body)
    return b"HTTP/1.1 %b\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (
        status.encode(),
        len(text),
        text,
    )


NAME, PHONE, EMAIL = PERSON["first_name"], "3075558642", PERSON["email"]
TELLING: dict[str, bytes] = {
    "takes": answer(
        "200 OK",
        {"status": "accepted", "buyer_lead_id": EMAIL, "redirect_url": f"https://b.example/?e={EMAIL}"},
    ),
    "takes-phone": answer("200 OK", {"status": "accepted", "buyer_lead_id": int(PHONE)}),
    "rejects": answer("200 OK", {"status": "rejected", "reason": f"known:{NAME}"}),
    "sentence": answer("422 No", {"status": "rejected", "reason": f"{NAME} {PHONE} is known"}),
    "unclear": answer("200 OK", {"status": NAME, "reason": EMAIL}),
    "fails": answer(f"500 {NAME}", {"error": PERSON}),
    "garbage": f"{NAME} {PHONE} {EMAIL}\r\n\r\n".encode(),
    "bad-header": f"HTTP/1.1 200 OK\r\n{NAME} {EMAIL}\r\n\r\n".encode(),
    "bad-length": f"HTTP/1.1 200 OK\r\nContent-Length: {NAME}\r\n\r\n{EMAIL}".encode(),
    "redirects": f"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1/{EMAIL}\r\nContent-Length: 0\r\n\r\n".encode(),
}
"""What each buyer answers to a post: the person, wherever there is room."""


HEARS = answer("400 Bad", {"error": f"no {NAME}", "lead": PERSON})
"""What the seller itself answers to its postbacks."""


def answering(request: Request) -> bytes:
    name = request.line.split(b"/")[1].decode()
    return HEARS if name == "told" else TELLING[name]


def catalogue_of(url: str) -> str:
    """A campaign for each buyer, so that each of them is sent a lead; the live one is never reached."""
    return yaml.safe_dump(
        {
            "exchange": {"timezone": "UTC"},
            "campaigns": [
                {"id": name, "fields": FIELDS, "duplicates": {"fields": ["phone", "email"], "days": 3}}
                for name in TELLING
            ],
            "sellers": [
                {
                    "id": "acme",
                    "keys": [KEY_HASH],
                    "postbacks": [{"url": f"{url}/told/{{lead_id}}/{{reason}}"}],
                }
            ],
            "buyers": [
                {"id": name, "post_url": f"{url}/{name}/post", "idempotent": True} for name in TELLING
            ],
            "orders": [
                {"id": name, "buyer": name, "campaign": name, "price": {"fixed": 20}} for name in TELLING
            ],
        }
    )


class Seller(Client):
    """A seller that keeps every answer it was given, whole."""

    def __init__(self, served: Served, session: aiohttp.ClientSession) -> None:
        super().__init__(served, session)
        self.url, self.session = served.url, session
        self.answers: list[str] = []

    async def send(
        self, method: str, path: str, body: bytes | dict[str, Any] = b"", **headers: str
    ) -> tuple[int, dict[str, Any]]:
        data = body if isinstance(body, bytes) else msgspec.json.encode(body)
        sent = {
            "content-type": "application/json",
            "x-api-key": KEY,
            "user-agent": f"zqheader {EMAIL}",
            **headers,
        }
        async with self.session.request(method, self.url + path, data=data, headers=sent) as response:
            text = await response.text()
            self.answers.append(
                f"{'' if found_in(path) else path} {response.status} {dict(response.headers)} {text}"
            )
            found: dict[str, Any] = msgspec.json.decode(text)
            return response.status, found


async def sell_to_all(seller: Seller) -> list[str]:
    """One lead to every buyer, by ping and post and directly; the ids of the leads and pings."""
    sold = await asyncio.gather(*(sell_to(seller, name) for name in TELLING))
    return [one for ids in sold for one in ids]


async def sell_to(seller: Seller, name: str) -> list[str]:
    ping = {"campaign": name, "lead": {"state": "WY", "phone": PERSON["phone"]}, "sub_id": SUB_ID}
    status, offer = await seller.send("POST", "/ping?zqquery=" + EMAIL, ping)
    assert (status, offer["status"]) == (200, "offer"), offer
    post = {"ping_id": offer["ping_id"], "lead": PERSON}
    for _ in range(2):
        status, sale = await seller.send("POST", "/post", post)
        assert status in (200, 409), sale
    direct = {"campaign": name, "lead": {**PERSON, "state": "WY", "phone": "+1 307-555-8642"}}
    status, second = await seller.send("POST", "/direct", direct, **{"idempotency-key": f"{name} {EMAIL}"})
    assert status == 200, second
    assert second["reason"] == "duplicate" or "lead_id" in second, "it is known by its hashes"
    return [offer["ping_id"], sale["lead_id"], second.get("lead_id", second["ping_id"])]


BAD: list[tuple[str, str, Any, dict[str, str]]] = [
    ("POST", "/ping", {"campaign": "takes", "lead": {"state": "WY", **PERSON}}, {}),
    ("POST", "/ping", {"campaign": "takes", "lead": {"state": NAME, "phone": NAME, "email": PHONE}}, {}),
    ("POST", "/ping", {"campaign": EMAIL, "lead": {"state": "WY"}}, {}),
    ("POST", "/ping", {"campaign": "takes", "lead": {"state": "WY"}, "sub_id": EMAIL}, {}),
    ("POST", "/ping", {"campaign": "takes", "lead": {"state": "WY"}, "sub_id": f"c {PHONE}"}, {}),
    ("POST", "/ping", {"campaign": "takes", "lead": {"state": "WY"}, "sub_id": "307-555-8642"}, {}),
    ("POST", "/ping", {"campaign": "takes", "lead": NAME, "tmax": PHONE, "floor": EMAIL, "test": NAME}, {}),
    ("POST", "/post", {"ping_id": EMAIL, "lead": PERSON}, {}),
    ("POST", "/post", {"ping_id": "0" * 32, "lead": {**PERSON, "extra": EMAIL}}, {}),
    ("POST", "/direct", {"campaign": "takes", "lead": {**PERSON, "state": "WY", "last_name": NAME * 9}}, {}),
    ("POST", "/direct", {"campaign": "takes", "lead": {**PERSON, "phone": f"{PHONE}x", "born": NAME}}, {}),
    ("POST", "/direct", {"campaign": "takes", "lead": {**PERSON, "page": NAME, "email": f"{EMAIL}@"}}, {}),
    ("POST", "/direct", b'{"campaign":"takes","lead":{"first_name":"%b"' % NAME.encode(), {}),
    ("POST", "/direct", b'{"lead":{"first_name":"%b \xff"}}' % NAME.encode(), {}),
    ("POST", "/direct", b'{"a":"%b","a":"%b"}' % (NAME.encode(), EMAIL.encode()), {}),
    ("POST", "/ping", NAME.encode(), {"content-type": f"text/{NAME}"}),
    ("POST", "/ping", {"campaign": "takes", "lead": {}}, {"x-api-key": EMAIL}),
    ("POST", "/ping", {"campaign": "takes", "lead": {}}, {"cookie": NAME, "referer": f"https://x/?{EMAIL}"}),
    ("GET", f"/leads/{EMAIL}", b"", {}),
    ("GET", f"/pings/{NAME}?zqquery={EMAIL}", b"", {}),
    ("GET", f"/{NAME}/{EMAIL}", b"", {}),
    ("PUT", f"/ping?{EMAIL}", b"", {}),
]


async def send_what_is_wrong(seller: Seller) -> None:
    for method, path, body, headers in BAD:
        status, problem = await seller.send(method, path, body, **headers)
        assert 400 <= status < 500, (path, body, problem)
    status, offer = await seller.send(
        "POST", "/ping", {"campaign": "takes", "lead": {"state": "UT", "phone": PHONE}}
    )
    changed = {**PERSON, "phone": "307-555-0000", "state": "ID"}
    for lead in (changed, {**PERSON, "born": NAME}):
        status, problem = await seller.send("POST", "/post", {"ping_id": offer["ping_id"], "lead": lead})
        assert status == 422, problem


@contextlib.contextmanager
def locked(ledger: Path) -> Iterator[None]:
    """The database is another's for a while."""
    other = sqlite3.connect(ledger, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        other.rollback()
        other.close()


async def send_while_stores_are_away(served: Served, seller: Seller) -> None:
    another = {"phone": "307-555-8642", "email": f"zq.{EMAIL}"}
    direct = {"campaign": "takes", "lead": {**PERSON, "state": "WY", **another}}
    with locked(served.data_dir / "ledger.sqlite3"):
        status, _ = await seller.send("POST", "/direct", direct)
        assert status == 503
    valkey = int((served.data_dir / "valkey" / "valkey.lock").read_text())
    os.kill(valkey, signal.SIGKILL)
    for path, body in (("/direct", direct), ("/ping", {"campaign": "takes", "lead": {"state": "WY"}})):
        status, _ = await seller.send("POST", path, body)
        assert status == 503


def shown_by_commands(served: Served, ids: list[str]) -> str:
    """All that the command line has to say of these leads and pings, in this process: a new one each takes long."""
    said: list[str] = []
    for arguments in (
        ("export",),
        ("keys", "list", "acme"),
        *(("explain", one) for one in ids),
        *(("lead", one) for one in ids),
        ("postbacks", "list"),
    ):
        said.append(CliRunner().invoke(main, [*arguments, "--data-dir", str(served.data_dir)]).output)
    return "\n".join(said)


def found_in(text: str | bytes, *, planted: list[str] = PLANTED) -> list[str]:
    raw = text.encode() if isinstance(text, str) else text
    return [one for one in planted if one.encode() in raw.lower()]


async def test_one_person_is_found_nowhere(tmp_path: Path) -> None:
    async with recording(answering) as buyers:
        environ = {"AUCTION_LOG_LEVEL": "debug", "AUCTION_POST_WAIT_MS": "200"}
        with running_server(tmp_path, buyers.url, catalogue_of, environ=environ) as served:
            async with client_of(served) as plain:
                seller = Seller(served, plain._session)
                ids = await sell_to_all(seller)
                await send_what_is_wrong(seller)
                async with seller.session.get(f"{served.url}/metrics") as response:
                    metrics = await response.text()
                commands = await asyncio.to_thread(shown_by_commands, served, ids)
                files_at_work = written_in(served.data_dir)
                await send_while_stores_are_away(served, seller)
        log = (tmp_path / "serve.log").read_text()
        assert "OperationalError" in log, "the log tells of what happened"
        assert "auction_leads_total" in metrics
        assert "won" in commands
        assert "http_500" in commands, "the reasons are shown"
        assert SUB_ID in (await asyncio.to_thread(written_in, tmp_path / "data"))["ledger.sqlite3"].decode(
            "latin-1"
        )
    assert len(found_in(b"".join(request.raw for request in buyers.requests))) >= 6, "the buyers have it"
    told = [request.raw for request in buyers.requests if b"/told/" in request.line]
    assert len(told) >= len(TELLING)
    assert found_in(b"".join(told)) == [], "the seller is told what became of its lead, not whose it was"
    assert " 400 " in commands, "what the seller answered is shown as far as it names nobody"
    assert not [answer for answer in seller.answers if found_in(answer) and "redirect_url" not in answer]
    for where, text in (("log", log), ("metrics", metrics), ("commands", commands)):
        assert found_in(text) == [], where
    for where, text in (("log", log), ("metrics", metrics)):
        assert found_in(text, planted=[SUB_ID]) == [], where
    for files in (files_at_work, written_in(tmp_path / "data")):
        assert any(name.startswith("valkey/") and name.endswith(".aof") for name in files)
        assert {name: found for name, raw in files.items() if (found := found_in(raw))} == {}


def written_in(folder: Path) -> dict[str, bytes]:
    """Every file, by its name in the folder; those that a house at work replaces or drops meanwhile are not there."""
    found: dict[str, bytes] = {}
    for path in sorted(folder.rglob("*")):
        with contextlib.suppress(FileNotFoundError):
            if path.is_file():
                found[str(path.relative_to(folder))] = path.read_bytes()
    return found
