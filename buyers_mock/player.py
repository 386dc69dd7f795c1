"""One buyer as it is played: its manner, its generator, what it remembers and what it counts.

A key is remembered once something was decided under it. The key binds the decision, not the delivery: a
repeat's answer may be delayed or lost like any other, but it can never say something else.
"""

from __future__ import annotations

from collections.abc import Mapping
from random import Random
from typing import Any, Literal

import msgspec

from buyers_mock.manner import (
    BAD_REQUEST,
    NOT_JSON,
    UNDECIDED,
    Bidding,
    Decision,
    Delivery,
    Play,
    Taking,
    spoiled,
)
from buyers_mock.script import Manner

Kind = Literal["ping", "post"]
MOST_REMEMBERED = 200_000
"""Keys, and leads, that one buyer remembers of each kind; the oldest is forgotten first, and counted."""


class Counts(msgspec.Struct):
    """What one buyer did. A repeat counts as a repeat only; `leads` are distinct leads accepted."""

    pings: int = 0
    bids: int = 0
    no_bids: int = 0
    posts: int = 0
    accepted: int = 0
    rejected: int = 0
    leads: int = 0
    repeats: int = 0
    unauthorised: int = 0
    bad_requests: int = 0
    forgotten: int = 0
    faults: dict[str, int] = {}


class _Post(msgspec.Struct):
    """What a buyer reads of a post's body."""

    lead_id: str | int | None = None
    lead: dict[str, Any] = {}


_decode_post = msgspec.json.Decoder(_Post).decode


class Player:
    """Plays one buyer. The same seed and the same requests in the same order give the same answers."""

    def __init__(self, buyer: str, manner: Manner, seed: int) -> None:
        self.buyer = buyer
        self._seed = f"{seed}:{buyer}"
        self.reset()
        self.change(manner)

    def reset(self) -> None:
        """Back to the beginning: generator, memory and counts. The manner stays."""
        self.counts = Counts()
        self._rng = Random(self._seed)
        self._number = 0
        self._bound: dict[Kind, dict[bytes, Decision]] = {"ping": {}, "post": {}}
        self._taken: dict[tuple[object, ...], bool] = {}
        self._leads: dict[object, bool] = {}

    def change(self, manner: Manner) -> None:
        """Play in this manner from the next request on."""
        self.manner = manner
        self._bidding = Bidding(self.buyer, manner)
        self._taking = Taking(self.buyer, manner.post)
        auth = manner.auth
        self._auth = None if auth is None else (auth.header.lower().encode(), auth.value.encode())

    def admits(self, headers: Mapping[bytes, bytes]) -> bool:
        """Whether a request (its header names in small letters) carries what `auth` asks for."""
        if self._auth is None or headers.get(self._auth[0]) == self._auth[1]:
            return True
        self.counts.unauthorised += 1
        return False

    def play(self, kind: Kind, key: bytes | None, body: bytes) -> Play:
        """What to do about one request. A ping's body is not read; a post's must be a JSON object."""
        rng = self._rng
        ways: Bidding | Taking = self._bidding if kind == "ping" else self._taking
        decision = None if key is None else self._bound[kind].get(key)
        repeat = decision is not None
        fault = ways.faults(rng)
        delay_ms = ways.latency(rng)
        if repeat:
            self.counts.repeats += 1
        elif kind == "ping":
            decision = self._decide_ping(fault)
        else:
            decision = self._decide_post(fault, body)
        if key is not None and decision is not None and not repeat and decision is not BAD_REQUEST:
            self._remember(self._bound[kind], key, decision)
        answer, delivery = b"" if decision is None else decision.answer, Delivery.WHOLE
        if fault is not None:
            self.counts.faults[fault] = self.counts.faults.get(fault, 0) + 1
            answer, delivery = spoiled(fault, answer)
        return Play(answer, delay_ms, delivery, decision, fault, repeat)

    def recall(self, key: bytes | None, body: bytes, decision: Decision) -> None:
        """What was decided of a post before this process began. It counts, and binds its key."""
        if key is not None and decision is not BAD_REQUEST:
            self._remember(self._bound["post"], key, decision)
        try:
            post = _decode_post(body)
        except NOT_JSON:
            return
        self.counts.posts += 1
        self._number += 1
        self._note(post, self._same_lead(post), decision)

    def _decide_ping(self, fault: str | None) -> Decision | None:
        counts = self.counts
        counts.pings += 1
        if fault in UNDECIDED:
            return None
        self._number += 1
        decision = self._bidding.decide(self._rng, self._number)
        if decision.outcome == "bid":
            counts.bids += 1
        else:
            counts.no_bids += 1
        return decision

    def _decide_post(self, fault: str | None, body: bytes) -> Decision | None:
        counts = self.counts
        counts.posts += 1
        if fault in UNDECIDED:
            return None
        try:
            post = _decode_post(body)
        except NOT_JSON:
            counts.bad_requests += 1
            return BAD_REQUEST
        self._number += 1
        same = self._same_lead(post)
        decision = self._taking.decide(self._rng, self._number, self._refusal(same))
        self._note(post, same, decision)
        return decision

    def _note(self, post: _Post, same: tuple[object, ...] | None, decision: Decision) -> None:
        """Count what was decided of a lead, and know the lead again."""
        counts = self.counts
        if decision.outcome == "rejected":
            counts.rejected += 1
        if decision.outcome != "accepted":
            return
        counts.accepted += 1
        if same is not None:
            self._remember(self._taken, same, True)
        lead = self._number if post.lead_id is None else post.lead_id
        if lead not in self._leads:
            counts.leads += 1
            self._remember(self._leads, lead, True)

    def _refusal(self, same: tuple[object, ...] | None) -> str | None:
        if same in self._taken:
            return "duplicate"
        most = self.manner.caps.leads
        return "cap" if most is not None and self.counts.accepted >= most else None

    def _same_lead(self, post: _Post) -> tuple[object, ...] | None:
        """What makes a lead the same lead to this buyer; None when it does not mind, or cannot tell."""
        values = tuple(post.lead.get(name) for name in self.manner.post.refuse_duplicates)
        known = any(value is not None for value in values)
        return tuple(map(str, values)) if known else None

    def _remember(self, memory: dict[Any, Any], key: object, value: object) -> None:
        if len(memory) >= MOST_REMEMBERED:
            del memory[next(iter(memory))]
            self.counts.forgotten += 1
        memory[key] = value
