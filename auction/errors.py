"""Errors, typed by who is at fault, each with a reason code that never changes its meaning.

The four families decide what happens to an error: a seller's is answered (problem+json), a buyer's is kept with
the auction, an operator's is printed with what to write instead, ours is answered 503 and logged. Code that
is not one of these is a bug: it is logged with its traceback and answered 500 without it.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec


class FieldMistake(msgspec.Struct, frozen=True):
    """One bad field: its path as the sender wrote it (`lead.zip`), and what is wrong with it."""

    field: str
    error: str


class ExchangeError(Exception):
    """An expected fault. Raise one of the four families, not this."""

    status = 500

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail


class SellerError(ExchangeError):
    """The request is wrong; `status` and `code` tell the seller how."""

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        *,
        mistakes: Sequence[FieldMistake] = (),
        headers: Sequence[tuple[str, str]] = (),
    ) -> None:
        super().__init__(code, detail)
        self.status = status
        self.mistakes = tuple(mistakes)
        self.headers = tuple(headers)


class BuyerError(ExchangeError):
    """A buyer's endpoint failed or answered what the protocol does not allow. Never reaches a seller."""


class OperatorError(ExchangeError):
    """Settings, catalogue or command line are wrong: the text says where, and what to write instead."""


class HouseError(ExchangeError):
    """A part of ours is away or full: 503 with `Retry-After`."""

    status = 503

    def __init__(self, code: str, detail: str, *, retry_after_s: int = 1) -> None:
        super().__init__(code, detail)
        self.retry_after_s = retry_after_s


def internal_error() -> HouseError:
    """What a seller is told of a bug: that there is one, and no more."""
    error = HouseError("internal_error", "Something of ours broke; it was logged.")
    error.status = 500
    return error
