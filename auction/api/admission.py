"""Who begins now, who waits, and who is refused: admission under load, pure.

Where the queue of a house is that is late was measured (docs/performance.md): between the steps of what it has let in.
A ping takes four turns of the loop, and a turn lasts as long as all that is ready in it: with hundreds of pings under
way each step of each waits for hundreds of others. So what is bounded here is how many *begin* in a turn. Turns stay
short, who has begun is soon through, and the queue is in one place, in front, where it can be seen. That costs no
throughput: while somebody waits, the next turn follows at once.

Whether the house is overloaded is told by that queue, as in CoDel and "Fail at Scale" (B. Maurer, ACM Queue 2015). A
burst, or what came during one slow turn, is worked off, and the queue is empty again. If it was never empty for
`lasting_s` and the oldest waits longer than `late_s`, more comes than can be done. From then on as many may wait as
begin within `kept_s`; one more, and whoever would be the last to begin is refused; who waited longer than `late_s` all
the same is refused in the next turn. An overload is over when more could have begun in several turns in a row, or when
nobody was refused for `lasting_s`. One that comes back soon is believed at once.

Who begins next, and who would be the last, is told by `lines`: turns go round the callers. Whoever sends more than his
share waits behind himself, and it is his own that are refused: in an overload only they should see errors who bring it
about ("Handling Overload", Site Reliability Engineering, O'Reilly 2016, chapter 21). One lane goes first, but
`LEAST_SHARE` of a turn is for those behind it, or whoever floods it would shut all others out.

A wait is counted on a clock of our own, on which a turn takes `MOST_TURN_S` at most: a market that is swapped in, or a
machine that stood still, is no overload. While nobody waits there need be no turns for hours; that time counts whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Generic, TypeVar

import msgspec

from auction.api.lines import Caller, Lines

T = TypeVar("T")

PER_TURN: Final = 8
"""So many may begin in one turn of the loop: of pings that cost 450 µs and take four turns, each takes 15 ms then."""
MOST_PER_TURN: Final = 32
REFUSALS_EACH: Final = 20
"""For so many that were refused one more begins, up to `MOST_PER_TURN`: that costs about what their refusals cost. So
half of a turn is for pings, however many are refused in it."""
LEAST_SHARE: Final = 4
"""The fourth part of a turn is for the lanes behind the first, where somebody waits in them."""
MOST_TURN_S: Final = 0.05
AGAIN_S: Final = 2.0
"""For so long after somebody was refused, an overload needs not last to be believed."""
CALM_TURNS: Final = 4
_MEASURED_OVER_S: Final = 0.1


class Bounds(msgspec.Struct, frozen=True, kw_only=True):
    """How long those of a lane may wait, and how many of them. While `most_calls` to the counters are open none begins:
    where the counters are what is slow, the queue would be theirs."""

    late_s: float
    kept_s: float
    lasting_s: float
    most_waiting: int
    most_calls: int


PINGS: Final = Bounds(late_s=0.05, kept_s=0.0125, lasting_s=0.5, most_waiting=2_000, most_calls=256)
LEADS: Final = Bounds(late_s=0.25, kept_s=0.25, lasting_s=2.0, most_waiting=2_000, most_calls=1_024)
"""Whole leads: a post was promised its offer (P3), and any other is a person who waits."""

LASTING, FULL = "lasting", "full"
"""Why one was refused: for some time more came than could be done; too many waited already."""


class Lane(Generic[T]):
    """Those of one kind who wait, in the `lines` of their callers. `shedding`: more of them come than can be done.

    Counts who was `refused`, by reason, and who began after a wait (`waited`); who was since the last turn is `away`.
    """

    def __init__(self, name: str, bounds: Bounds) -> None:
        self.name = name
        self.bounds = bounds
        self.lines: Lines[T] = Lines()
        self.away: list[T] = []
        self.shedding = False
        self.refused = {LASTING: 0, FULL: 0}
        self.waited = 0
        self._since_s = 0.0  # when nobody waited last
        self._refused_s = -AGAIN_S  # when somebody was refused last
        self._calm = 0  # turns in a row in which more could have begun
        self._per_s = 0.0  # how many begin in a second, while some wait
        self._begun = 0
        self._begun_since_s = 0.0

    def put(self, caller: Caller, item: T, now_s: float) -> None:
        """One more; if that is one too many, the one who would be the last is refused."""
        lines, bounds = self.lines, self.bounds
        waiting = len(lines)
        if not waiting:
            self._since_s = self._begun_since_s = now_s
            self._begun = 0
            self.lull(now_s)
        if waiting >= bounds.most_waiting:
            why = FULL
        elif self.shedding and waiting >= max(PER_TURN, self._per_s * bounds.kept_s):
            why = LASTING
        else:
            lines.put(caller, item, now_s)
            return
        if lines.would_be_last(caller):
            self._refuse(why, [item], now_s)
        else:
            lines.put(caller, item, now_s)
            self._refuse(why, [lines.last()], now_s)

    def turn(self, room: int, now_s: float) -> list[T]:
        """Those who begin now, at most `room`."""
        lines = self.lines
        begin = [lines.first() for _ in range(min(room, len(lines)))]
        self.waited += len(begin)
        self._begun += len(begin)
        if now_s - self._begun_since_s >= _MEASURED_OVER_S:
            self._measure(now_s)
        self._calm = self._calm + 1 if len(begin) < room else 0
        if self._calm >= CALM_TURNS:
            self.shedding = False
        return begin

    def give_up(self, now_s: float) -> int:
        """Refuses who has waited too long, if more come than can be done; how many.

        After others have begun: whoever comes in a turn that is slow would else be refused when it is his.
        """
        lines, late_s = self.lines, now_s - self.bounds.late_s
        if self.shedding:
            self.lull(now_s)
        elif len(lines) and (
            now_s - self._since_s >= self.bounds.lasting_s or now_s - self._refused_s < AGAIN_S
        ):
            self.shedding = lines.oldest_s < late_s
        late = lines.before(late_s) if self.shedding and len(lines) else []
        if late:
            self._refuse(LASTING, late, now_s)
        return len(late)

    def lull(self, now_s: float) -> None:
        """An overload in which nobody was refused for some time is over."""
        if now_s - self._refused_s >= self.bounds.lasting_s:
            self.shedding = False

    def _refuse(self, why: str, items: list[T], now_s: float) -> None:
        self.away += items
        self.refused[why] += len(items)
        self._refused_s = now_s

    def _measure(self, now_s: float) -> None:
        seen = self._begun / (now_s - self._begun_since_s)
        self._per_s = (self._per_s + seen) / 2 if self._per_s else seen
        self._begun, self._begun_since_s = 0, now_s


class Turn(msgspec.Struct, Generic[T]):
    """What is to be done in one turn: who begins, who is refused."""

    begin: list[T]
    refuse: list[T]


class Admission(Generic[T]):
    """The lanes of one worker, and how many more may begin before the next turn (`free`). Lanes go by their order:
    those of the next one begin when nobody of the last one waits, but for `LEAST_SHARE` of a turn.

    Everybody begins at once, if he may, or else has to `wait`. Whenever `free` is 0, a `turn` is due: on the next turn
    of the loop, or a while later where there was nothing to do in the last one (`restless`). Times are of one clock
    that never goes back.
    """

    def __init__(self, lanes: Sequence[Lane[T]]) -> None:
        self.lanes = lanes
        self.free = PER_TURN
        self._now_s = self._seen_s = 0.0
        self._late = 0  # who was given up in the last turn
        self._quiet = True  # nobody waits, nobody is refused, and no overload is to be seen to its end
        self._least_calls = min(lane.bounds.most_calls for lane in lanes)

    @property
    def restless(self) -> bool:
        """Whether somebody was refused, and is not told yet."""
        return any(lane.away for lane in self.lanes)

    def shedding(self, now_s: float) -> bool:
        """Whether the house is overloaded."""
        now_s = self._clock(now_s)
        for lane in self.lanes:
            lane.lull(now_s)
        return any(lane.shedding for lane in self.lanes)

    def begins(self) -> bool:
        """Whether one who comes begins at once: nobody waits, and not too many have begun in this turn."""
        if self.free:
            self.free -= 1
            return True
        return False

    def wait(self, lane: Lane[T], caller: Caller, item: T, now_s: float) -> None:
        """He may not: some turn will tell that he begins, or is refused."""
        self._quiet = False
        lane.put(caller, item, self._clock(now_s))

    def turn(self, now_s: float, calls: int) -> Turn[T]:
        """A turn of the loop; so many `calls` to the counters are open."""
        turn: Turn[T] = Turn([], [])
        if self._quiet and calls < self._least_calls:
            self.free = PER_TURN
            return turn
        now_s = self._clock(now_s)
        refused = self._late + sum(len(lane.away) for lane in self.lanes)
        room = min(MOST_PER_TURN, PER_TURN + refused // REFUSALS_EACH)
        behind = [len(lane.lines) if calls < lane.bounds.most_calls else 0 for lane in self.lanes]
        for place, lane in enumerate(self.lanes):
            if calls >= lane.bounds.most_calls:
                room = 0
            kept = min(room // LEAST_SHARE, sum(behind[place + 1 :]))
            begin = lane.turn(room - kept, now_s)
            turn.begin += begin
            room -= len(begin)
        self.free = min(room, PER_TURN)
        self._late = sum(lane.give_up(now_s) for lane in self.lanes)
        for lane in self.lanes:
            turn.refuse += lane.away
            lane.away = []
        self._quiet = not any(len(lane.lines) or lane.shedding for lane in self.lanes)
        return turn

    def _clock(self, now_s: float) -> float:
        past_s = max(0.0, now_s - self._seen_s)
        if past_s > MOST_TURN_S and any(len(lane.lines) for lane in self.lanes):
            past_s = MOST_TURN_S
        self._now_s += past_s
        self._seen_s = now_s
        return self._now_s
