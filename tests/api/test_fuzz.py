"""Anything at all, to the hot doors: the app never breaks, and always answers as it said it would."""

from __future__ import annotations

import json
from typing import Any

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.types import Message, Scope

from tests.house import PERSON, PING, House

BODIES: dict[str, Any] = {
    "/ping": {**PING, "tmax": 400, "floor": 1.5, "sub_id": "s", "test": False},
    "/post": {"ping_id": "0" * 32, "lead": PERSON},
    "/direct": {**PING, "lead": {**PING["lead"], "bill": 5, **PERSON}},
}
NAMES = sorted({*PING, *PING["lead"], *PERSON, "tmax", "floor", "sub_id", "test", "ping_id", "bill"})

texts = st.text(max_size=12) | st.characters(categories=["Cs", "Cc", "Nd"]) | st.sampled_from(NAMES)
numbers = st.integers() | st.floats() | st.sampled_from([10**400, -(10**400), 2**63, 2**64, -0.0, 1e300])
values = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)


@st.composite
def near_misses(draw: st.DrawFn) -> tuple[str, bytes]:
    """A good request with something wrong in it, now and then down to its bytes."""
    path = draw(st.sampled_from(sorted(BODIES)))
    body: Any = json.loads(json.dumps(BODIES[path]))
    for _ in range(draw(st.integers(0, 3))):
        target = draw(st.sampled_from([body, body["lead"]])) if isinstance(body.get("lead"), dict) else body
        target[draw(st.sampled_from(NAMES) | texts)] = draw(values)
    written = bytearray(json.dumps(body, ensure_ascii=draw(st.booleans())).encode("utf-8", "surrogatepass"))
    for _ in range(draw(st.sampled_from([0, 0, 1, 3]))):
        start = draw(st.integers(0, len(written)))
        end = draw(st.integers(start, min(len(written), start + 8)))
        written[start:end] = draw(st.binary(max_size=4) | st.just(bytes(written[start:end]) * 2))
    return path, bytes(written)


anything = st.tuples(
    st.sampled_from(sorted(BODIES)),
    st.binary(max_size=300) | values.map(lambda value: json.dumps(value).encode()),
)
header_lists = st.lists(
    st.tuples(
        st.sampled_from([b"content-type", b"content-length", b"x-api-key", b"authorization", b"expect", b""]),
        st.binary(max_size=20)
        | st.sampled_from([b"9" * 5_000, b"\xb2", b"application/json", b"Bearer test-key"]),
    ),
    max_size=3,
)


async def ask(
    house: House, path: str, body: bytes, headers: list[tuple[bytes, bytes]], piece: int
) -> tuple[int, str, bytes]:
    """One request straight into the app, its body in pieces: status, content type and body of the answer."""
    pieces = [body[at : at + piece] for at in range(0, len(body), piece)] or [b""]
    coming: list[Message] = [
        {"type": "http.request", "body": part, "more_body": nth < len(pieces)}
        for nth, part in enumerate(pieces, start=1)
    ]
    sent: list[Message] = []

    async def receive() -> Message:
        return coming.pop(0)

    async def send(message: Message) -> None:
        sent.append(message)

    scope: Scope = {"type": "http", "method": "POST", "path": path, "headers": headers}
    await house.app(scope, receive, send)
    start, end = sent
    told = dict(start["headers"])
    assert int(told[b"content-length"]) == len(end["body"])
    return start["status"], told[b"content-type"].decode(), end["body"]


@settings(
    max_examples=300,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    request=near_misses() | anything,
    more=st.just([]) | header_lists,
    piece=st.integers(1, 400),
)
async def test_anything_is_answered(
    house: House, request: tuple[str, bytes], more: list[tuple[bytes, bytes]], piece: int
) -> None:
    headers = [(b"x-api-key", b"test-key"), *more]
    status, kind, body = await ask(house, *request, headers, piece)
    told = msgspec.json.decode(body)
    assert isinstance(told, dict)
    assert status < 500, told
    if status == 200:
        assert kind == "application/json"
        assert told["status"] in ("offer", "no_bid", "sold", "rejected", "pending")
    else:
        assert kind == "application/problem+json"
        assert (told["status"], bool(told["code"]), bool(told["detail"])) == (status, True, True)
        assert all(mistake["error"] for mistake in told.get("errors", []))
    assert house.app.bugs == 0
