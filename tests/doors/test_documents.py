"""The documents against `auction serve` with config/doors.yaml: every curl, and the examples of 000, 001 and 004."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from msgspec import Struct

from loadtest.stack import Stack, running_stack
from tests.doors.curls import KEYS, commands_of, run

HERE = Path(__file__).parent
CONFIG = Path(__file__).parents[2] / "config"
BEARER = {"authorization": f"Bearer {KEYS['004']}"}
LEAD_ID = re.compile(r"[0-9a-f]{32}")


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The exchange with all doors, and its buyers."""
    folder = tmp_path_factory.mktemp("doors")
    with running_stack(folder, config=CONFIG / "doors.yaml", buyers=CONFIG / "doors-buyers.yaml") as running:
        yield running


def example(name: str) -> str:
    return (HERE / name).read_text(encoding="utf-8")


class Answered(Struct, frozen=True):
    """An answer, its headers by lower-case name."""

    status: int
    json: Any
    headers: dict[str, str]


async def ask(stack: Stack, method: str, path: str, body: str | None = None, **headers: str) -> Answered:
    async with (
        aiohttp.ClientSession() as session,
        session.request(method, stack.url + path, data=body, headers=headers) as answer,
    ):
        told = {name.lower(): value for name, value in answer.headers.items()}
        return Answered(answer.status, await answer.json(content_type=None), told)


async def post(stack: Stack, path: str, body: str | None = None, **headers: str) -> Answered:
    return await ask(stack, "POST", path, body, **{"content-type": "application/json", **headers})


def same(answer: Any, documented: Any, *, more: frozenset[str] = frozenset()) -> bool:
    """Whether an answer is the documented one: but for the lead's id, and for keys that may be there as well."""
    assert LEAD_ID.fullmatch(answer["lead_id"])
    told = {name: value for name, value in answer.items() if name not in more}
    return told == ({**documented, "lead_id": answer["lead_id"]} if "lead_id" in documented else documented)


@pytest.mark.parametrize("name", ["000/lead.request.json", "001/basic.request.json", "004/body.request.json"])
def test_the_examples_are_the_documents_own(name: str) -> None:
    document = example(f"{name[:3]}/document.txt")
    squeezed = re.sub(r"\s", "", document)
    assert re.sub(r"\s", "", example(name)) in squeezed
    for answer in (HERE / name[:3]).glob("*.answer.json"):
        assert re.sub(r"\s", "", answer.read_text()) in squeezed


async def test_000_the_lead(stack: Stack) -> None:
    answer = await post(stack, "/api.php", example("000/lead.request.json"))
    assert answer.status == 200
    assert same(answer.json, json.loads(example("000/lead.answer.json")), more=frozenset({"lead_id"}))


async def test_001_the_basic_lead(stack: Stack) -> None:
    """Its email was cut out by the page that it was taken from: as it stands it is told to be wrong, and no other."""
    body = example("001/basic.request.json")
    answer = await post(stack, "/api.php", body)
    assert answer.status == 422
    told = answer.json
    assert (told["status"], told["reason"], list(told["errors"])) == ("rejected", "bad_fields", ["email"])
    answer = await post(stack, "/api.php", body.replace("[email protected]", "john@example.com"))
    assert answer.status == 200
    assert same(answer.json, json.loads(example("001/basic.answer.json")), more=frozenset({"lead_id"}))


async def test_001_its_curl(stack: Stack) -> None:
    (ran,) = run("001", stack.url)
    assert ran.status == 200
    assert same(
        json.loads(ran.body), json.loads(example("001/basic.answer.json")), more=frozenset({"lead_id"})
    )


async def test_002_its_curl(stack: Stack) -> None:
    (ran,) = run("002", stack.url)
    assert ran.status == 200
    told, documented = json.loads(ran.body)["data"], json.loads(example("002/ingest.answer.json"))["data"]
    assert LEAD_ID.fullmatch(told["id"])
    assert told == documented | {"id": told["id"]}


