"""What is written down of a lead on its way, each step durable before the next (P1, P4).

A write that failed may have been done. An intent that may stand though nobody follows it is taken back in the
background until that is certain, and a settlement that could not be written is written as soon as it can be
(`owed`): the seller was told 503 and asks again, and by then the answer is there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

from auction import log
from auction.errors import HouseError
from auction.ledger.faults import ImpossibleMove, SaleRefused, TakenOver
from auction.ledger.lead_queries import find_lead
from auction.ledger.leads import add_offers, settle
from auction.ledger.reader import Reader
from auction.ledger.records import AlreadyTaken, Due, Refused, Settlement, Taken, Unsold
from auction.ledger.taking import take_back, take_back_unsold, take_lead, take_unsold, void_lead
from auction.ledger.waiting import offer_waiting, wait_again
from auction.ledger.writer import Writer
from auction.ping.bids import Win
from auction.post.owed import Owed
from auction.post.records import LeadDraft, Told, results_of

SETTLE_TRIES = 5
_REFUSED = (ImpossibleMove, SaleRefused)


class LeadBook:
    """Writes leads into the ledger. Knows which of them are in this worker's hands, or owed a step."""

    def __init__(self, writer: Writer, reader: Reader) -> None:
        self._writer = writer
        self._reader = reader
        self.owed = Owed("ledger")
        self.in_hand: set[tuple[str, str | None]] = set()  # (lead, the name it was taken under)

    def let_go(self, lead_id: str, worker: str | None) -> None:
        """Nobody here works on this lead any more, under this name."""
        self.in_hand.discard((lead_id, worker))

    async def take(self, draft: LeadDraft, wins: Sequence[Win]) -> Taken | AlreadyTaken | Refused:
        """The intent to offer this lead to these buyers. Raises `HouseError`: then it is as if it never came."""
        lead, offers = draft.lead, draft.offers(wins)
        self.in_hand.add((lead.lead_id, lead.worker))
        try:
            taken = await self._writer.write(partial(take_lead, lead=lead, new_offers=offers))
        except HouseError:
            self._owe_taking_back(draft, wins)
            raise
        if not isinstance(taken, Taken):
            self.let_go(lead.lead_id, lead.worker)
        return taken

    async def keep(self, draft: LeadDraft, unsold: Unsold, *, keyed: bool) -> Taken | AlreadyTaken | Refused:
        """A lead for which nobody bid. Raises `HouseError`: then it is as if it never came; or, of a request that comes
        with a key (`keyed`), it is there or not, and the same request again hears which (P4, P5): it may have been
        told already."""
        step = partial(take_unsold, lead=draft.lead, unsold=unsold)
        try:
            return await self._writer.write(step)
        except HouseError:
            if not keyed:
                self.owed.add(partial(self._take_back_unsold, draft, unsold))
            raise

    async def offer_waiting(
        self, draft: LeadDraft, wins: Sequence[Win], at_ms: int, wait: Due
    ) -> frozenset[str] | None:
        """A waiting lead's intent, and which orders bought such a lead; None if it does not wait any more, or is in
        this worker's hands already.

        Raises `HouseError`: then it waits on.
        """
        lead = draft.lead
        assert lead.plan is not None
        if (lead.lead_id, lead.worker) in self.in_hand:
            return None  # whose it is lets go of it
        self.in_hand.add((lead.lead_id, lead.worker))
        step = partial(offer_waiting, lead=lead, new_offers=draft.offers(wins), at_ms=at_ms)
        try:
            repeated = await self._writer.write(step)
        except HouseError:
            self.owed.add(partial(self._wait_again, draft, at_ms, wait))
            raise
        if repeated is None:
            self.let_go(lead.lead_id, lead.worker)
        return repeated

    async def wait_again(self, draft: LeadDraft, at_ms: int, wait: Due) -> None:
        """Nothing left the house: the lead waits on, from now or from as soon as that can be written."""
        try:
            await self._wait_again(draft, at_ms, wait)
        except HouseError:
            self.owed.add(partial(self._wait_again, draft, at_ms, wait))

    async def _wait_again(self, draft: LeadDraft, at_ms: int, wait: Due) -> None:
        lead = draft.lead
        step = partial(
            wait_again,
            lead_id=lead.lead_id,
            campaign=lead.campaign,
            worker=lead.worker,
            at_ms=at_ms,
            next_at_ms=wait.next_at_ms,
            until_ms=wait.until_ms,
        )
        await self._writer.write(step)
        self.let_go(lead.lead_id, lead.worker)

    async def void(self, draft: LeadDraft, wins: Sequence[Win]) -> None:
        """Nothing left the house after all: the intent goes, now or as soon as it can.

        Raises `TakenOver` if it is in another worker's hands by now, and no other `HouseError`.
        """
        try:
            voided = await self._writer.write(
                partial(void_lead, lead_id=draft.lead_id, worker=draft.lead.worker)
            )
        except HouseError:
            self._owe_taking_back(draft, wins)
            return
        self.let_go(draft.lead_id, draft.lead.worker)
        if not voided:
            raise TakenOver(draft.lead_id, "offered", "voided")

    async def intend(
        self, draft: LeadDraft, said: Sequence[Told], wins: Sequence[Win], at_ms: int
    ) -> frozenset[str] | None:
        """What earlier offers were answered, and the intent to offer the lead to more buyers, durable; None if that
        is not certain. Gives the orders that must not be sent it after all: they bought such a lead before.

        Raises `TakenOver`, and nothing else: somebody may have taken the lead by now, and that has to be settled
        whatever happens.
        """
        step = partial(
            add_offers,
            lead_id=draft.lead_id,
            worker=draft.lead.worker,
            results=results_of(said),
            new_offers=draft.offers(wins),
            at_ms=at_ms,
        )
        try:
            return await self._writer.write(step)
        except TakenOver:
            raise
        except HouseError as error:
            log.warning("intent_failed", lead_id=draft.lead_id, code=error.code)
        except Exception:
            log.bug("intent_failed", lead_id=draft.lead_id)
        return None

    async def settle(
        self, settlement: Settlement, then: Callable[[], Awaitable[object]], lost: Callable[[], object]
    ) -> None:
        """Everything that came of the offers, in one durable step; `then` follows, now or later.

        Raises `HouseError` if it is not written yet: a buyer may have the lead, so it will be. Raises `TakenOver` if
        the lead is another worker's; `lost` is called where that turns out later.
        """
        for attempt in range(1, SETTLE_TRIES + 1):
            try:
                await self._write(settlement)
                break
            except TakenOver:
                raise
            except HouseError as error:
                if attempt == SETTLE_TRIES or isinstance(error, _REFUSED):
                    log.warning("settle_failed", lead_id=settlement.lead_id, state=settlement.state)
                    self.in_hand.add((settlement.lead_id, settlement.worker))
                    self.owed.add(partial(self._settle_later, settlement, then, lost))
                    raise
                await asyncio.sleep(0.1 * attempt)
        self.let_go(settlement.lead_id, settlement.worker)
        await then()

    async def _settle_later(
        self, settlement: Settlement, then: Callable[[], Awaitable[object]], lost: Callable[[], object]
    ) -> None:
        try:
            await self._write(settlement)
        except TakenOver:
            lost()
            return
        except _REFUSED as error:
            log.warning("settlement_refused", lead_id=settlement.lead_id, code=error.code)
            self.let_go(settlement.lead_id, settlement.worker)
            return
        self.let_go(settlement.lead_id, settlement.worker)
        await then()

    async def _write(self, settlement: Settlement) -> None:
        """Durable when it returns. One that was written though nobody said so is found written (P4, P5)."""
        try:
            await self._writer.write(partial(settle, settlement=settlement))
        except ImpossibleMove:
            lead = await self._reader.read(partial(find_lead, lead_id=settlement.lead_id))
            if lead is None or lead.answer != settlement.answer:
                raise

    async def _take_back_unsold(self, draft: LeadDraft, unsold: Unsold) -> None:
        await self._writer.write(partial(take_back_unsold, lead=draft.lead, unsold=unsold))

    def _owe_taking_back(self, draft: LeadDraft, wins: Sequence[Win]) -> None:
        self.owed.add(partial(self._take_back, draft, wins))

    async def _take_back(self, draft: LeadDraft, wins: Sequence[Win]) -> None:
        await self._writer.write(partial(take_back, lead=draft.lead, new_offers=draft.offers(wins)))
        self.let_go(draft.lead_id, draft.lead.worker)
