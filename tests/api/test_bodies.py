"""How a body comes in: its size, and a sender that goes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.types import Message

from auction.api.bodies import Bodies
from auction.errors import SellerError

Receive = Callable[[], Awaitable[Message]]


def pieces(*parts: bytes, gone: bool = False) -> Receive:
    """A sender of these parts; `gone`: it ends its connection where the last should come."""
    messages: list[Message] = [{"type": "http.request", "body": part, "more_body": True} for part in parts]
    if gone:
        messages[-1] = {"type": "http.disconnect"}
    else:
        messages[-1]["more_body"] = False

    async def receive() -> Message:
        return messages.pop(0)

    return receive


async def silence() -> Message:
    """A sender that never says another word."""
    await asyncio.Event().wait()
    return {}


def codes(error: pytest.ExceptionInfo[SellerError]) -> tuple[int, str]:
    return error.value.status, error.value.code


@given(st.lists(st.binary(max_size=9), min_size=1), st.integers(0, 40))
def test_a_body_comes_whole_or_not_at_all(parts: list[bytes], most: int) -> None:
    whole = b"".join(parts)
    reading = Bodies(most).read(None, pieces(*parts))
    if len(whole) <= most:
        assert asyncio.run(reading) == whole
        return
    with pytest.raises(SellerError) as error:
        asyncio.run(reading)
    assert codes(error) == (413, "too_large")


@pytest.mark.parametrize("declared", [b"101", b"9" * 5_000, b"0" * 10 + b"101"])
async def test_a_declared_length_is_believed_when_it_is_too_large(declared: bytes) -> None:
    bodies = Bodies(100)
    with pytest.raises(SellerError) as error:
        await bodies.read(declared, silence)
    assert codes(error) == (413, "too_large")
    assert bodies.too_large == 1


@pytest.mark.parametrize("declared", [None, b"", b"0", b"100", b"-1", b"1e9", b"\xb2", b"12 "])
async def test_what_is_declared_otherwise_is_counted(declared: bytes | None) -> None:
    assert await Bodies(100).read(declared, pieces(b"x" * 100)) == b"x" * 100
    with pytest.raises(SellerError):
        await Bodies(100).read(declared, pieces(b"x" * 100, b"x"))


@pytest.mark.parametrize("parts", [(b"",), (b"{", b"")])
async def test_a_sender_that_goes(parts: tuple[bytes, ...]) -> None:
    bodies = Bodies(100)
    with pytest.raises(SellerError) as error:
        await bodies.read(None, pieces(*parts, gone=True))
    assert codes(error) == (400, "cut_off")
    assert bodies.cut_off == 1
