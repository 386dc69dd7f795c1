"""What one worker has leased of one cap on pings, and how much it leases next. Pure: time is passed in.

Of an hour or longer a worker leases a 20th of what is left, at most 100: what it loses at the window's end is small,
and smaller the nearer the cap. What is left it knows from its last lease: so what it means to lease, which is written
down before, is about what it gets. It leases the next block when a quarter of this one is left, and one ahead in the
last seconds of a window, so that as a rule no ping waits for that. Only blocks of less than 4 pings, near a cap or of a
small one, are leased when a ping asks: the last ones go to whoever asks.

Of a second or a minute (a ping budget) it leases what it will need: as many as it spent in the window before, then
as many again as it has spent in this one, never more than half of what is left. So a budget of N a second costs
its workers together about log2(N) leases in that second, however many pings there are; the first worker to ask
leaves half to the others; and the last ping of a budget goes to whoever asks.

In the last quarter of such a window a worker that spent in it leases ahead for the next, so that its pings do not
wait when the window begins. Ahead it gets at most a quarter of what is left, and never the last one.
"""

from __future__ import annotations

from typing import NamedTuple

from auction.market.windows import FOREVER_MS, CapRule, Window

BLOCK = 100
"""The most pings of an hour or longer that a worker leases at once."""
ASK_AGAIN_MS = 300_000
"""A full cap is asked about again after this long: it stays full, unless an operator threw its count away, and to ask
costs a write in the ledger. One whose limit is raised is asked about at once."""
LONG_AHEAD_MS = 5_000
"""How long before its end a window of an hour or longer is leased ahead of."""
_LONG_SHARE, _SHORT_SHARE, _AHEAD_SHARE = 20, 2, 4
_LOW_PART = 4
_NEVER = -1


class Want(NamedTuple):
    """A lease to ask for: at most `most`, at most one part in `share` of what is left, at least `least` (0 or 1)."""

    rule: CapRule
    start_ms: int
    end_ms: int
    most: int
    share: int
    least: int


def ahead_ms(rule: CapRule, window: Window) -> int:
    """How long before the end of this window the next is leased ahead: a quarter of a short one."""
    return (window.end_ms - window.start_ms) // 4 if rule.short else LONG_AHEAD_MS


class Block:
    """Pings of one cap that this worker may spend at `start_ms <= t < end_ms`. What is left then is lost.

    To spend one is to take it from `left` and add it to `used`, right after `has_one`; here there is no method for it,
    for it is done for every order of every ping.

    `full_ms`: the cap has no pings left, as far as is known, until then. `low`: when no more than that are left it is
    time for the next block. `look_ahead_ms`: from then on it is time to lease for the next window. `leasing`: how many
    leases are under way.
    """

    __slots__ = (
        "_before",
        "_counted",
        "_next_counted",
        "_next_left",
        "end_ms",
        "full_ms",
        "leasing",
        "left",
        "look_ahead_ms",
        "low",
        "rule",
        "start_ms",
        "used",
    )

    def __init__(self, rule: CapRule) -> None:
        self.rule = rule
        self.start_ms = self.end_ms = self.full_ms = 0
        self.left = self.used = self.leasing = 0
        self.low = _NEVER
        self.look_ahead_ms = FOREVER_MS
        self._before = self._next_left = 0
        self._counted = self._next_counted = 0  # what all workers have leased, when last told

    def follow(self, rule: CapRule) -> None:
        """The cap as the market has it now: another limit holds from the next lease on."""
        if rule.limit > self.rule.limit:
            self.full_ms = 0
        self.rule = rule

    def has_one(self, now_ms: int) -> bool:
        """Whether a ping can be spent at `now_ms`; the block's window is the one of now afterwards."""
        if not self.start_ms <= now_ms < self.end_ms:
            self._roll(now_ms)
        return self.left > 0

    def want(self) -> Want:
        """What to lease for the window of now. While a lease is on its way, one ping is enough: nothing piles up."""
        if not self.rule.short:
            most, share = max(1, self._part(self._counted)), _LONG_SHARE
        else:
            most, share = max(1, self.used, self._before - self.used), _SHORT_SHARE
        return Want(self.rule, self.start_ms, self.end_ms, 1 if self.leasing else most, share, 1)

    def want_next(self) -> Want | None:
        """The next block of this window, if it is large enough to be leased before it is asked for; one at a time."""
        self.low = _NEVER
        most = self._part(self._counted)
        if self.leasing or most < _LOW_PART:
            return None
        return Want(self.rule, self.start_ms, self.end_ms, most, _LONG_SHARE, 0)

    def want_ahead(self) -> Want | None:
        """What to lease for the window after this one, if anything: asked once, it is not time for it again in this
        window."""
        self.look_ahead_ms = FOREVER_MS
        following = self.rule.window(self.end_ms)
        if self.rule.short:
            return Want(self.rule, following.start_ms, following.end_ms, self.used, _AHEAD_SHARE, 0)
        most = min(self.used, self._part(self._next_counted))
        if most < _LOW_PART:
            return None
        return Want(self.rule, following.start_ms, following.end_ms, most, _LONG_SHARE, 0)

    def put(self, start_ms: int, pings: int, still: int) -> None:
        """These were leased for the window that begins at `start_ms`, and so many are `still` to be leased. Lost, if
        that is over (or not yet near)."""
        if start_ms == self.start_ms:
            self.left += pings
            self._counted = self.rule.limit - still
            self._set_low()
        elif start_ms == self.end_ms:
            self._next_left += pings
            self._next_counted = self.rule.limit - still

    def note_full(self, start_ms: int, now_ms: int) -> None:
        """Of the window that begins at `start_ms` nothing is left to lease."""
        if start_ms == self.start_ms:
            self.full_ms = min(self.end_ms, now_ms + ASK_AGAIN_MS)
            self._counted = self.rule.limit

    def _part(self, counted: int) -> int:
        """What a worker gets of an hour or longer, if nobody leased since."""
        return min(BLOCK, (self.rule.limit - counted) // _LONG_SHARE)

    def _set_low(self) -> None:
        if not self.rule.short and self.left >= _LOW_PART:
            self.low = self.left // _LOW_PART

    def _roll(self, now_ms: int) -> None:
        window = self.rule.window(now_ms)
        follows = window.start_ms == self.end_ms
        self._before = self.used if follows else 0
        self.left = self._next_left if follows else 0
        self._counted = self._next_counted if follows else 0
        self.used = self._next_left = self._next_counted = self.full_ms = 0
        self.start_ms, self.end_ms = window.start_ms, window.end_ms
        self.low = _NEVER
        self._set_low()
        self.look_ahead_ms = self.end_ms - ahead_ms(self.rule, window)
