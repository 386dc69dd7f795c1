"""What the counters' server holds beside its keys: values that were deleted stay in its append-only file until that is
written anew, and the words of slow commands in its memory until they are dropped."""

from __future__ import annotations

import asyncio
from time import monotonic

from auction.counters.faults import CallError
from auction.counters.info import read_info
from auction.counters.link import Link

LOOK_S = 0.05
AT_ONCE = "in progress"
"""What the server says where it rewrites already. That one began before we asked, so another has to follow."""


async def rewrite_files(link: Link, within_s: float) -> bool:
    """Has the server drop its log of slow commands, and write its append-only file anew with what it holds now; waits
    for the end of it.

    False where that was not over `within_s`, failed, or is not allowed to us (a server of others). True also where it
    keeps no such file. Raises `CountersUnavailable`.
    """
    until_s = monotonic() + within_s
    try:
        await link.call("SLOWLOG", "RESET")
        if (await _persistence(link)).get("aof_enabled") == "0":
            return True
        while not await _began(link):
            if monotonic() > until_s:
                return False
            await asyncio.sleep(LOOK_S)
        while True:
            told = await _persistence(link)
            if told.get("aof_rewrite_in_progress") == told.get("aof_rewrite_scheduled") == "0":
                return told.get("aof_last_bgrewrite_status") == "ok"
            if monotonic() > until_s:
                return False
            await asyncio.sleep(LOOK_S)
    except CallError:
        return False


async def _began(link: Link) -> bool:
    """False where one that was asked for before is under way."""
    try:
        await link.call("BGREWRITEAOF")
    except CallError as error:
        if AT_ONCE not in str(error):
            raise
        return False
    return True


async def _persistence(link: Link) -> dict[str, str]:
    return read_info(await link.call("INFO", "persistence"))