async def test_003_all_its_requests(stack: Stack) -> None:
    """With the numbers, names and routes that the document has; those that it removes are another user's."""
    ran = {
        one.command.split(" -H ")[0].replace(stack.url, "").replace("%20", " "): one
        for one in run("003", stack.url)
    }
    found = {command.removeprefix("curl -g -X ").replace("'", ""): one for command, one in ran.items()}
    assert len(found) == 11
    made = found.pop("POST //lead-routes")
    assert (made.status, json.loads(made.body)["lead_source"]) == (201, {"id": 31, "name": "Realtor.com"})
    assert json.loads(found["GET //lead-routes/1"].body) == json.loads(example("003/get.answer.json"))
    changed = json.loads(found["PATCH //lead-routes/10"].body)
    assert (changed["team"], changed["campaign"]["id"]) == (None, 6)  # it was the user's alone, and stays so
    assert json.loads(found["DELETE //lead-routes/92"].body)["id"] == 92
    assert {one.status for one in found.values()} == {200}
    documented = json.loads(example("003/find.answer.json"))["data"]
    listed = json.loads(found["GET //lead-routes"].body)
    assert listed["data"][: len(documented)] == documented


async def test_004_the_body(stack: Stack) -> None:
    answer = await post(stack, "/api/leads", example("004/body.request.json"), **BEARER)
    assert answer.status == 200
    assert same(answer.json, json.loads(example("004/sold.answer.json")))
    assert {"x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"} <= answer.headers.keys()


async def test_004_its_curl(stack: Stack) -> None:
    (ran,) = run("004", stack.url)
    assert ran.status == 200
    assert same(json.loads(ran.body), json.loads(example("004/sold.answer.json")))


async def test_004_the_query(stack: Stack) -> None:
    (query,) = re.findall(r"POST (/api/leads\?\S+?-1234)", example("004/document.txt"))
    answer = await post(stack, query, **BEARER)
    assert answer.status == 200
    assert (answer.json["success"], answer.json["status"]) == (True, "sold")


async def test_004_pending(stack: Stack) -> None:
    body = json.loads(example("004/body.request.json")) | {"state": "WA"}  # nobody buys there
    answer = await post(stack, "/api/leads", json.dumps(body), **BEARER)
    assert answer.status == 200
    assert same(answer.json, json.loads(example("004/pending.answer.json")))
    lead = await ask(stack, "GET", f"/leads/{answer.json['lead_id']}", **BEARER)
    assert lead.json["status"] == "waiting"


@pytest.mark.parametrize(
    ("code", "error", "headers", "changes"),
    [
        (401, "Invalid API Key", {"authorization": "Bearer other"}, {}),
        (401, "Invalid API Key", {"authorization": ""}, {}),
        (400, "No matching campaign", BEARER, {"category": "Boats"}),
        (400, "Missing required field", BEARER, {"phone": None}),
    ],
)
async def test_004_the_table_of_errors(
    stack: Stack, code: int, error: str, headers: dict[str, str], changes: dict[str, Any]
) -> None:
    assert f"{code} | {error}" in example("004/document.txt")
    body = json.loads(example("004/body.request.json")) | changes
    answer = await post(stack, "/api/leads", json.dumps(body), **headers)
    assert (answer.status, answer.json["error"]) == (code, error)
    assert answer.json["success"] is False


async def test_004_more_than_the_limit(stack: Stack) -> None:
    for _ in range(130):  # a minute may begin anew once
        answer = await post(stack, "/api/leads", "{}", **BEARER)
        if answer.status == 429:
            break
        assert answer.status == 400
    assert (answer.status, answer.json["error"]) == (429, "Rate limit exceeded")
    assert answer.headers["x-ratelimit-limit"] == "60"
    assert answer.headers["x-ratelimit-remaining"] == "0"
    assert int(answer.headers["retry-after"]) <= 60


def test_a_command_ends_where_its_last_quote_does() -> None:
    (command,) = commands_of("Do so:\ncurl -X POST https://x.y/z \\\n-d '{\n\"a\": 1\n}'Answer (200)\n")
    assert command.endswith("}'")
    (plain,) = commands_of('curl -H "a: b" https://x.y\nNext')
    assert plain.endswith("https://x.y")
