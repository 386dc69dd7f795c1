"""What the counters fail with: away, or held back until they were compared with the ledger; and what is our own bug."""

from __future__ import annotations

from auction.errors import HouseError


class CountersUnavailable(HouseError):  # noqa: N818  (it says what is so, as HTTP's 503 does)
    """Valkey is away, stalled, full or refusing: 503. Whether the call was done is open.

    Its text says why, for logs and operators; a seller is told that it is so.
    """

    def __init__(self, why: str) -> None:
        super().__init__("counters_unavailable", "The counters are away; try again shortly.")
        self.why = why

    def __str__(self) -> str:
        return self.why


class CountersRebuilding(CountersUnavailable):
    """Valkey is there, and may have lost what it held: 503 until it was compared with the ledger."""

    def __init__(self) -> None:
        super().__init__("the counters are being compared with the ledger")
        self.code = "counters_rebuilding"
        self.detail = "The counters are being compared with the ledger; try again shortly."


class CallError(RuntimeError):
    """The server refused a call as wrong: a script that fails, a key of another kind. A bug, answered 500."""
