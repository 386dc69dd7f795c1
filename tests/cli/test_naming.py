"""What is named on the command line: by the id of a lead or of its ping; and what is unknown is said to be."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from tests.cli.conftest import Run
from tests.house import House

LOST: dict[str, Any] = {"post": {"faults": {"reset": 1.0}}}
ORDERS: list[dict[str, Any]] = [{"id": "a", "buyer": "a-co", "price": {"fixed": 30}}]
NO_ID = "ids of leads and pings are 32 characters of 0-9 and a-f\n"
NOBODY = "0" * 32
Commands = Callable[..., Awaitable[Result]]


@pytest.fixture
def run(tmp_path: Path, emptied_valkey: str, sqlite_ledger: str, auction: Run) -> Commands:
    """Runs a command on the house's stores, beside it."""

    async def run(*arguments: str) -> Result:
        where = ["--data-dir", str(tmp_path), "--database-url", sqlite_ledger]
        if arguments[0] in ("settle", "return", "forget"):
            where += ["--redis-url", emptied_valkey]
        return await asyncio.to_thread(auction, *arguments, *where)

    return run


async def pending_lead(house: House, phone: str, **more: Any) -> tuple[str, str]:
    """Ids of a ping and of its lead, of which nobody knows whether the buyer took it."""
    ping_id: str = (await house.ping(**more))["ping_id"]
    return ping_id, (await house.sell(ping_id, phone=phone))["lead_id"]


async def test_a_ping_id_does_in_place_of_the_lead(open_sqlite_house: Any, run: Commands) -> None:
    house = await open_sqlite_house(ORDERS, {"a-co": LOST})
    ping_id, lead_id = await pending_lead(house, "512-555-0101")
    assert "sold to" not in (await run("lead", ping_id)).stdout, "what there is none of has no table"
    elsewhere = await run("settle", ping_id, "b", "accepted")
    said = f"lead {lead_id} was never offered to order 'b', but to a\n"
    assert (elsewhere.exit_code, elsewhere.stderr) == (2, said)
    settled = await run("settle", ping_id, "accepted")
    assert (settled.exit_code, settled.stdout) == (
        0,
        f"lead {lead_id} is sold: a accepted; payout 30.00 USD\n",
    )
    returned = await run("return", ping_id, "--reason", "old", "--force")
    assert returned.exit_code == 0, returned.output
    assert returned.stdout.startswith(f"lead {lead_id} is returned: returned by a;")
    again = await run("return", ping_id, "--reason", "old", "--force")
    assert again.stdout == f"lead {lead_id} was returned by a already\n"
    assert f"lead {lead_id}" in (await run("lead", ping_id)).stdout
    assert (await run("postbacks", "list", "--lead", ping_id)).stdout == "nobody was told anything\n"
    both = await run("forget", ping_id, lead_id)
    assert both.exit_code == 0
    assert both.stdout.splitlines()[-1].startswith("1 lead and ")


@pytest.mark.parametrize(
    "command",
    [
        ("lead",),
        ("settle", "accepted"),
        ("return", "--reason", "old"),
        ("postbacks", "redeliver"),
        ("forget",),
        ("postbacks", "list", "--lead"),
    ],
)
async def test_a_lead_that_there_is_not_is_refused(
    open_sqlite_house: Any, run: Commands, command: tuple[str, ...]
) -> None:
    house = await open_sqlite_house(ORDERS)
    ping_id = (await house.ping())["ping_id"]
    await house.exchange.writer.flush()
    split = 2 if command[0] == "postbacks" else 1
    for named, said in (
        ("nobody", f"there is no lead 'nobody' in this ledger; {NO_ID}"),
        ("", f"there is no lead '' in this ledger; {NO_ID}"),
        (NOBODY, f"there is no lead '{NOBODY}' in this ledger\n"),
        (ping_id, f"there is no lead of the ping {ping_id}: it was not posted\n"),
    ):
        at = len(command) if command[-1] == "--lead" else split
        refused = await run(*command[:at], named, *command[at:])
        assert (refused.exit_code, refused.stderr) == (2, said), named


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("waiting", "--campaign", "sollar"), "there is no campaign `sollar`; did you mean `solar`?\n"),
        (
            ("waiting", "--campaign", "sollar", "--json"),
            "there is no campaign `sollar`; did you mean `solar`?\n",
        ),
        (("waiting", "--campaign", ""), "there is no campaign ``; known: solar\n"),
        (("refused", "--buyer", "a_co"), "there is no buyer `a_co`; did you mean `a-co`?\n"),
        (("postbacks", "list", "--seller", "nope"), "there is no seller `nope`; known: acme\n"),
        (
            ("postbacks", "list", "--failed", "--seller", "acmee"),
            "there is no seller `acmee`; did you mean `acme`?\n",
        ),
        (
            ("postbacks", "redeliver", "--failed", "--seller", "x\x1b"),
            "there is no seller `x\\x1b`; known: acme\n",
        ),
    ],
)
async def test_a_list_by_an_unknown_name_is_refused(
    open_sqlite_house: Any, run: Commands, arguments: tuple[str, ...], said: str
) -> None:
    await open_sqlite_house(ORDERS, sellers=[{"id": "acme"}])
    refused = await run(*arguments)
    assert (refused.exit_code, refused.stdout, refused.stderr) == (2, "", said)


async def test_a_list_by_a_known_name_may_be_empty(open_sqlite_house: Any, run: Commands) -> None:
    await open_sqlite_house(ORDERS, sellers=[{"id": "acme"}])
    for arguments, said in (
        (("waiting", "--campaign", "solar"), "no lead waits for a buyer\n"),
        (("refused", "--buyer", "a-co"), "no postback was refused\n"),
        (("postbacks", "list", "--seller", "acme"), "nobody was told anything\n"),
        (("postbacks", "list", "--failed", "--seller", "acme"), "nothing was given up\n"),
        (("postbacks", "redeliver", "--failed", "--seller", "acme"), "0 postbacks will be sent again\n"),
    ):
        listed = await run(*arguments)
        assert (listed.exit_code, listed.stdout, listed.stderr) == (0, said, ""), arguments
