"""The primary dies and its sentinel makes the replica the primary: the house follows, and no cap is passed."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from auction.counters.embedded import _binary
from auction.reconcile.reconciling import Reconciling
from loadtest.processes import Process
from tests.api.wired import until
from tests.house import PERSON, PING, open_house
from tests.ports import held_port
from tests.valkeys import running_valkey, tell

CAP = 3
ORDERS: list[dict[str, Any]] = [
    {"id": "a", "buyer": "a-co", "caps": [{"leads": CAP, "per": "day"}]},
]
MANNERS = {"a-co": {"bid": {"price": 30}}}


@contextmanager
def running_sentinel(folder: Path, primary_port: int) -> Iterator[str]:
    """One sentinel, which alone decides that the primary is down: its host and port."""
    folder.mkdir(parents=True)
    settings = folder / "sentinel.conf"
    with held_port() as port:
        settings.write_text(
            f"port {port}\nbind 127.0.0.1\ndir {folder}\n"
            f"sentinel monitor house 127.0.0.1 {primary_port} 1\n"
            "sentinel down-after-milliseconds house 300\nsentinel failover-timeout house 3000\n"
        )
        with Process([_binary(), str(settings), "--sentinel"], folder / "sentinel.log") as process:
            process.wait_for_line(r"\+monitor master house")
            yield f"127.0.0.1:{port}"


@pytest.mark.slow
async def test_the_primary_is_killed_and_its_replica_takes_over(tmp_path: Path, sqlite_ledger: str) -> None:
    with (
        running_valkey(tmp_path / "one") as one,
        running_valkey(tmp_path / "two", "--replicaof", "127.0.0.1", one.rpartition(":")[2]) as two,
        running_sentinel(tmp_path / "sentinel", int(one.rpartition(":")[2])) as sentinel,
    ):

        async def copies() -> bool:
            info = await tell(f"redis://{sentinel}", "SENTINEL", "MASTER", "house")
            known = dict(zip(info[::2], info[1::2], strict=True))
            return known[b"num-slaves"] == b"1" and b"master_link_status:up" in await tell(two, "INFO")

        await until(copies, within_s=30)
        url = f"redis+sentinel://{sentinel}/house"
        async with open_house(tmp_path, url, sqlite_ledger, ORDERS, MANNERS) as house:
            for number in range(CAP - 1):
                offer = await house.ping(sub_id=f"before-{number}")
                assert (await house.sell(offer["ping_id"]))["status"] == "sold"
            pid = next(
                line.partition(b":")[2]
                for line in (await tell(one, "INFO")).split()
                if line.startswith(b"process_id")
            )
            # what the new primary does not have: the fail-over may lose it, the ledger does not
            await tell(two, "CONFIG", "SET", "replica-read-only", "no")
            await tell(two, "FLUSHALL")
            os.kill(int(pid), signal.SIGKILL)
            await until(lambda: not house.exchange.link.up, within_s=10)
            status, answer = await house.post("/ping", {**PING, "sub_id": "between"})
            assert (status, answer["code"]) in (
                (503, "counters_unavailable"),
                (503, "counters_rebuilding"),
            )
            await until(lambda: house.exchange.link.up, within_s=30)
            assert house.exchange.rebuilding.rebuilds == 2
            last = await house.ping(sub_id="after")
            assert last["status"] == "offer"
            assert (await house.ping(sub_id="one too many"))["status"] == "no_bid"
            assert (await house.post("/post", {"ping_id": last["ping_id"], "lead": PERSON}))[1][
                "status"
            ] == "sold"
            assert len(await house.seen("a-co", "post")) == CAP
            exchange = house.exchange
            reconciling = Reconciling(exchange.reader, exchange.counters, house.clock.now_ms(), repair=False)
            assert (await reconciling.run(exchange.floor.market)).differences == []
