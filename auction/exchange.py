"""The composition root: opens the stores, holds the current market, starts and stops everything.

One `Exchange` is one worker. Which stores it opens is settled before it (`cli.serve` starts the embedded
Valkey once for all workers); here every part gets what it needs and nothing looks anything up by itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable
from contextlib import AsyncExitStack
from time import monotonic

import uuid_utils

from auction import log
from auction.buyers.delivery import Delivery
from auction.buyers.fanout import Fanout
from auction.buyers.health import Health
from auction.changes.administration import Administration
from auction.changes.changing import Changing
from auction.changes.lead_routes import LeadRoutes
from auction.changes.uploading import Uploading
from auction.clock import Clock, SystemClock
from auction.counters import scripts
from auction.counters.allowances import Allowances
from auction.counters.counters import Counters
from auction.counters.embedded import EmbeddedValkey
from auction.counters.faults import CountersRebuilding
from auction.counters.keys import CountedKeys
from auction.counters.leasing import PingCounts
from auction.counters.link import Link
from auction.counters.naming import READY
from auction.errors import HouseError, SellerError
from auction.forgetting import Ages, Files, Retention
from auction.idempotency import Idempotency
from auction.ledger.engine import open_engine
from auction.ledger.lease_book import LeaseBookOfWorker
from auction.ledger.migrations import upgrade
from auction.ledger.reader import Reader
from auction.ledger.sealing import Sealer
from auction.ledger.writer import Writer
from auction.market.market import Market, Rate, TradedSeller
from auction.market.model import Admin, Buyer
from auction.ping.asking import Asking
from auction.ping.floor import Floor
from auction.ping.inbound import Inbound
from auction.ping.journal import PingJournal
from auction.ping.service import PingService
from auction.ping.tally import PingTally
from auction.post.answer import Answers
from auction.post.book import LeadBook
from auction.post.claiming import Claiming
from auction.post.direct import DirectService
from auction.post.keeping import Keeping
from auction.post.lease import Lease
from auction.post.links import LeadLinks
from auction.post.offering import Offering
from auction.post.rate import KeyRate, PostRate
from auction.post.selling import Selling
from auction.post.service import PostService
from auction.post.settling import Settling
from auction.post.waiting import Waiting
from auction.postbacks.sender import Postbacks
from auction.process import host_name
from auction.reconcile.rebuilding import Rebuilding
from auction.reconcile.recalling import Recalling
from auction.recovery.finishing import Recovery
from auction.recovery.watching import Watching
from auction.reports.reporting import Reporting
from auction.sealers import hashing_sealer, key_file_of, print_key, prints_with
from auction.settings import Settings
from auction.suppression.shelf import Shelf
from auction.swapping import Swapping
from auction.views.sellers import Status

MINUTE_MS = 60_000
WARM = 1
"""Connections opened ahead to each buyer."""
PREPARE_S = 0.3
"""How long a new market waits for its new buyers' names and connections."""
COUNTERS_WITHIN_MS, GOOD_WITHIN_S = 2_000, 5.0
"""How long a start waits for the counters to answer, and then for them to match the ledger."""
LAST_POSTS_S = 5.0
"""How long posts have at the very end to write down what is known of them."""
WATCH_S = 0.25
"""How often the ledger is asked whether the catalogue changed: a new market trades within a second."""


