"""What is traded: each life has a campaign of its own, with buyers and orders that nobody else has."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from hashlib import sha256
from typing import Any

import msgspec

from tests.house import CAMPAIGN, KEY, dumped

ADMIN_KEY, BUYER_KEY = "instants-admin", "instants-buyer"
FIELDS: list[dict[str, Any]] = [
    *CAMPAIGN["fields"],
    {"name": "email", "type": "email", "required": "post", "pii": True},
]
CAPS: list[dict[str, Any]] = [{"leads": 3, "per": "hour"}, {"spend": 9_000.0, "per": "day"}]


def hash_of(key: str) -> str:
    """What a catalogue holds of a key."""
    return "sha256:" + sha256(key.encode()).hexdigest()


def key_of(buyer: str) -> str:
    """The key with which this buyer tells what became of leads."""
    return f"{BUYER_KEY}-{buyer}"


def catalogue_of(lives: Sequence[Any], mock_url: str, telling_url: str) -> str:
    """The catalogue of all lives together."""
    buyers = [
        {
            "id": name,
            "ping_url": f"{mock_url}/{name}/ping",
            "post_url": f"{mock_url}/{name}/post",
            "timeout_ms": 10_000,
            "post_timeout_ms": 20_000,
            "keys": [hash_of(key_of(name))],
            "caps": [{"leads": 4, "per": "hour"}],
            **life.buyers.get(name, {}),
        }
        for life in lives
        for name in life.manners
    ]
    orders = [
        {"campaign": life.name, "price": {"fixed": 30}, "caps": CAPS, **order}
        for life in lives
        for order in life.orders
    ]
    campaigns = [
        {
            "id": life.name,
            "fields": FIELDS,
            **life.campaign,
            "auction": {"tmax_ms": 4_000, "hold_s": 120, **life.campaign.get("auction", {})},
        }
        for life in lives
    ]
    seller = {
        "id": "acme",
        "code": "ACME1234",
        "keys": [hash_of(KEY)],
        "margin": "20%",
        "postbacks": [{"url": f"{telling_url}/?e={{event_id}}&s={{status}}&l={{lead_id}}"}],
    }
    return dumped(
        {
            "exchange": {"name": "Instants", "timezone": "UTC"},
            "campaigns": campaigns,
            "sellers": [seller],
            "admins": [
                {
                    "id": "ops",
                    "keys": [hash_of(ADMIN_KEY)],
                    "scopes": ["catalogue:read", "catalogue:write", "leads:read", "leads:write"],
                }
            ],
            "buyers": buyers,
            "orders": orders,
        }
    )


class Telling(msgspec.Struct, frozen=True):
    """A seller's endpoint: what it was told, first to last."""

    url: str
    told: list[dict[str, Any]]

    @staticmethod
    @asynccontextmanager
    async def listening() -> AsyncIterator[Telling]:
        """It hears whatever comes."""
        told: list[dict[str, Any]] = []

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                head = await reader.readuntil(b"\r\n\r\n")
            except asyncio.IncompleteReadError:
                writer.close()
                return
            query = head.split(b" ", 2)[1].decode().partition("?")[2]
            told.append(dict(pair.split("=", 1) for pair in query.split("&")))
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
            await writer.drain()
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        try:
            yield Telling(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", told)
        finally:
            server.close()
