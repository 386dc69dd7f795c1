"""The stage: all players, the doors that lead to them, the log, and the bounds of the house."""

from __future__ import annotations

import msgspec

from buyers_mock.journal import Journal
from buyers_mock.log import Log
from buyers_mock.player import Kind, Player
from buyers_mock.script import Script

MOST_CONNECTIONS = 10_000
MOST_PENDING = 100_000
"""Answers not yet written: delayed, dripping, hanging, or behind such a one on their connection."""
MOST_REQUEST_BYTES = 1024 * 1024
"""Head and body together."""


class TurnedAway(msgspec.Struct):
    """What the bounds refused."""

    connections: int = 0
    pending: int = 0
    large: int = 0


class Stage:
    """What every connection shares."""

    def __init__(
        self, script: Script, *, seed: int = 7, log_entries: int = 10_000, journal: Journal | None = None
    ) -> None:
        self.players = {buyer: Player(buyer, manner, seed) for buyer, manner in script.buyers.items()}
        self.doors: dict[bytes, tuple[Player, Kind]] = {}
        for buyer, player in self.players.items():
            self.doors[f"/{buyer}/ping".encode()] = (player, "ping")
            self.doors[f"/{buyer}/post".encode()] = (player, "post")
        self.log = Log(log_entries)
        self.journal = journal
        self.turned_away = TurnedAway()
        self.pending = 0

    def reset(self) -> None:
        """Every player back to the beginning, log and counters emptied; manners stay as they are."""
        for player in self.players.values():
            player.reset()
        self.log.clear()
        self.turned_away = TurnedAway()
