"""A house with operators, on each kind of ledger, and a client that speaks for one of them."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest

from tests.api.conftest import hash_of_key
from tests.house import SELLER, House, open_house

SCOPES = ["catalogue:read", "catalogue:write", "leads:read", "leads:write", "money:read"]
ADMINS: list[dict[str, Any]] = [
    {"id": "ops", "keys": [hash_of_key("ops-key")], "scopes": SCOPES},
    {"id": "reader", "keys": [hash_of_key("reader-key")], "scopes": ["catalogue:read", "leads:read"]},
    {"id": "writer", "keys": [hash_of_key("writer-key")], "scopes": ["catalogue:read", "catalogue:write"]},
    {"id": "asleep", "keys": [hash_of_key("asleep-key")], "scopes": SCOPES, "paused": True},
]
ORDERS: list[dict[str, Any]] = [{"id": "a", "buyer": "a-co"}, {"id": "b", "buyer": "b-co"}]
MANNERS = {"a-co": {"bid": {"price": 30}}, "b-co": {"bid": {"price": 20}}}


class Told(msgspec.Struct):
    """An answer: `json` is its body read."""

    status: int
    headers: Mapping[str, str]
    json: Any

    @property
    def code(self) -> str | None:
        """The reason code of a problem."""
        return self.json.get("code") if isinstance(self.json, dict) else None

    @property
    def fields(self) -> list[str]:
        """The fields that a problem names."""
        return [error["field"] for error in self.json.get("errors", [])]

    @property
    def tag(self) -> str:
        """The state of what was shown."""
        return self.headers["etag"]

    @property
    def version(self) -> int:
        """The catalogue's, as it was told."""
        return int(self.headers["catalogue-version"])


class Operator:
    """Calls with one key."""

    def __init__(self, house: House, session: aiohttp.ClientSession, key: str = "ops-key") -> None:
        self.house = house
        self._session = session
        self._key = key

    def with_key(self, key: str) -> Operator:
        """Another caller."""
        return Operator(self.house, self._session, key)

    async def call(
        self, method: str, path: str, body: object = None, *, data: Any = None, **headers: str
    ) -> Told:
        """One call; a name of a header is written with `_`."""
        sent = {"authorization": f"Bearer {self._key}"}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        if data is None and body is not None:
            data = msgspec.json.encode(body)
            sent.setdefault("content-type", "application/json")
        url = f"{self.house.url}/admin{path}"
        async with self._session.request(method, url, data=data, headers=sent) as response:
            raw = await response.read()
            return Told(response.status, response.headers.copy(), msgspec.json.decode(raw) if raw else None)

    async def get(self, path: str) -> Told:
        """GET."""
        return await self.call("GET", path)

    async def patch(self, path: str, body: object, **headers: str) -> Told:
        """PATCH on what is there now, whatever it is."""
        return await self.call("PATCH", path, body, **{"if_match": "*", **headers})


OpenOffice = Callable[..., Awaitable[Operator]]


@pytest.fixture
def ledger_kind() -> str:
    """What does not hang on the database is tried on one; `on_both` tries it on the other too."""
    return "sqlite"


on_both = pytest.mark.parametrize("ledger_kind", ["sqlite", "postgres"])


@pytest.fixture
async def open_office(
    tmp_path: Path,
    emptied_valkey: str,
    ledger_kind: str,
    request: pytest.FixtureRequest,
    caplog: pytest.LogCaptureFixture,
) -> AsyncIterator[OpenOffice]:
    """Opens a house and gives its chief operator. It must come out of it with no bug and no error in its log."""
    ledger_url: str = request.getfixturevalue(f"{ledger_kind}_ledger")
    async with AsyncExitStack() as stack:
        opened: list[House] = []

        async def open_one(orders: list[dict[str, Any]] | None = None, **changes: Any) -> Operator:
            changes = {"sellers": [SELLER], "sections": {"admins": ADMINS}, "manners": MANNERS, **changes}
            house = await stack.enter_async_context(
                open_house(tmp_path, emptied_valkey, ledger_url, orders or ORDERS, **changes)
            )
            opened.append(house)
            return Operator(house, await stack.enter_async_context(aiohttp.ClientSession()))

        yield open_one
        assert [house.app.bugs for house in opened] == [0] * len(opened)
    assert [entry.getMessage() for entry in caplog.records if entry.levelno >= logging.ERROR] == []


@pytest.fixture
async def ops(open_office: OpenOffice) -> Operator:
    """The chief operator of the plainest house."""
    return await open_office()
