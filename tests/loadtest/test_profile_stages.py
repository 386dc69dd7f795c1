"""The table of stages: every module on the way of a ping and of a post is in it, and nothing in it is stale."""

from __future__ import annotations

import sys
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import pytest

from loadtest.profile.stages import (
    ANSWER,
    ASK,
    BOOK,
    CALLER,
    DECODE,
    DELIVER,
    ELIGIBLE,
    HOLD,
    JOURNAL,
    LEDGER,
    LOOP,
    OTHER,
    RANK,
    RECEIVE,
    RULES,
    STAGES,
    WIRE,
    Frame,
    frame_of,
    rule_of,
    stage_of,
)
from tests.house import House

ROOT = Path(__file__).parents[2]
OpenHouse = Callable[..., Awaitable[House]]
ORDERS = [{"id": "a", "buyer": "ann"}, {"id": "b", "buyer": "ben"}]
MANNERS = {"ann": {"bid": {"price": 30}}, "ben": {"bid": {"price": 20}}}


@contextmanager
def watched() -> Iterator[set[CodeType]]:
    """The code of all functions of ours that are called in the block, in any thread that begins in it too."""
    called: set[CodeType] = set()

    def note(frame: FrameType, event: str, _: Any) -> None:
        if event == "call":
            called.add(frame.f_code)

    threading.setprofile(note)
    sys.setprofile(note)
    try:
        yield called
    finally:
        sys.setprofile(None)
        threading.setprofile(None)


def frames_of(codes: set[CodeType]) -> set[Frame]:
    """As the profile sees them."""
    ours = [(code, Path(code.co_filename)) for code in codes]
    return {
        Frame(code.co_qualname, str(path.relative_to(ROOT)))
        for code, path in ours
        if path.is_relative_to(ROOT / "auction")
    }


async def test_every_module_on_the_way_of_a_ping_and_a_post_has_a_stage(open_sqlite_house: OpenHouse) -> None:
    house = await open_sqlite_house(ORDERS, MANNERS)
    await house.ping(sub_id="first")
    with watched() as called:
        offer = await house.ping()
        assert (await house.sell(offer["ping_id"]))["status"] == "sold"
    frames = frames_of(called)
    assert {frame.path for frame in frames} >= {
        *("auction/ping/service.py", "auction/buyers/connection.py", "auction/counters/calls.py"),
        *("auction/post/service.py", "auction/buyers/delivery.py", "auction/ping/tally.py"),
    }, "the way was not seen"
    assert {frame.path for frame in frames if rule_of(frame) not in (*STAGES, CALLER)} == set()
    found = {rule_of(frame) for frame in frames}
    assert found >= {WIRE, DECODE, ELIGIBLE, ASK, RECEIVE, RANK, HOLD, ANSWER, JOURNAL, DELIVER, BOOK}


@pytest.mark.parametrize("path", sorted({rule.path for rule in RULES if rule.path.startswith("auction/")}))
def test_what_the_table_names_is_there(path: str) -> None:
    assert (ROOT / path).exists()


def test_every_stage_of_the_table_is_explained() -> None:
    assert {rule.stage for rule in RULES} - {CALLER} <= set(STAGES)


def test_a_sample_belongs_to_the_innermost_frame_that_is_named() -> None:
    way = [
        Frame("Runner.run", "asyncio/runners.py"),
        Frame("PingService.ping", "auction/ping/service.py"),
        Frame("Asking._collect", "auction/ping/asking.py"),
    ]
    assert stage_of("MainThread", way) == ASK
    assert stage_of("MainThread", [*way, Frame("from_wire", "auction/market/money.py")]) == ASK
    assert stage_of("MainThread", [*way, Frame("current_task", "asyncio/tasks.py")]) == ASK
    assert (
        stage_of("MainThread", [*way, Frame("Connection._readable", "auction/buyers/connection.py")])
        == RECEIVE
    )
    assert stage_of("MainThread", way[:1]) == LOOP
    assert stage_of("ledger-writer", way) == LEDGER
    assert stage_of("MainThread", [Frame("send", "somewhere/else.py")]) == OTHER


@pytest.mark.parametrize(
    ("text", "frame"),
    [
        (
            "Connection.carry (auction/buyers/connection.py:65)",
            ("Connection.carry", "auction/buyers/connection.py"),
        ),
        ("<module> (auction/__main__.py)", ("<module>", "auction/__main__.py")),
        ("epoll_pwait (libc.so.6)", ("epoll_pwait", "libc.so.6")),
        ("f.<locals>.<lambda> (a b/c.py:1)", ("f.<locals>.<lambda>", "a b/c.py")),
        ("[idle]", ("[idle]", "")),
    ],
)
def test_frames_are_read(text: str, frame: tuple[str, str]) -> None:
    assert frame_of(text) == Frame(*frame)
