"""What the mock was sent to buy, in a file: so that a buyer that was killed remembers what it took; and how often it
was asked.

One JSON line a request, written before it is answered, in one write to a file that is only appended to: a killed
process leaves whole lines, but for the last. (What a killed process wrote, the system keeps; a power cut is another
question.)
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import msgspec

from buyers_mock.manner import NOT_JSON, Decision, Outcome, Play


class Kept(msgspec.Struct, frozen=True, omit_defaults=True):
    """One post, or (`kind`) a ping, of which no more is kept than when it came.

    Bytes that need not be text (`key`, `answer`, `body`) are latin-1, which holds any.

    `outcome` is None where the buyer broke before it decided; `answer` is what it says to this key, heard or not.
    """

    at_ms: int
    buyer: str
    body: str
    key: str | None = None
    outcome: Outcome | None = None
    reason: str = ""
    answer: str = ""
    fault: str | None = None
    repeat: bool = False
    kind: Literal["post", "ping"] = "post"

    @property
    def decision(self) -> Decision | None:
        """What the buyer decided."""
        if self.outcome is None:
            return None
        return Decision(self.outcome, self.answer.encode("latin-1"), self.reason)


class Journal:
    """Appends to `path`, which is made where it is not there. Raises `OSError` where that cannot be done."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        if path.stat().st_size:
            os.write(self._fd, b"\n")  # ends the line that a killed process may have left open

    def write(self, at_ms: int, buyer: str, key: bytes | None, body: bytes, play: Play) -> None:
        """Keep a post and what is done about it."""
        decision = play.decision
        kept = Kept(
            at_ms=at_ms,
            buyer=buyer,
            body=body.decode("latin-1"),
            key=None if key is None else key.decode("latin-1"),
            outcome=None if decision is None else decision.outcome,
            reason="" if decision is None else decision.reason,
            answer="" if decision is None else decision.answer.decode("latin-1"),
            fault=play.fault,
            repeat=play.repeat,
        )
        os.write(self._fd, msgspec.json.encode(kept) + b"\n")

    def ask(self, at_ms: int, buyer: str) -> None:
        """Keep that a ping came."""
        os.write(self._fd, msgspec.json.encode(Kept(at_ms=at_ms, buyer=buyer, body="", kind="ping")) + b"\n")

    def close(self) -> None:
        """No more is written."""
        os.close(self._fd)


def read_journal(path: Path) -> Iterator[Kept]:
    """What is in a journal, oldest first; a line that was cut off is passed over."""
    if not path.exists():
        return
    decode = msgspec.json.Decoder(Kept).decode
    with path.open("rb") as lines:
        for line in lines:
            try:
                yield decode(line)
            except NOT_JSON:
                continue
