"""A whole house for tests: the real exchange behind a real socket, real stores, and mock buyers on a socket of
their own, all in the test's loop. The clock is the test's to move."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import yaml

from auction.api.app import App
from auction.api.front import Front
from auction.api.origins import behind_origins
from auction.catalogue.reading import Source, read_catalogue
from auction.changes.applying import apply_catalogue
from auction.clock import MovedClock
from auction.exchange import Exchange
from auction.ledger.engine import open_engine
from auction.ledger.migrations import upgrade
from auction.settings import Settings
from buyers_mock.script import read_script
from buyers_mock.server import Listening, listening

KEY = "test-key"
KEY_HASH = "sha256:62af8704764faf8ea82fc61ce9c4c3908b6cb97d463a634e9e587d7c885db0ef"
NOON_MS = 1_767_268_800_000  # Thursday, 1 January 2026, 12:00 UTC

CAMPAIGN: dict[str, Any] = {
    "id": "solar",
    "fields": [
        {"name": "state", "type": "us_state", "required": "ping"},
        {"name": "bill", "type": "integer", "min": 0, "ping": True},
        {"name": "first_name", "type": "text", "required": "post", "pii": True},
        {"name": "phone", "type": "phone", "required": "post", "pii": True},
    ],
    "auction": {"tmax_ms": 2_000},
}
SELLER: dict[str, Any] = {"id": "acme", "keys": [KEY_HASH]}
PING: dict[str, Any] = {"campaign": "solar", "lead": {"state": "TX"}}
PERSON: dict[str, Any] = {"first_name": "Ann", "phone": "512-555-0142"}


def catalogue(
    orders: list[dict[str, Any]],
    *,
    campaign: Mapping[str, Any] | None = None,
    auction: Mapping[str, Any] | None = None,
    buyers: Mapping[str, Mapping[str, Any]] | None = None,
    sellers: list[dict[str, Any]] | None = None,
    more_campaigns: Sequence[Mapping[str, Any]] = (),
    suppression_lists: Sequence[Mapping[str, Any]] = (),
    sections: Mapping[str, Sequence[Mapping[str, Any]]] | None = None,
    mock_url: str = "http://127.0.0.1:1",
) -> str:
    """A catalogue file of one campaign (and more without orders): orders name their buyers, who live at the mock.
    `sections` are those that no order needs, such as `teams`.
    """
    of_campaign = {**CAMPAIGN, **(campaign or {})}
    of_campaign["auction"] = {**of_campaign["auction"], **(auction or {})}
    names = sorted({order["buyer"] for order in orders})
    return dumped(
        {
            "exchange": {"name": "Test", "timezone": "UTC"},
            "campaigns": [of_campaign, *map(dict, more_campaigns)],
            "sellers": [SELLER] if sellers is None else sellers,
            "buyers": [
                {
                    "id": name,
                    "ping_url": f"{mock_url}/{name}/ping",
                    "post_url": f"{mock_url}/{name}/post",
                    "timeout_ms": 2_000,
                    **(buyers or {}).get(name, {}),
                }
                for name in names
            ],
            "suppression_lists": list(map(dict, suppression_lists)),
            "orders": [{"campaign": of_campaign["id"], "price": {"live": True}, **order} for order in orders],
            **{name: list(map(dict, entries)) for name, entries in (sections or {}).items()},
        }
    )


def dumped(value: object) -> str:
    """As YAML, by the library in C where there is one: every house has a file or two."""
    dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
    return str(yaml.dump(value, Dumper=dumper, sort_keys=False))


class House:
    """A running exchange with what a test needs to look at it from outside."""

    def __init__(
        self, exchange: Exchange, app: App, front: Front, url: str, mock: Listening, clock: MovedClock
    ) -> None:
        self.exchange = exchange
        self.app = app
        self.front = front
        self.url = url
        self.mock = mock
        self.clock = clock
        self._session = aiohttp.ClientSession(headers={"x-api-key": KEY})

    async def store(self, text: str) -> None:
        """Another catalogue, as `auction apply` stores it; the exchange trades on it within a second."""
        await asyncio.to_thread(_apply, self.exchange.settings.ledger_url, text)

    async def post(self, path: str, body: object, **headers: str) -> tuple[int, dict[str, Any]]:
        """One POST as JSON (or as the bytes that are given): status and answer."""
        data = body if isinstance(body, bytes) else msgspec.json.encode(body)
        sent = {"content-type": "application/json", **headers}
        async with self._session.post(self.url + path, data=data, headers=sent) as response:
            return response.status, await response.json(content_type=None)

    async def ask(self, method: str, path: str, key: str, **sent: Any) -> tuple[int, dict[str, Any]]:
        """One request of the holder of another key, as aiohttp is told to send it: status and answer."""
        bearer = {"authorization": f"Bearer {key}"}
        async with aiohttp.request(method, self.url + path, headers=bearer, **sent) as response:
            return response.status, await response.json(content_type=None)

    async def get(self, path: str, **headers: str) -> tuple[int, dict[str, Any]]:
        """One GET: status and answer."""
        async with self._session.get(self.url + path, headers=headers) as response:
            return response.status, await response.json(content_type=None)

    async def ping(self, **changes: Any) -> dict[str, Any]:
        """A ping that must be answered 200."""
        status, answer = await self.post("/ping", {**PING, **changes})
        assert status == 200, answer
        return answer

    async def sell(self, ping_id: str, **person: Any) -> dict[str, Any]:
        """A post that must be answered 200."""
        status, answer = await self.post("/post", {"ping_id": ping_id, "lead": {**PERSON, **person}})
        assert status == 200, answer
        return answer

    async def seen(self, buyer: str, kind: str) -> list[dict[str, Any]]:
        """What the mock buyer was sent, first to last: its `/_log`."""
        async with self._session.get(f"{self.mock.url}/_log?buyer={buyer}&kind={kind}") as response:
            return list((await response.json())["entries"])

    async def until_seen(self, buyer: str, kind: str) -> None:
        """Waits until the mock buyer was sent one."""
        async with asyncio.timeout(30):
            while not await self.seen(buyer, kind):  # noqa: ASYNC110
                await asyncio.sleep(0.005)

    async def change_manner(self, buyer: str, manner: Mapping[str, Any]) -> None:
        """How the mock buyer behaves from now on."""
        async with self._session.put(f"{self.mock.url}/_manners/{buyer}", json=manner) as response:
            assert response.status == 200, await response.text()

    async def close(self) -> None:
        """End the client."""
        await self._session.close()


@asynccontextmanager
async def open_house(
    folder: Path,
    redis_url: str,
    ledger_url: str,
    orders: list[dict[str, Any]],
    manners: Mapping[str, Mapping[str, Any]] | None = None,
    *,
    settings: Mapping[str, Any] | None = None,
    text: str | None = None,
    **catalogue_changes: Any,
) -> AsyncIterator[House]:
    """Start everything, give the house, end everything. `manners`: buyer → how the mock plays it. `text`: a whole
    catalogue file, in place of one made of the orders.
    """
    names = sorted({order["buyer"] for order in orders})
    script = dumped({"buyers": {name: dict((manners or {}).get(name, {})) for name in names}})
    async with listening(read_script(script), host="127.0.0.1", ports=(0,)) as mock:
        text = text or catalogue(orders, mock_url=mock.url, **catalogue_changes)
        await asyncio.to_thread(_apply, ledger_url, text)  # the way to the ledger may be a proxy on this loop
        clock = MovedClock(NOON_MS)
        plain = {
            "data_dir": folder,
            "database_url": ledger_url,
            "allow_private_buyers": True,
            "counters_timeout_ms": 5_000,
        }
        exchange = Exchange(Settings(**{**plain, **(settings or {})}), clock)
        try:
            await exchange.open(redis_url)
            app = App(exchange)
            async with _serving(app, exchange.settings.allow_origins or "") as (front, url):
                house = House(exchange, app, front, url, mock, clock)
                try:
                    yield house
                finally:
                    await house.close()
        finally:
            await exchange.close()


def _apply(ledger_url: str, text: str) -> None:
    engine = open_engine(ledger_url)
    try:
        upgrade(engine)
        apply_catalogue(engine, read_catalogue([Source("test.yaml", text)]), NOON_MS, "test")
    finally:
        engine.dispose()


@asynccontextmanager
async def _serving(app: App, allowed: str) -> AsyncIterator[tuple[Front, str]]:
    for lane in app.gate.admission.lanes:  # what a busy machine takes for two hundred at once is no overload
        lane.bounds = msgspec.structs.replace(lane.bounds, late_s=60.0, lasting_s=60.0)
    front = Front(behind_origins(app, allowed), gate=app.gate)
    app.of_front = front.families
    listening_at = socket.create_server(("127.0.0.1", 0))
    await front.start(listening_at)
    try:
        yield front, f"http://127.0.0.1:{listening_at.getsockname()[1]}"
    finally:
        await front.stop(10)
