"""Whose turn it is, pure: who waits stands in a line of its caller's, and turns go round the lines.

This is fair queueing: of Nagle (RFC 970, 1985) each source's own queue, served in rounds; of Demers, Keshav and Shenker
(SIGCOMM 1989) that whoever comes is given its round at once, and that from a full queue the last turn of all is taken
away, which is one of the longest line. Every turn counts the same (one request that begins), so deficit round robin
(Shreedhar and Varghese, SIGCOMM 1995) would be this without its deficits. That a new line goes first is of FQ-CoDel
(RFC 8290, 4.2); here by as many rounds as it took no turn in, `AHEAD` at most: a caller who sends little, and then a
few at once, does not wait behind those who send all the time.

So while a caller has somebody who waits, no other has more than `AHEAD` + 2 turns more than he; and no turn is taken
away from one who has fewer rounds to go than another.

Not taken: queues by hash and shuffle sharding (stochastic fair queueing, McKenney 1990; API Priority and Fairness of
Kubernetes), for where callers are as few as the sellers of a house each can have a line of its own.

Callers within a caller have turns among themselves only: together they are one line. There is memory for who waits,
and for `MOST_REMEMBERED` who have begun lately; when nobody waits, for nobody.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import Final, Generic, TypeAlias, TypeVar

T = TypeVar("T")

Caller: TypeAlias = tuple[str, ...]
"""A name; or that of a group, and the name within it."""

AHEAD: Final = 32
"""In a model, beside nine that flood: of a caller at 80 % of its share 99.4 % began with 8, all with 16; of one at half
of its share whose requests come four at once 95 % with 8, 99.7 % with 16, all with 32."""
MOST_REMEMBERED: Final = 1_000


class Line(Generic[T]):
    """Those of one caller who wait: first come, first served."""

    __slots__ = ("_items",)

    def __init__(self) -> None:
        self._items: deque[tuple[float, T]] = deque()

    def __len__(self) -> int:
        return len(self._items)

    @property
    def oldest_s(self) -> float:
        """When the one came who has waited longest. There has to be one."""
        return self._items[0][0]

    def would_be_last(self, caller: Caller) -> bool:
        """Whether nobody would have a later turn than the next of this caller."""
        return True

    def put(self, caller: Caller, item: T, at_s: float) -> None:
        """One more."""
        self._items.append((at_s, item))

    def first(self) -> T:
        """Takes out the one whose turn it is. There has to be one."""
        return self._items.popleft()[1]

    def last(self) -> T:
        """Takes out the one whose turn would be the last. There has to be one."""
        return self._items.pop()[1]

    def before(self, at_s: float) -> list[T]:
        """Takes out all who came before that."""
        items, found = self._items, []
        while items and items[0][0] < at_s:
            found.append(items.popleft()[1])
        return found


class _Turns(Generic[T]):
    """The line of a caller; `last` is the round of its last turn, taken or still to come."""

    __slots__ = ("last", "line")

    def __init__(self, line: Line[T] | Lines[T]) -> None:
        self.last = 0
        self.line = line


class Lines(Generic[T]):
    """The lines of all callers; to be used as one line is.

    A round has a turn for each caller that has somebody for it. Who waits in a line takes its turns in the order of the
    line: when one is taken out in between, those behind it move up, and the last turn of the line is gone.
    """

    __slots__ = ("_callers", "_first", "_last", "_now", "_rounds", "_size", "_unused")

    def __init__(self) -> None:
        self._callers: dict[str, _Turns[T]] = {}
        self._unused: OrderedDict[str, None] = OrderedDict()  # callers of whom nobody waits any more
        self._rounds: dict[int, OrderedDict[str, None]] = {}  # whose turns are to come, by round
        self._first = self._last = 0  # no round before and after these has turns
        self._now = 0  # the latest round in which a turn was taken
        self._size = 0

    def __len__(self) -> int:
        return self._size

    @property
    def callers(self) -> int:
        """Of how many callers somebody waits."""
        return len(self._callers) - len(self._unused)

    @property
    def oldest_s(self) -> float:
        """When the one came who has waited longest. There has to be one."""
        return min(turns.line.oldest_s for turns in self._callers.values() if len(turns.line))

    def would_be_last(self, caller: Caller) -> bool:
        """Whether nobody would have a later turn than the next of this caller."""
        turns = self._callers.get(caller[0])
        if not self._size or self._next_of(turns) < self._latest():
            return not self._size
        return turns is None or turns.line.would_be_last(caller[1:])

    def put(self, caller: Caller, item: T, at_s: float) -> None:
        """One more."""
        name, within = caller[0], caller[1:]
        turns = self._callers.get(name)
        number = self._next_of(turns)
        if turns is None:
            turns = self._callers[name] = _Turns(Lines() if within else Line())
        elif not len(turns.line):
            del self._unused[name]
        turns.last = number
        found = self._rounds.get(number)
        if found is None:
            found = self._rounds[number] = OrderedDict()
            self._first = min(self._first, number) if self._size else number
            self._last = max(self._last, number) if self._size else number
        found[name] = None
        turns.line.put(within, item, at_s)
        self._size += 1

    def first(self) -> T:
        """Takes out the one whose turn it is. There has to be one."""
        while (found := self._rounds.get(self._first)) is None:
            self._first += 1
        name, _ = found.popitem(last=False)
        if not found:
            del self._rounds[self._first]
        turns = self._callers[name]
        item = turns.line.first()
        self._now = max(self._now, self._first)
        self._went(1, name, turns)
        return item

    def last(self) -> T:
        """Takes out the one whose turn would be the last. There has to be one."""
        name = next(reversed(self._rounds[self._latest()]))
        turns = self._callers[name]
        item = turns.line.last()
        self._take_back(name, turns)
        self._went(1, name, turns)
        return item

    def before(self, at_s: float) -> list[T]:
        """Takes out all who came before that."""
        found: list[T] = []
        for name, turns in list(self._callers.items()):
            late = turns.line.before(at_s) if len(turns.line) else ()
            for _ in late:
                self._take_back(name, turns)
            if late:
                found += late
                self._went(len(late), name, turns)
        return found

    def _next_of(self, turns: _Turns[T] | None) -> int:
        """The round in which a caller would have its next turn."""
        earliest = self._now - AHEAD
        return earliest if turns is None else max(turns.last + 1, earliest)

    def _latest(self) -> int:
        """The last round that has turns. There has to be one."""
        while self._last not in self._rounds:
            self._last -= 1
        return self._last

    def _take_back(self, name: str, turns: _Turns[T]) -> None:
        """The last turn of this caller: somebody of its line needs none any more."""
        of_round = self._rounds[turns.last]
        del of_round[name]
        if not of_round:
            del self._rounds[turns.last]
        turns.last -= 1

    def _went(self, times: int, name: str, turns: _Turns[T]) -> None:
        """So many are out: what nobody needs is forgotten."""
        self._size -= times
        callers, unused = self._callers, self._unused
        if not self._size:
            callers.clear()
            unused.clear()
            return
        if not len(turns.line):
            unused[name] = None
        while unused:
            oldest = next(iter(unused))
            if callers[oldest].last >= self._now - AHEAD and len(unused) <= MOST_REMEMBERED:
                break
            del unused[oldest], callers[oldest]
