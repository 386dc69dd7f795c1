"""Structured logs: one line an event, JSON, on standard error. Facts only: nothing that names a person.

Why the standard library's logging underneath: uvicorn, SQLAlchemy and aiohttp already speak it.
"""

from __future__ import annotations

import logging
import re
import sys
import traceback
from datetime import UTC, datetime
from typing import Any

import msgspec

_LOGGER = logging.getLogger("auction")
_LOOP = "asyncio"
_OF_SENDERS = ("python_multipart",)
"""Libraries that warn of what strangers send, with bytes of it: a line for each bad form, as many as they like."""
_WITHOUT_VALUES = re.compile(r"[\n(<]")
"""What asyncio says of a task or a callback goes on with its representation, and in that are arguments and the words of
errors: somebody's lead, it may be. The traceback says where it was."""


class _Lines(logging.Formatter):
    """A record as one line of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        facts: dict[str, Any] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            **getattr(record, "facts", {}),
        }
        if record.name != "auction":
            facts["logger"] = record.name
        if record.name == _LOOP:
            facts["event"] = _WITHOUT_VALUES.split(facts["event"], maxsplit=1)[0].strip()
        if record.exc_info:
            facts["traceback"] = _traceback(record.exc_info[1])
        return msgspec.json.encode(facts, enc_hook=str).decode()


def _traceback(error: BaseException | None) -> str:
    """Where it came from and what kind it is. Its words only where they are ours: others quote values."""
    lines: list[str] = []
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        ours = type(error).__module__.startswith("auction.") or isinstance(error, AssertionError | OSError)
        words = f": {error}" if ours else ""
        frames = "".join(traceback.format_tb(error.__traceback__))
        lines.append(f"Traceback (most recent call last):\n{frames}{type(error).__name__}{words}")
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return "\n\nafter\n\n".join(lines)


def set_up(level: str) -> None:
    """Send all logs of this process to standard error as JSON lines; of libraries' only what is a warning."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Lines())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(max(logging.WARNING, logging.getLevelName(level.upper())))
    _LOGGER.setLevel(level.upper())
    for name in _OF_SENDERS:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    logging.captureWarnings(True)


def event(name: str, **facts: Any) -> None:
    """Something that happened, for whoever runs the house."""
    _LOGGER.info(name, extra={"facts": facts})


def warning(name: str, **facts: Any) -> None:
    """Something that an operator should look at."""
    _LOGGER.warning(name, extra={"facts": facts})


def bug(name: str, **facts: Any) -> None:
    """An error that is nobody's but ours: with its traceback. Call it in an `except` block."""
    _LOGGER.exception(name, extra={"facts": facts})
