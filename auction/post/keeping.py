"""Leads for which nobody bid, where their door promised to keep them: they wait for a buyer, or are refused.

Either way the lead is in the ledger before its seller is told anything (P4), with the look at suppression lists and at
equal leads that every lead gets.
"""

from __future__ import annotations

from auction import log
from auction.clock import Clock
from auction.ledger.records import AlreadyTaken, Refused, Unsold
from auction.ledger.sealing import Sealer
from auction.market.market import CampaignMarket, TradedSeller
from auction.market.model import FieldValue
from auction.market.reasons import Reason
from auction.ping.floor import Floor
from auction.ping.offer import OpenPing, PingAnswer, PingRequest
from auction.ping.service import terms_for
from auction.post.answer import Answers, encode_post_answer
from auction.post.book import LeadBook
from auction.post.claiming import another_body, in_progress
from auction.post.lease import Lease
from auction.post.records import LeadDraft, draft_lead, post_answer
from auction.post.sale import LeadState, Move, moved
from auction.post.tally import PostTally
from auction.post.waits import wait_ms
from auction.suppression.shelf import Shelf

HOUR_MS = 3_600_000


class Keeping:
    """Writes them down. `kept` are those that wait."""

    def __init__(
        self,
        book: LeadBook,
        shelf: Shelf,
        sealer: Sealer,
        lease: Lease,
        clock: Clock,
        tally: PostTally,
    ) -> None:
        self._book = book
        self._shelf = shelf
        self._sealer = sealer
        self._answers = Answers(sealer)
        self._lease = lease
        self._clock = clock
        self._tally = tally

    async def keep(
        self,
        floor: Floor,
        campaign: CampaignMarket,
        seller: TradedSeller,
        request: PingRequest,
        values: dict[str, FieldValue],
        answer: PingAnswer,
        body_hash: bytes,
        lead_id: str,
        *,
        keyed: bool,
    ) -> bytes:
        """The seller's answer, durable: `waiting` where the campaign has `pending_hours`, else rejected.

        `keyed`: the same request finds its lead again. Raises `SellerError` 409 as for any post, and `HouseError`: then
        it is as if the lead never came, but for a keyed one.
        """
        ping = self._without_bids(floor, campaign, seller, request, values, answer.ping_id)
        suppressed = self._shelf.hit(campaign.suppression_lists, values)
        draft = draft_lead(
            campaign,
            ping,
            values,
            body_hash=body_hash,
            lead_id=lead_id,
            worker=await self._lease.holder(),
            at_ms=ping.at_ms,
            currency=floor.market.house.currency,
            sealer=self._sealer,
            suppressed_by=suppressed.id if suppressed else None,
        )
        # what the campaign's own filter does not let through, no buyer can ever be there for
        filtered = answer.reason == Reason.INBOUND
        hours = None if filtered else campaign.campaign.pending_hours
        move = Move.REFUSE if hours is None else Move.WAIT
        state, reason = moved(LeadState.RECEIVED, move), answer.reason or "no_bid"
        body = encode_post_answer(
            post_answer(lead_id, ping.ping_id, state, (), reason, draft.currency, ping.test)
        )
        unsold = Unsold(
            reason=reason,
            answer=self._answers.seal(lead_id, body),
            next_at_ms=None if hours is None else ping.at_ms + wait_ms(0),
            until_ms=0 if hours is None else ping.at_ms + hours * HOUR_MS,
        )
        return await self._written(draft, unsold, state, body, keyed)

    async def _written(
        self, draft: LeadDraft, unsold: Unsold, state: LeadState, body: bytes, keyed: bool
    ) -> bytes:
        lead = draft.lead
        taken = await self._book.keep(draft, unsold, keyed=keyed)
        if isinstance(taken, AlreadyTaken):
            same = taken.body_hash in (lead.body_hash, b"")  # of a forgotten lead no hash is left
            if same and taken.answer is not None:
                return self._answers.open(taken.lead_id, taken.answer)
            raise in_progress() if same else another_body()
        self._tally.settled(draft.ping, state, ())
        refused = isinstance(taken, Refused) and taken.reason != unsold.reason
        shown = LeadState.REJECTED if refused else state
        log.event("lead", lead_id=lead.lead_id, state=shown.value, seller=lead.seller, campaign=lead.campaign)
        if refused:
            assert lead.refused_answer is not None
            return self._answers.open(lead.lead_id, lead.refused_answer)
        return body

    def _without_bids(
        self,
        floor: Floor,
        campaign: CampaignMarket,
        seller: TradedSeller,
        request: PingRequest,
        values: dict[str, FieldValue],
        ping_id: str,
    ) -> OpenPing:
        """The ping as another auction of the same lead needs it."""
        now_ms = self._clock.now_ms()
        hashed = [name for name in campaign.hashed_fields if name in values]
        return OpenPing(
            ping_id=ping_id,
            seller=seller.id,
            campaign=campaign.id,
            test=request.test,
            at_ms=now_ms,
            until_ms=now_ms,
            market_version=floor.market.version,
            sub_id=request.sub_id,
            values={name: values[name] for name in campaign.ping_fields if name in values},
            terms=terms_for(campaign, seller, request),
            ranked=[],
            wins=(),
            opens=False,
            hashed=floor.hashes.kept(campaign.decoder.digests(values, hashed)) if hashed else {},
        )
