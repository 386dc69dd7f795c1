"""Logs: one line an event, whatever is in it."""

from __future__ import annotations

import asyncio
import gc
import logging
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest
import uvloop

from auction import log
from auction.errors import HouseError


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    """Leaves logging as it was."""
    root, ours = logging.getLogger(), logging.getLogger("auction")
    before = root.handlers[:], root.level, ours.level
    yield
    root.handlers[:], root.level, ours.level = before
    logging.captureWarnings(False)


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    """What came out on standard error; nothing comes out elsewhere."""
    output, errors = capsys.readouterr()
    assert output == ""
    return [msgspec.json.decode(line) for line in errors.splitlines()]


def test_an_event_is_one_line_of_json(capsys: pytest.CaptureFixture[str]) -> None:
    log.set_up("info")
    log.event("lead", lead_id="l1", said='two\nlines, "quoted"', at_all=None, of={"a": (1, 2)})
    (line,) = lines(capsys)
    assert line.pop("at").endswith("+00:00")
    assert line == {
        "level": "info",
        "event": "lead",
        "lead_id": "l1",
        "said": 'two\nlines, "quoted"',
        "at_all": None,
        "of": {"a": [1, 2]},
    }


@pytest.mark.parametrize(
    ("level", "said"),
    [
        ("debug", ["event", "warning"]),
        ("info", ["event", "warning"]),
        ("warning", ["warning"]),
        ("error", []),
    ],
)
def test_what_is_below_the_level_is_not_said(
    capsys: pytest.CaptureFixture[str], level: str, said: list[str]
) -> None:
    log.set_up(level)
    log.event("event")
    log.warning("warning")
    logging.getLogger("sqlalchemy.engine").info("a query")
    assert [line["event"] for line in lines(capsys)] == said


def test_of_libraries_only_warnings_come_through_with_their_name(capsys: pytest.CaptureFixture[str]) -> None:
    log.set_up("debug")
    logging.getLogger("uvicorn.error").info("started")
    logging.getLogger("uvicorn.error").warning("bad request from %s", "somebody")
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(False)  # pytest has taken the hook of warnings: take it from there
        logging.captureWarnings(True)
        warnings.warn("old", DeprecationWarning, stacklevel=1)
    first, second = lines(capsys)
    assert (first["logger"], first["event"]) == ("uvicorn.error", "bad request from somebody")
    assert second["logger"] == "py.warnings"


def test_a_bad_form_is_its_senders_and_no_line(capsys: pytest.CaptureFixture[str]) -> None:
    log.set_up("debug")
    logging.getLogger("python_multipart.multipart").warning("Expected boundary character %r, got %r", 45, 65)
    assert lines(capsys) == []


def test_a_bug_has_its_traceback_in_its_line(capsys: pytest.CaptureFixture[str]) -> None:
    log.set_up("error")
    try:
        raise KeyError("lost")
    except KeyError:
        log.bug("request_failed", path="/ping")
    (line,) = lines(capsys)
    assert line["path"] == "/ping"
    assert line["traceback"].endswith('raise KeyError("lost")\nKeyError')


def test_what_json_does_not_know_is_said_as_text(capsys: pytest.CaptureFixture[str]) -> None:
    log.set_up("info")
    log.event("odd", error=ValueError("x"), nan=float("nan"))
    (line,) = lines(capsys)
    assert (line["error"], line["nan"]) == ("x", None)


def test_the_words_of_others_errors_are_left_out_however_deep(capsys: pytest.CaptureFixture[str]) -> None:
    """They quote values: `could not convert string to float: 'Ann'`."""
    log.set_up("error")
    name = "zq" + "ann"
    try:
        try:
            float(name)
        except ValueError as error:
            try:
                raise HouseError("away", "the store is away") from error
            except HouseError:
                raise KeyError(name)  # noqa: B904
    except KeyError:
        log.bug("request_failed")
    (line,) = lines(capsys)
    assert name not in str(line)
    assert "HouseError: the store is away" in line["traceback"]
    assert "\nValueError\n" not in line["traceback"]
    assert line["traceback"].endswith("ValueError")


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def test_what_the_loop_says_of_tasks_and_callbacks_names_nobody(
    capsys: pytest.CaptureFixture[str], run: Callable[[Any], None]
) -> None:
    """It quotes the words of their errors, and what they were called with."""
    log.set_up("error")

    async def fail(name: str) -> None:
        raise ValueError(f"no such person: {name}")

    def called_back(name: str) -> None:
        raise KeyError(name)

    async def forget_about_it() -> None:
        loop = asyncio.get_running_loop()
        task = asyncio.create_task(fail("zqann"), name="sale")
        loop.call_soon(called_back, "zqann")
        await asyncio.wait([task])
        del task
        gc.collect()

    run(forget_about_it())
    said = lines(capsys)
    assert "zqann" not in str(said)
    assert {line["event"].split(" ")[0] for line in said} == {"Task", "Exception"}
    assert all(line["logger"] == "asyncio" and "test_log.py" in line["traceback"] for line in said)
