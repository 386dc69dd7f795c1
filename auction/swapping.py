"""What a worker trades on, and how it follows the catalogue: a change makes a new floor, which is swapped in.

The ledger is asked all the time whether the catalogue changed; beside it, whether the key file and the suppression
lists did. Whatever goes wrong with a new version, the old market stays.
"""

from __future__ import annotations

import asyncio
import gc
import os
from collections.abc import Callable

from auction import log
from auction.buyers.fanout import Fanout
from auction.changes.applying import stored_catalogue
from auction.clock import Clock
from auction.counters.allowances import Allowances
from auction.counters.counters import Counters
from auction.errors import HouseError, OperatorError
from auction.ledger import catalogue_store
from auction.ledger.key_file import KeyFile
from auction.ledger.reader import Reader
from auction.ledger.sealing import Sealer
from auction.market.market import compile_market
from auction.market.model import Catalogue
from auction.ping.floor import Floor
from auction.ping.hashes import Hashes
from auction.reconcile.seeding import seed_caps
from auction.suppression.shelf import Shelf

WARM = 1
"""Connections opened ahead to each buyer."""
PREPARE_S = 0.3
"""How long a new market waits for its new buyers' names and connections."""
WATCH_S = 0.25
"""How often the ledger is asked whether the catalogue changed: a new market trades within a second."""


class Swapping:
    """Holds the `floor`. Counts `swaps`, the first floor too. `key_file` is watched where there is one."""

    floor: Floor

    def __init__(
        self,
        reader: Reader,
        counters: Counters,
        allowances: Allowances,
        fanout: Fanout,
        shelf: Shelf,
        sealer: Sealer,
        key_file: KeyFile | None,
        clock: Clock,
        freeze: Callable[[], object],
    ) -> None:
        """`freeze` is called when a new market is made, before garbage is collected again."""
        self._reader = reader
        self._counters = counters
        self._allowances = allowances
        self._fanout = fanout
        self._shelf = shelf
        self._sealer = sealer
        self._hashes = Hashes(sealer.keyed_hash)
        self._key_file = key_file
        self._clock = clock
        self._freeze = freeze
        self._watcher: asyncio.Task[None] | None = None
        self._preparing: set[asyncio.Task[tuple[str, ...]]] = set()
        self._seen = -1
        self.swaps = 0

    async def open(self) -> None:
        """Read the catalogue: `floor` is there. Raises `OperatorError` where it cannot be traded on."""
        await self._shelf.refresh()
        floor = await self._look()
        assert floor is not None, "every version is newer than none"
        self.floor = floor

    async def begin(self) -> None:
        """Trade on what `open` read."""
        await self._prepare(self.floor)
        self._trade_on(self.floor)

    def start(self) -> None:
        """Follow the catalogue from now on."""
        self._watcher = asyncio.create_task(self._watch(), name="swapping")

    async def close(self) -> None:
        """Follow it no more."""
        tasks = [*self._preparing, *([self._watcher] if self._watcher else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    @property
    def started(self) -> bool:
        """Whether the house was open once."""
        return self._watcher is not None

    async def _look(self) -> Floor | None:
        """The floor of the catalogue as it stands; None if this version was looked at before.

        A version that cannot be traded on is not tried again: the next one may.
        """
        if await self._reader.read(catalogue_store.current_version) <= self._seen:
            return None
        gc.disable()  # all that is made now stays: to look through it over and over only holds up auctions
        try:
            stored = await self._reader.read(stored_catalogue)
            self._seen = stored[0]
            return await asyncio.to_thread(_floor_of, self._hashes, *stored)
        finally:
            self._freeze()
            gc.enable()

    async def _swap(self, floor: Floor) -> None:
        """Trade on `floor` from now on. Auctions that are running keep the one they began on.

        Raises `HouseError`, and changes nothing, where it cannot be learnt what was sold in the windows of new caps.
        """
        await self._prepare(floor)
        await seed_caps(self._reader, self._counters, self.floor.market, floor.market, self._clock.now_ms())
        self._trade_on(floor)

    async def _prepare(self, floor: Floor) -> None:
        """A buyer whose name is slow to resolve does not hold up the others' new terms."""
        targets = [ask.target for ask in floor.asks.values()]
        preparing = asyncio.create_task(self._fanout.prepare(targets, warm=WARM), name="prepare")
        self._preparing.add(preparing)
        preparing.add_done_callback(self._prepared)
        await asyncio.wait([preparing], timeout=PREPARE_S)

    def _trade_on(self, floor: Floor) -> None:
        self.floor = floor
        self._allowances.keep_only(floor.market.orders.values())
        self.swaps += 1
        log.event("market", version=floor.market.version, orders=len(floor.market.orders))

    def _prepared(self, preparing: asyncio.Task[tuple[str, ...]]) -> None:
        self._preparing.discard(preparing)
        for problem in () if preparing.cancelled() else preparing.result():
            log.warning("buyer_out_of_reach", problem=problem)

    def _look_at_keys(self) -> None:
        """A key that was put in front of the file seals from now on. A file that cannot be used changes nothing."""
        if self._key_file is None or not self._key_file.changed():
            return
        try:
            self._sealer.use(self._key_file.load())
        except OperatorError as error:
            log.warning("keys_stay", code=error.code, detail=error.detail)
        else:
            log.event("keys_read_again")

    async def _look_at_lists(self) -> None:
        """Suppression lists that changed are taken up. Where they cannot be read, those that we have stay."""
        try:
            await self._shelf.refresh()
        except HouseError as error:
            log.warning("suppression_lists_stay", code=error.code)
        except OSError as error:
            log.warning("suppression_lists_stay", code="no_file", detail=str(error.strerror))

    async def _watch(self) -> None:
        """Swaps in a changed catalogue. Whatever goes wrong, the old market stays; what was away is tried again."""
        floor: Floor | None = None
        while True:
            await asyncio.sleep(WATCH_S)
            self._look_at_keys()
            await self._look_at_lists()
            try:
                floor = await self._look() or floor
                if floor is not None:
                    await self._swap(floor)
                    floor = None
            except (HouseError, OperatorError) as error:
                log.warning(
                    "market_stays",
                    version=self.floor.market.version,
                    latest=self._seen,
                    code=error.code,
                    detail=str(error),
                )
            except Exception:
                floor = None
                log.bug("market_stays", version=self.floor.market.version, latest=self._seen)


def _floor_of(hashes: Hashes, version: int, catalogue: Catalogue, keys: catalogue_store.Keys) -> Floor:
    """Takes a while for thousands of orders: run it in a thread."""
    return Floor(compile_market(catalogue, version, keys), os.environ, hashes)
