"""A lead on its way, in the shapes that others need: rows for the ledger, a body for a buyer, an answer."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from auction import log
from auction.buyers.protocol import post_body
from auction.errors import HouseError
from auction.ledger.records import Lead, NewLead, NewOffer, NewSale, OfferResult, Settlement
from auction.ledger.records import LeadState as LedgerState
from auction.ledger.sealing import Sealer
from auction.market.market import CampaignMarket
from auction.market.model import FieldValue
from auction.market.money import to_wire
from auction.ping.bids import Win
from auction.ping.hashes import person_hash
from auction.ping.offer import OpenPing, encode_open_ping
from auction.post.answer import Answers, PostAnswer, encode_post_answer
from auction.post.prints import NONE, Known, LeadPrints, lead_prints
from auction.post.sale import LeadState, OfferState, Sale, payout_micros

_STORED = (
    "lead_id",
    "ping_id",
    "seller",
    "campaign",
    "created_at_ms",
    "market_version",
    "ping_fields",
    "sealed",
    "body_hash",
    "worker",
    "sub_id",
    "test",
)
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
    """One post: the open ping it was sent against, and all of the lead's fields (those that can be read, where it is
    not `whole`)."""

    lead: NewLead
    ping: OpenPing
    values: dict[str, FieldValue]
    currency: str
    whole: bool = True
    prints: LeadPrints = NONE

    @property
    def lead_id(self) -> str:
        """The lead's id."""
        return self.lead.lead_id

    def offers(self, wins: Sequence[Win]) -> list[NewOffer]:
        """The intent to offer the lead to these."""
        return [self._offer(win, self.prints.orders.get(win.bid.order_id)) for win in wins]

    def _offer(self, win: Win, known: Known | None) -> NewOffer:
        return NewOffer(
            order_id=win.bid.order_id,
            buyer_id=win.bid.buyer_id,
            price_micros=win.price_micros,
            payout_micros=win.payout_micros,
            exclusive=win.bid.exclusive,
            print_of=None if known is None else known.print_of,
            duplicate_days=0 if known is None else known.days,
        )

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
        taken = [one for one in told if one.state in (OfferState.ACCEPTED, OfferState.UNKNOWN)]
        alone = len(taken) == 1 and _alone(taken[0].win, self.ping)
        return Settlement(
            lead_id=self.lead_id,
            from_states=("offered",),
            state=_LEDGER_STATE[sale.state],
            at_ms=at_ms,
            results=results_of(told),
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
            places=(1 if alone else self.ping.terms.most_winners) if taken else None,
            reason=None if took else sale.reason,
            payout_micros=payout_micros(one.win for one in took),
            answer=answer,
            worker=self.lead.worker,
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
    plan: bytes | None = None,
    suppressed_by: str | None = None,
    keyed: str | None = None,
) -> LeadDraft:
    """A lead as it comes in: what names a person sealed, the duplicate rule's fields hashed.

    `suppressed_by` is the suppression list that it stands in, if any; `plan` the encoded open ping, where it is at
    hand; `keyed` is as in `NewLead`. The fields are put in an order that can be had again from what is stored: an
    offer that is repeated by another worker is the same to the last byte.
    """
    personal = {name: value for name, value in values.items() if name not in ping.values}
    prints = lead_prints(campaign, values, sealer)
    refused_answer = None
    if suppressed_by is not None:
        refused_answer = _refusal(lead_id, ping, "suppressed", currency, sealer)
    elif prints.campaign is not None:
        refused_answer = _refusal(lead_id, ping, "duplicate", currency, sealer)
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
        fingerprint=None if prints.campaign is None else prints.campaign.print_of,
        duplicate_days=0 if prints.campaign is None else prints.campaign.days,
        prints=prints.every,
        suppressed_by=suppressed_by,
        refused_answer=refused_answer,
        plan=plan or encode_open_ping(ping),
        people=people_in(campaign, values, sealer),
        keyed=keyed,
    )
    return LeadDraft(lead, ping, ping.values | personal, currency, prints=prints)


def found_draft(
    lead: Lead, ping: OpenPing, currency: str, sealer: Sealer, campaign: CampaignMarket | None = None
) -> LeadDraft:
    """A lead as it lies in the ledger, its campaign as it is now (None: gone). Where its personal part cannot be opened
    it is not `whole`."""
    as_new = NewLead(**{name: getattr(lead, name) for name in _STORED})
    try:
        personal = msgspec.json.decode(sealer.open(lead.sealed, lead.lead_id.encode()))
    except HouseError as error:
        log.warning("lead_unreadable", lead_id=lead.lead_id, code=error.code)
        return LeadDraft(as_new, ping, ping.values, currency, whole=False)
    values = ping.values | personal
    prints = NONE if campaign is None else lead_prints(campaign, values, sealer)
    return LeadDraft(as_new, ping, values, currency, prints=prints)


def _refusal(lead_id: str, ping: OpenPing, reason: str, currency: str, sealer: Sealer) -> str:
    """The answer to be stored if the lead is offered to nobody."""
    answer = post_answer(lead_id, ping.ping_id, LeadState.REJECTED, (), reason, currency, ping.test)
    return Answers(sealer).seal(lead_id, encode_post_answer(answer))


def people_in(campaign: CampaignMarket, values: dict[str, FieldValue], sealer: Sealer) -> tuple[bytes, ...]:
    """Keyed hashes of the phones and emails of a lead, each once: by them it is found when it is to be forgotten."""
    named = (
        spec for spec in campaign.campaign.fields if spec.type in ("phone", "email") and spec.name in values
    )
    return tuple(
        dict.fromkeys(person_hash(sealer.keyed_hash, spec.type, values[spec.name]) for spec in named)
    )


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


def results_of(told: Sequence[Told]) -> tuple[OfferResult, ...]:
    """These answers, as the ledger keeps them."""
    return tuple(_result(one) for one in told)


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
