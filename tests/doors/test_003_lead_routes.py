"""The lead routes' document against a served exchange: each of its requests, and the answers that it shows."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from tests.house import House

FOLDER = Path(__file__).parent / "003"
DOCUMENT = (FOLDER / "document.txt").read_text(encoding="utf-8")
QUERIES: dict[str, list[int]] = json.loads((FOLDER / "queries.json").read_text(encoding="utf-8"))
AGENT, OTHER = "agent-key", "other-key"


def example(name: str) -> Any:
    """A request's or an answer's body."""
    return json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))


@pytest.fixture
async def house(open_sqlite_house: Callable[..., Awaitable[House]]) -> House:
    """A house with all that the document speaks of."""
    text = (FOLDER / "catalogue.yaml").read_text(encoding="utf-8")
    return await open_sqlite_house([], text=text)


def test_the_examples_are_the_documents_own() -> None:
    written = "".join(DOCUMENT.split())
    for name in ("submit.request", "get.answer", "find.answer"):
        assert json.dumps(example(name), separators=(",", ":")).replace(" ", "") in written
    assert 'team_id:"3",campaign_id:"6"' in written
    for query in QUERIES:
        assert f"GET {query}" in DOCUMENT
    assert DOCUMENT.count("GET /lead-routes?") == len(QUERIES)


async def test_submit(house: House) -> None:
    status, answer = await house.ask("POST", "//lead-routes", AGENT, json=example("submit.request"))
    assert (status, answer) == (201, example("submit.answer"))
    assert await house.ask("GET", f"//lead-routes/{answer['id']}", AGENT) == (200, answer)


async def test_update(house: House) -> None:
    status, answer = await house.ask("PATCH", "//lead-routes/10", OTHER, json=example("update.request"))
    assert (status, answer) == (200, example("update.answer"))


async def test_get(house: House) -> None:
    assert await house.ask("GET", "//lead-routes/1", AGENT) == (200, example("get.answer"))


async def test_find(house: House) -> None:
    assert await house.ask("GET", "//lead-routes", AGENT) == (200, example("find.answer"))


async def test_remove(house: House) -> None:
    assert await house.ask("DELETE", "//lead-routes/92", OTHER) == (200, example("remove.answer"))
    status, answer = await house.ask("DELETE", "//lead-routes/92", OTHER)
    assert (status, answer["code"]) == (404, "unknown_route")


async def test_a_bare_space_is_not_http(house: House) -> None:
    """What the document writes has to be encoded, as every client does: a line that can be read in two ways is not."""
    host, port = house.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    line = "GET /lead-routes?distribution_target[$ne]=Team Rollout HTTP/1.1"
    writer.write(f"{line}\r\nHost: x\r\nAuthorization: Bearer {AGENT}\r\n\r\n".encode())
    async with asyncio.timeout(10):
        answer = await reader.read()
    writer.close()
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b'"code":"bad_http"' in answer


@pytest.mark.parametrize("query", QUERIES)
async def test_queries_as_a_client_sends_them(house: House, query: str) -> None:
    """The client encodes the space; brackets and dollars come as they are written."""
    status, answer = await house.ask("GET", query, AGENT)
    assert (status, [route["id"] for route in answer["data"]]) == (200, QUERIES[query])
    assert await house.ask("GET", query.replace(" ", "+"), AGENT) == (200, answer)
