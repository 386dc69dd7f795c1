"""The append-only file, written anew: what was deleted is in none of its bytes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest

from auction.counters import files
from auction.counters.embedded import EmbeddedValkey
from auction.counters.files import rewrite_files
from auction.counters.link import Link
from tests.api.wired import until
from tests.counters.conftest import OpenLink


def in_files(server: EmbeddedValkey, what: bytes) -> bool:
    """Also in one that is thrown away at this moment."""
    for path in (Path(server._folder) / "appendonlydir").iterdir():
        with suppress(FileNotFoundError):
            if what in path.read_bytes():
                return True
    return False


@pytest.fixture
async def slow_link(link: Link) -> AsyncIterator[Link]:
    """To a server that takes a second over its file."""
    await link.call("CONFIG", "SET", "rdb-key-save-delay", 1_000)
    for at in range(1_000):
        await link.call("SET", f"k{at}", 1)
    yield link
    await link.call("CONFIG", "SET", "rdb-key-save-delay", 0)


async def test_what_was_deleted_is_in_no_file(link: Link, valkey: EmbeddedValkey) -> None:
    await link.call("SET", "zq-key", "zq-value")
    await link.call("DEL", "zq-key")
    await until(lambda: in_files(valkey, b"zq-value"))  # written when the disk has taken what came before
    assert await rewrite_files(link, 20)
    assert not in_files(valkey, b"zq-value")


async def test_one_that_is_under_way_is_not_enough(slow_link: Link, valkey: EmbeddedValkey) -> None:
    await slow_link.call("SET", "zq-other", "zq-before")
    await slow_link.call("BGREWRITEAOF")
    await slow_link.call("DEL", "zq-other")
    assert await rewrite_files(slow_link, 20)
    assert not in_files(valkey, b"zq-before")


async def test_one_that_takes_too_long_is_told(slow_link: Link) -> None:
    assert not await rewrite_files(slow_link, 0.05)
    assert not await rewrite_files(slow_link, 0.05), "nor while that one is under way"
    assert await rewrite_files(slow_link, 20)


async def test_a_server_that_does_not_let_us(valkey: EmbeddedValkey, link: Link, open_link: OpenLink) -> None:
    await link.call("ACL", "SETUSER", "guest", "on", "nopass", "~*", "&*", "+@all", "-bgrewriteaof")
    try:
        guest = await open_link()
        await guest.call("AUTH", "guest", "any")
        assert not await rewrite_files(guest, 20)
    finally:
        await link.call("ACL", "DELUSER", "guest")


async def test_where_no_file_is_kept_there_is_nothing_to_do(
    link: Link, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def none_kept(_: Link) -> dict[str, str]:
        await asyncio.sleep(0)
        return {"aof_enabled": "0"}

    monkeypatch.setattr(files, "_persistence", none_kept)
    rewrites = await count_rewrites(link)
    assert await rewrite_files(link, 1)
    assert await count_rewrites(link) == rewrites


async def count_rewrites(link: Link) -> bytes:
    told = await link.call("INFO", "commandstats")
    return b"\n".join(line for line in told.splitlines() if b"bgrewriteaof:" in line)