class Exchange:
    """One worker of the house. Make it with `open`, end it with `close`."""

    settings: Settings
    pings: PingService
    posts: PostService
    directs: DirectService
    idempotency: Idempotency
    post_rate: PostRate
    leads_rate: KeyRate
    routes_rate: KeyRate
    admin_rate: KeyRate
    status: Status

    def __init__(
        self, settings: Settings, clock: Clock | None = None, freeze: Callable[[], object] = lambda: None
    ) -> None:
        """`freeze` is called when a new market is made, before garbage is collected again."""
        self.settings = settings
        self.clock: Clock = clock or SystemClock(settings.clock_offset_ms)
        self._freeze = freeze
        self._opened = False
        self._parts = AsyncExitStack()

    async def open(self, redis_url: str) -> None:
        """Open every part, lowest first. Raises `OperatorError` where a part cannot be had."""
        settings, self._redis_url = self.settings, redis_url
        self._engine = open_engine(settings.ledger_url)
        self._parts.callback(self._engine.dispose)
        await asyncio.to_thread(upgrade, self._engine)
        sealer = await asyncio.to_thread(hashing_sealer, settings, self._engine)
        self._sealer = sealer
        self.reader = Reader(self._engine)
        self._parts.push_async_callback(self.reader.close)
        self.writer = Writer(self._engine)
        self._parts.push_async_callback(self.writer.close)
        self.lease_book = LeaseBookOfWorker(self.writer, self.clock, uuid_utils.uuid7().hex)
        self._parts.push_async_callback(self.lease_book.close)
        self.rebuilding = Rebuilding(
            redis_url,
            self._own_reader(),
            self.writer,
            self.lease_book,
            self.clock,
            lambda: self.floor.market,
            settings.reconcile_every_s,
        )
        gate = await self.rebuilding.open()
        self.link = Link(redis_url, scripts.ALL, bound_ms=settings.counters_timeout_ms)
        self.link.guard(gate)
        self._parts.push_async_callback(self.link.close)
        self._parts.push_async_callback(self.rebuilding.close)
        self.counters = Counters(self.link)
        self.allowances = Allowances(PingCounts(self.link), self.lease_book, self.clock)
        self._parts.push_async_callback(self.allowances.close)
        self.fanout = Fanout(allow_private=settings.allow_private_buyers)
        self._parts.push_async_callback(self.fanout.close)
        self._parts.push_async_callback(self._let_posts_end)
        self.delivery = Delivery(allow_private=settings.allow_private_buyers, clock=self.clock)
        self._parts.push_async_callback(self.delivery.close)
        stop_swapping = await self._parts.enter_async_context(AsyncExitStack())
        self.shelf = Shelf(self.reader, settings.data_dir / "suppression", prints_with(sealer))
        self._parts.callback(self.shelf.close)
        self.swapping = Swapping(
            self.reader,
            self.counters,
            self.allowances,
            self.fanout,
            self.shelf,
            sealer,
            None if settings.secret_key else key_file_of(settings),
            self.clock,
            self._freeze,
        )
        stop_swapping.push_async_callback(self.swapping.close)
        await self.swapping.open()
        await self._meet_counters()
        await self.swapping.begin()
        self._compose(sealer)
        await self.watching.open()
        self.waiting.start()
        self.swapping.start()
        self._opened = True

    async def close(self) -> None:
        """Close every part, highest first; what is written is flushed."""
        await self._parts.aclose()

    @property
    def floor(self) -> Floor:
        """What is traded on now."""
        return self.swapping.floor

    def seller_of(self, key: str | None) -> TradedSeller:
        """Whose key this is. Raises `SellerError` 401."""
        seller = self.floor.market.seller_of_key(key) if key else None
        if seller is None:
            raise _unknown_key(
                key, "seller", "Send your API key as Authorization: Bearer KEY or x-api-key: KEY."
            )
        return seller

    def buyer_of(self, key: str | None) -> Buyer:
        """Which buyer calls with this key. Raises `SellerError` 401."""
        buyer = self.floor.market.buyer_of_key(key) if key else None
        if buyer is None:
            raise _unknown_key(key, "buyer", "Send the key of a buyer as Authorization: Bearer KEY.")
        return buyer

    def signing_buyer(self, buyer_id: str) -> tuple[Buyer, str]:
        """A buyer that signs, and its secret. Raises `SellerError` 401 for one that does not, or is none of ours."""
        buyer, secret = self.floor.market.buyers.get(buyer_id), self.floor.secret_of(buyer_id)
        if buyer is None or secret is None:
            raise SellerError(
                401, "unknown_key", "Name in the URL (`?buyer=ID`) who signed: a buyer with a signing_secret."
            )
        return buyer, secret

    def admin_of(self, key: str | None) -> Admin:
        """Which operator calls with this key. Raises `SellerError` 401."""
        admin = self.floor.market.admin_of_key(key) if key else None
        if admin is None:
            raise _unknown_key(key, "admin", "Send the key of an admin as Authorization: Bearer KEY.")
        return admin

    async def what_is_away(self) -> list[str]:
        """The parts without which no ping can be served."""
        away = []
        try:
            await self.link.call("SET", READY, 1, "PX", 1_000)  # a full memory or disk answers all but writes
        except HouseError as error:
            away.append("counters" if error.code == "counters_unavailable" else error.code)
        return away

    async def _meet_counters(self) -> None:
        """Waits a while until the counters are there, and good. If they are not by then, we serve all the same: every
        door says so, until they come. Raises `OperatorError` for counters that we cannot have."""
        self.link.start()
        self.rebuilding.start(self.link)
        why: Exception | None = await self.link.first_word(COUNTERS_WITHIN_MS)
        until_s = monotonic() + GOOD_WITHIN_S
        while why is not None and isinstance(why, CountersRebuilding) and monotonic() < until_s:
            if self.rebuilding.gate.barred is not None:
                raise self.rebuilding.gate.barred
            if await self.link.passed(within_ms=100):
                why = None
        if why is not None:
            log.warning("counters_away", detail=f"{why}; see AUCTION_REDIS_URL")

    def _own_reader(self) -> Reader:
        """For comparisons, which ask long questions: one thread, so they are in nobody's way."""
        reader = Reader(self._engine, threads=1, timeout_s=120.0)
        self._parts.push_async_callback(reader.close)
        return reader

    def _compose(self, sealer: Sealer) -> None:
        """The ways of a ping and a post, and what is beside them; closed in the opposite order."""
        self.lease = Lease(self.settings.worker_lease_ms)
        me = f"{host_name()}:{os.getpid()}"
        self._compose_pings()
        self._compose_posts(sealer, me)
        self.recalling = Recalling(self._redis_url, self.reader, self.clock, lambda: self.floor.market)
        self.recalling.start(self.link)
        self._parts.push_async_callback(self.recalling.close)
        self._compose_rates()
        self._compose_beside(sealer, me)
        self._parts.push_async_callback(self.waiting.close)

    def _compose_pings(self) -> None:
        """The ping's way."""
        self.health = Health(self.settings.health)
        self.ping_tally = PingTally(self.health)
        self.pings = PingService(
            lambda: self.floor,
            self.counters,
            Asking(self.fanout, self.allowances, self.health),
            Inbound(self.counters, self.shelf),
            PingJournal(self.writer, self.ping_tally),
            self.clock,
            self.settings.most_auctions,
        )

    def _compose_posts(self, sealer: Sealer, me: str) -> None:
        """The post's way, and who goes it too: what a silent worker left, what waits, what is told later."""
        settings, clock, counters = self.settings, self.clock, self.counters
        writer, reader, shelf, lease = self.writer, self.reader, self.shelf, self.lease

        def floor() -> Floor:
            return self.floor

        def market() -> Market:
            return self.floor.market

        answers = Answers(sealer)
        claiming = Claiming(counters, reader, answers, clock, settings.post_wait_ms)
        book = LeadBook(writer, reader)
        offering = Offering(counters, self.delivery, lease, clock)
        compare_soon = self.rebuilding.compare_soon
        self.settling = settling = Settling(
            writer,
            counters,
            answers,
            lambda: market().house.currency,
            book.owed,
            claiming.owed,
            compare_soon,
            clock,
        )
        per_second = settings.postbacks_per_second
        self.reporting = Reporting(
            writer, counters, settling, sealer, market, claiming.owed, clock, per_second
        )
        selling = Selling(book, offering, claiming, settling, answers, clock)
        sale = (claiming, book, offering, selling)
        self.posts = PostService(floor, *sale, self.pings, shelf, sealer, clock, lease, settings.most_posts)
        keeping = Keeping(book, shelf, sealer, lease, clock, offering.tally)
        self.directs = DirectService(floor, self.pings, self.posts, keeping)
        self.recovery = Recovery(floor, selling, offering, book, writer, reader, sealer, lease, clock)
        self.watching = Watching(writer, reader, lease, book, self.recovery, clock, compare_soon)
        others = (writer, reader, shelf, sealer, lease, clock)
        self.waiting = Waiting(floor, self.pings, selling, offering, book, *others, me)
        for close in (self.watching.close, self.posts.close, self.recovery.close):
            self._parts.push_async_callback(close)

    def _compose_rates(self) -> None:
        """How often each key may be used at the doors that bound it."""
        counters, clock, settings = self.counters, self.clock, self.settings
        self.post_rate = PostRate(counters, clock)
        leads = Rate(settings.leads_per_minute, MINUTE_MS)
        self.leads_rate = KeyRate(counters, clock, "api/leads", leads)
        changes = Rate(settings.changes_per_minute, MINUTE_MS)
        self.routes_rate = KeyRate(counters, clock, "lead-routes", changes, lenient=True)
        self.admin_rate = KeyRate(counters, clock, "admin", changes, lenient=True)

    def _compose_beside(self, sealer: Sealer, me: str) -> None:
        """What is beside the auctions and sales: looking up, changing, repeating, forgetting, telling."""
        settings, clock = self.settings, self.clock
        self.status = Status(self.reader)
        self.changing = Changing(self._engine, clock)
        self._parts.push_async_callback(self.changing.close)
        self.lead_routes = LeadRoutes(lambda: self.floor, self.reader, self.writer, self.changing)
        keys = CountedKeys(self.link, settings.most_request_keys)
        links = LeadLinks(self.reader, Answers(sealer))
        self.idempotency = Idempotency(keys, sealer, clock, links=links.link_of)
        self.administration = Administration(self._engine, self.writer, sealer, clock, self.changing)
        self.uploading = Uploading(settings.ledger_url, print_key(sealer))
        self._parts.push_async_callback(self.uploading.close)
        ages = Ages(settings.retain_pii_days, settings.retain_pings_days, settings.retain_postbacks_days)
        ours = self._redis_url == EmbeddedValkey(settings.data_dir).url
        files = Files(self._engine, self.link if ours else None)
        self.retention = Retention(self.writer, sealer, clock, me, ages, files)
        self.retention.start()
        self._parts.push_async_callback(self.retention.close)
        self.postbacks = Postbacks(
            self.writer,
            self.reader,
            sealer,
            lambda: self.floor.market,
            clock,
            me,
            os.environ,
            allow_private=settings.allow_private_buyers,
        )
        self.postbacks.start()
        self._parts.push_async_callback(self.postbacks.close)

    async def _let_posts_end(self) -> None:
        """Nobody waits for a buyer any more: what was under way is settled as far as it is known, and told."""
        if not self._opened:  # it never was
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LAST_POSTS_S):
                while self.posts.running:  # noqa: ASYNC110  (once in a lifetime)
                    await asyncio.sleep(0.01)


def _unknown_key(key: str | None, whose: str, how: str) -> SellerError:
    """A key that is none of ours, or was taken back, is told from one that did not arrive."""
    return SellerError(401, "unknown_key", f"No {whose} has this key." if key else how)
