"""P4: what was reported done is there after `kill -9`, and two processes may write to one SQLite at once."""

from __future__ import annotations

import subprocess
import sys
from contextlib import ExitStack

from sqlalchemy import Engine, select

from auction.ledger.engine import open_engine
from auction.ledger.lead_queries import find_lead, offers_of
from auction.ledger.schema import leads

POSTERS = """
import asyncio, sys
from functools import partial
from itertools import count
from auction.ledger.engine import open_engine
from auction.ledger.taking import take_lead
from auction.ledger.records import NewLead, NewOffer
from auction.ledger.writer import Writer

url, name, most = sys.argv[1], sys.argv[2], int(sys.argv[3])
numbers = iter(range(most))

def post(number):
    lead = NewLead(
        lead_id=f"{name}-{number}", ping_id=f"ping-{name}-{number}", seller="acme", campaign="solar-us",
        created_at_ms=1, market_version=1, ping_fields={}, sealed=b"s", body_hash=b"h", worker=name,
    )
    offer = NewOffer(order_id="o", buyer_id="b", price_micros=2, payout_micros=1, exclusive=True)
    return partial(take_lead, lead=lead, new_offers=[offer])

async def poster(writer):
    for number in numbers:
        await writer.write(post(number))
        print(f"{name}-{number}", flush=True)

async def main():
    writer = Writer(open_engine(url))
    await asyncio.gather(*[poster(writer) for _ in range(16)])
    await writer.close()

asyncio.run(main())
"""


def start(url: str, name: str, most: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", POSTERS, url, name, str(most)], stdout=subprocess.PIPE, text=True
    )


def test_kill_9_in_the_middle_of_writing(engine: Engine, ledger_url: str) -> None:
    with start(ledger_url, "w", 1_000_000) as process:
        assert process.stdout is not None
        reported = [process.stdout.readline().strip() for _ in range(300)]
        process.kill()
        reported += process.stdout.read().split("\n")[:-1]  # the last line may be cut
    reopened = open_engine(ledger_url)
    with reopened.connect() as conn:
        for lead_id in reported:
            assert find_lead(conn, lead_id) is not None
        for lead_id in conn.execute(select(leads.c.lead_id)).scalars().all():
            assert len(offers_of(conn, lead_id)) == 1  # whole, or not there at all
    reopened.dispose()
    assert len(reported) >= 300


def test_two_processes_write_at_once(engine: Engine, ledger_url: str) -> None:
    with ExitStack() as stack:
        processes = [stack.enter_context(start(ledger_url, name, 500)) for name in ("a", "b")]
        for process in processes:
            said, _ = process.communicate(timeout=60)
            assert process.returncode == 0
            assert len(said.split()) == 500
    with engine.connect() as conn:
        there = set(conn.execute(select(leads.c.lead_id)).scalars())
    assert there == {f"{name}-{number}" for name in "ab" for number in range(500)}
