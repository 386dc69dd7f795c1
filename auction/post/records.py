"""A lead on its way, in the shapes that others need: rows for the ledger, a body for a buyer, an answer."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from auction.buyers.protocol import post_body
from auction.ledger.records import LeadState as LedgerState
from auction.ledger.records import NewLead, NewOffer, NewSale, OfferResult, Settlement
from auction.ledger.sealing import Sealer
from auction.market.market import CampaignMarket
from auction.market.model import FieldValue
from auction.market.money import to_wire
from auction.ping.bids import Win
from auction.ping.offer import OpenPing
from auction.post.answer import Answers, PostAnswer, encode_post_answer
from auction.post.sale import LeadState, OfferState, Sale, payout_micros

_LEDGER_STATE: dict[LeadState, LedgerState] = {
    LeadState.SOLD: "sold",
    LeadState.REJECTED: "rejected",
    LeadState.PENDING: "pending",
}


class Told(msgspec.Struct, frozen=True):
    """What came of one offer. `kept`: a place in the buyer's caps is taken for it."""

    win: Win
    state: OfferState
    offered_at_ms: int
    answered_at_ms: int
    kept: bool
    reason: str | None = None
    buyer_lead_id: str | None = None
    redirect_url: str | None = None


class LeadDraft(msgspec.Struct, frozen=True):
    """One post: the open ping it was sent against, and all of the lead's fields."""

    lead: NewLead
    ping: OpenPing
    values: dict[str, FieldValue]
    currency: str

    @property
    def lead_id(self) -> str:
        """The lead's id."""
        return self.lead.lead_id

    def offers(self, wins: Sequence[Win]) -> list[NewOffer]:
        """The intent to offer the lead to these."""
        return [
            NewOffer(
                order_id=win.bid.order_id,
                buyer_id=win.bid.buyer_id,
                price_micros=win.price_micros,
                payout_micros=win.payout_micros,
                exclusive=win.bid.exclusive,
            )
            for win in wins
        ]

    def body(self, win: Win) -> bytes:
        """What the buyer gets: the lead with all its fields, and what it was bought for."""
        return post_body(
            lead_id=self.lead_id,
            ping_id=self.ping.ping_id,
            bid_id=win.bid.bid_id,
            order=win.bid.order_id,
            price_micros=win.price_micros,
            campaign=self.ping.campaign,
            test=self.ping.test,
            lead=self.values,
        )

    def answer(self, state: LeadState, told: Sequence[Told], reason: str | None) -> PostAnswer:
        """What the seller is told. The payout is that of the buyers who took the lead, no more."""
        return post_answer(
            self.lead_id, self.ping.ping_id, state, accepted(told), reason, self.currency, self.ping.test
        )

    def settlement(self, sale: Sale, told: Sequence[Told], answer: str, at_ms: int) -> Settlement:
        """Everything that came of the offers, as one move of the lead."""
        took = accepted(told)
        alone = len(took) == 1 and _alone(took[0].win, self.ping)
        return Settlement(
            lead_id=self.lead_id,
            from_states=("offered",),
            state=_LEDGER_STATE[sale.state],
            at_ms=at_ms,
            results=tuple(_result(one) for one in told),
            sales=tuple(
                NewSale(
                    place=place,
                    order_id=one.win.bid.order_id,
                    buyer_id=one.win.bid.buyer_id,
                    price_micros=one.win.price_micros,
                    payout_micros=one.win.payout_micros,
                    offered_at_ms=one.offered_at_ms,
                    exclusive=alone,
                )
                for place, one in enumerate(took, start=1)
            ),
            places=(1 if alone else self.ping.terms.most_winners) if took else None,
            reason=None if took else sale.reason,
            payout_micros=payout_micros(one.win for one in took),
            answer=answer,
        )


def draft_lead(
    campaign: CampaignMarket,
    ping: OpenPing,
    values: dict[str, FieldValue],
    *,
    body_hash: bytes,
    lead_id: str,
    worker: str,
    at_ms: int,
    currency: str,
    sealer: Sealer,
) -> LeadDraft:
    """A lead as it comes in: what names a person sealed, the duplicate rule's fields hashed."""
    personal = {name: value for name, value in values.items() if name not in ping.values}
    rules = campaign.campaign.duplicates
    fingerprint = None
    if rules is not None and all(name in values for name in rules.fields):
        same = msgspec.json.encode([values[name] for name in rules.fields])
        fingerprint = sealer.keyed_hash(f"duplicates:{campaign.id}", same)
    lead = NewLead(
        lead_id=lead_id,
        ping_id=ping.ping_id,
        seller=ping.seller,
        campaign=ping.campaign,
        created_at_ms=at_ms,
        market_version=ping.market_version,
        ping_fields=ping.values,
        sealed=sealer.seal(msgspec.json.encode(personal), lead_id.encode()),
        body_hash=body_hash,
        worker=worker,
        sub_id=ping.sub_id,
        test=ping.test,
        fingerprint=fingerprint,
        duplicate_days=rules.days if rules is not None else 0,
        duplicate_answer=None if fingerprint is None else _duplicate_answer(lead_id, ping, currency, sealer),
    )
    return LeadDraft(lead, ping, values, currency)


def _duplicate_answer(lead_id: str, ping: OpenPing, currency: str, sealer: Sealer) -> str:
    """The answer to be stored if the ledger finds that the lead is one."""
    answer = post_answer(lead_id, ping.ping_id, LeadState.REJECTED, (), "duplicate", currency, ping.test)
    return Answers(sealer).seal(lead_id, encode_post_answer(answer))


def post_answer(
    lead_id: str,
    ping_id: str,
    state: LeadState,
    took: Sequence[Told],
    reason: str | None,
    currency: str,
    test: bool,
) -> PostAnswer:
    """The answer to a post whose lead is now `state`."""
    if not took:
        return PostAnswer(
            lead_id, ping_id, state.value, reason=reason if state is LeadState.REJECTED else None, test=test
        )
    return PostAnswer(
        lead_id,
        ping_id,
        state.value,
        payout=to_wire(payout_micros(one.win for one in took)),
        currency=currency,
        buyers=tuple(one.win.bid.buyer_id for one in took),
        redirect_url=next((one.redirect_url for one in took if one.redirect_url), None),
        test=test,
    )


def accepted(told: Sequence[Told]) -> list[Told]:
    """Those who took the lead."""
    return [one for one in told if one.state is OfferState.ACCEPTED]


def _alone(win: Win, ping: OpenPing) -> bool:
    return ping.terms.mode == "exclusive" or win.bid.exclusive


def _result(one: Told) -> OfferResult:
    state = one.state
    return OfferResult(
        order_id=one.win.bid.order_id,
        state="accepted"
        if state is OfferState.ACCEPTED
        else "unknown"
        if state is OfferState.UNKNOWN
        else "rejected",
        answered_at_ms=one.answered_at_ms,
        reason=one.reason,
        buyer_lead_id=one.buyer_lead_id,
    )
