"""One post on the wire: a request out, its answer in, and at any moment what is certain of it."""

from __future__ import annotations

from collections.abc import Callable

from auction.buyers.protocol import Accepted, NotSent, Rejected, Unknown, read_post, settles
from auction.market.reasons import Reason


class Sending:
    """One request, over one connection or (where the buyer allows it) a second one.

    `sent`: a byte of it may have left the house, over whichever connection. `heard`: a byte of an answer came.
    `repeated`: it left once before, and that answer was lost. `status`: of the answer whose head has come, else 0;
    `body`: once it is whole. `may_send` says whether a byte may leave at this moment.
    """

    __slots__ = ("body", "heard", "may_send", "repeated", "request", "sent", "status")

    def __init__(self, request: bytes, may_send: Callable[[], bool] = lambda: True) -> None:
        self.request = request
        self.may_send = may_send
        self.sent = False
        self.heard = False
        self.repeated = False
        self.status = 0
        self.body: bytes | None = None

    def answer(self) -> Accepted | Rejected | Unknown:
        """What the whole answer says."""
        assert self.body is not None, "the answer is not whole"
        return self._certain(read_post(self.status, self.body))

    def failure(self, reason: Reason, why: str) -> Accepted | Rejected | Unknown | NotSent:
        """What is known if there will be no (more of an) answer: a status that came speaks as far as it can."""
        if self.body is not None:  # time was up just when the answer was whole
            return self.answer()
        if not self.sent:
            return NotSent(reason, why)
        if not self.status:
            return Unknown(why)
        outcome = read_post(self.status, b"")
        if isinstance(outcome, Unknown):
            return Unknown(f"http_{self.status}, {why}")
        return self._certain(outcome)

    def _certain(self, outcome: Accepted | Rejected | Unknown) -> Accepted | Rejected | Unknown:
        """Of a repetition only the buyer's word on the lead counts: the first request may have been a sale (P1)."""
        if not self.repeated or settles(outcome):
            return outcome
        return Unknown("an answer was lost, and asking again did not settle it")
