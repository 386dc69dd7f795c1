"""Settling an offer of which nobody knew whether its buyer took the lead.

Whoever learns it (an operator on the command line, a postback, a worker that heard an answer late) says it here, and
it means the same: by the rules of `sale`, in one durable step with the sale, the payout, the answer to the seller and a
line of history that says who said so; then the place in the buyer's caps becomes sold or free. Only an offer that is
unknown can be settled, and once. A post that was answered as sold keeps its answer (P5): of a buyer that joins later
the seller hears by the lead and by its postback.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import msgspec
from sqlalchemy import Connection

from auction import log
from auction.clock import Clock
from auction.counters.counters import Counters, Place
from auction.errors import HouseError, OperatorError
from auction.ledger.duplicates import prints_of
from auction.ledger.lead_queries import find_lead, lock_lead, offers_of, sales_of
from auction.ledger.leads import settle
from auction.ledger.records import Lead, NewSale, Offer, OfferResult, Sale, Settlement
from auction.ledger.writer import Writer
from auction.market.money import to_wire
from auction.post.answer import Answers, PostAnswer, encode_post_answer
from auction.post.owed import Owed
from auction.post.sale import ImpossibleMove, LeadState, OfferState, learnt, moved
from auction.tally import counts

BOUGHT_KEPT_MS = 30 * 86_400_000
"""How long the counters know who bought such a lead; for a longer rule the ledger has the word, at the post."""


class Said(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody says of an unknown offer. `order_id` may be left out where the lead has one unknown offer."""

    accepted: bool
    by: str
    order_id: str | None = None
    reason: str | None = None
    buyer_lead_id: str | None = None


class Settled(msgspec.Struct, frozen=True, kw_only=True):
    """What became of it: the offer, and what its lead is now. `prints` are what the lead is known by, if it is sold."""

    lead_id: str
    ping_id: str
    order_id: str
    buyer_id: str
    price_micros: int
    accepted: bool
    state: LeadState
    payout_micros: int
    test: bool
    campaign: str = ""
    prints: tuple[bytes, ...] = ()
    created_at_ms: int = 0


class SettlementRefused(OperatorError):  # noqa: N818  (the sentence that whoever said it reads)
    """It cannot be settled so. `code`: `unknown_lead`, `being_offered` (say it again later), `unknown_order`,
    `nothing_unknown`, `which_order`, `settled_so` (it was said before), `settled_otherwise`, `impossible_move`."""


class Settling:
    """Settles offers in a running house. Counts what was `settled`, by who said it and what."""

    def __init__(
        self,
        writer: Writer,
        counters: Counters,
        answers: Answers,
        currency: Callable[[], str],
        owed_to_ledger: Owed,
        owed_to_counters: Owed,
        in_doubt: Callable[[], None],
        clock: Clock,
    ) -> None:
        """`in_doubt` is called where it is not known whether something was written: the counters may lack it."""
        self.in_doubt = in_doubt
        self._writer = writer
        self._counters = counters
        self._answers = answers
        self._currency = currency
        self._owed_to_ledger = owed_to_ledger
        self._owed_to_counters = owed_to_counters
        self._clock = clock
        self.settled = counts()  # (who said it, accepted or rejected)

    async def settle(self, lead_id: str, said: Said) -> Settled:
        """Durable when it returns. Raises `SettlementRefused`, and `HouseError` where the ledger is away."""
        now_ms = self._clock.now_ms()
        step = partial(
            settle_offer,
            lead_id=lead_id,
            said=said,
            answers=self._answers,
            currency=self._currency(),
            at_ms=now_ms,
        )
        try:
            settled = await self._writer.write(step)
        except HouseError:
            self.in_doubt()
            raise
        await self.follow(settled, said.by, now_ms)
        return settled

    async def follow(self, settled: Settled, by: str, now_ms: int) -> None:
        """What comes after the durable step, whoever wrote it: the place in the caps, now or when the counters are
        there."""
        self.settled[(by, "accepted" if settled.accepted else "rejected")] += 1
        log.event(
            "offer_settled", lead_id=settled.lead_id, order=settled.order_id, state=settled.state, by=by
        )
        try:
            await free_place(self._counters, settled, now_ms)
        except HouseError:
            self._owed_to_counters.add(lambda: free_place(self._counters, settled, now_ms))

    def late(self, lead_id: str, said: Said) -> None:
        """A clear answer to an offer of a lead that is in another's hands by now: settles it once it is unknown."""
        self._owed_to_ledger.add(partial(self._settle_late, lead_id, said))

    async def _settle_late(self, lead_id: str, said: Said) -> None:
        try:
            await self.settle(lead_id, said)
        except SettlementRefused as refused:
            if refused.code == "being_offered":
                raise HouseError(refused.code, refused.detail) from None  # owed still
            if refused.code != "settled_so":
                log.warning("late_answer_unused", lead_id=lead_id, order=said.order_id, code=refused.code)


async def free_place(counters: Counters, settled: Settled, now_ms: int) -> None:
    """The offer's place in its buyer's caps is sold, or given back. Safe to do twice. Raises `HouseError`."""
    if settled.test:
        return
    place = Place(settled.buyer_id, settled.order_id, settled.ping_id, settled.price_micros, ())
    if settled.accepted:
        await counters.sold(place, now_ms, settled.price_micros)
        if settled.prints:
            at_ms, orders = settled.created_at_ms, (settled.order_id,)
            await counters.bought(settled.campaign, settled.prints, orders, at_ms, BOUGHT_KEPT_MS)
    else:
        await counters.release(place, now_ms)


def settle_offer(
    conn: Connection, lead_id: str, said: Said, answers: Answers, currency: str, at_ms: int
) -> Settled:
    """The durable step, on a connection that writes. Raises `SettlementRefused`; then nothing is changed."""
    lock_lead(conn, lead_id)
    lead = find_lead(conn, lead_id)
    if lead is None:
        raise SettlementRefused("unknown_lead", f"there is no lead {lead_id!r} in this ledger")
    offers = offers_of(conn, lead_id)
    offer = _meant(lead, offers, said)
    state = LeadState(lead.state)
    answer = OfferState.ACCEPTED if said.accepted else OfferState.REJECTED
    others = [OfferState(one.state) for one in offers if one is not offer]
    try:
        now = moved(state, learnt(state, others, answer))
    except ImpossibleMove as error:
        raise SettlementRefused("impossible_move", f"lead {lead_id}: {error}") from None
    sold = sales_of(conn, lead_id)
    places = lead.places or 1
    payout = lead.payout_micros + (offer.payout_micros if said.accepted else 0)
    buyers = [sale.buyer_id for sale in sold if sale.stands] + ([offer.buyer_id] if said.accepted else [])
    reason = (said.reason or "rejected") if now is LeadState.REJECTED else lead.reason
    if state is LeadState.RETURNED and said.accepted:
        reason = None  # it is sold again: why others gave it back is in its history
    told_anew = state is LeadState.PENDING  # what was told as sold stays what was told (P5)
    settlement = Settlement(
        lead_id=lead_id,
        from_states=(lead.state,),
        state=now.value,
        at_ms=at_ms,
        results=(_result(offer, said, at_ms),),
        sales=(_next_sale(offer, sold, places),) if said.accepted else (),
        places=places,
        reason=reason,
        payout_micros=payout,
        answer=answers.seal(lead_id, _answer(lead, now, reason, buyers, payout, currency))
        if told_anew
        else None,
        detail={"by": said.by},
        quiet=now is state and not said.accepted,
    )
    settle(conn, settlement)
    return Settled(
        lead_id=lead_id,
        ping_id=lead.ping_id,
        order_id=offer.order_id,
        buyer_id=offer.buyer_id,
        price_micros=offer.price_micros,
        accepted=said.accepted,
        state=now,
        payout_micros=payout,
        test=lead.test,
        campaign=lead.campaign,
        prints=tuple(prints_of(conn, lead_id)) if said.accepted else (),
        created_at_ms=lead.created_at_ms,
    )


def _next_sale(offer: Offer, sold: Sequence[Sale], places: int) -> NewSale:
    """The sale that this offer turns out to be, in the next place of its lead."""
    return NewSale(
        place=max((one.place for one in sold), default=0) + 1,
        order_id=offer.order_id,
        buyer_id=offer.buyer_id,
        price_micros=offer.price_micros,
        payout_micros=offer.payout_micros,
        offered_at_ms=offer.sent_at_ms,
        exclusive=places == 1,
    )


def _meant(lead: Lead, offers: Sequence[Offer], said: Said) -> Offer:
    """The offer that is spoken of. Raises `SettlementRefused` where there is none that can be settled."""
    lead_id = lead.lead_id
    if lead.state in ("received", "offered"):
        raise SettlementRefused(
            "being_offered", f"lead {lead_id} is being offered at this moment: say it again when that is over"
        )
    unknown = [offer for offer in offers if offer.state == "unknown"]
    if said.order_id is None:
        if len(unknown) == 1:
            return unknown[0]
        if not unknown:
            raise SettlementRefused(
                "nothing_unknown", f"lead {lead_id} is {lead.state}: all its offers are known"
            )
        listed = ", ".join(offer.order_id for offer in unknown)
        raise SettlementRefused(
            "which_order", f"lead {lead_id} has several unknown offers: name one of {listed}"
        )
    found = next((offer for offer in offers if offer.order_id == said.order_id), None)
    if found is None:
        listed = ", ".join(offer.order_id for offer in offers) or "nobody"
        raise SettlementRefused(
            "unknown_order", f"lead {lead_id} was never offered to order {said.order_id!r}, but to {listed}"
        )
    if found.state != "unknown":
        same = (found.state == "accepted") == said.accepted
        raise SettlementRefused(
            "settled_so" if same else "settled_otherwise",
            f"lead {lead_id}: the offer to {found.order_id} is known to be {found.state} already",
        )
    return found


def _result(offer: Offer, said: Said, at_ms: int) -> OfferResult:
    return OfferResult(
        order_id=offer.order_id,
        state="accepted" if said.accepted else "rejected",
        answered_at_ms=at_ms,
        reason=None if said.accepted else said.reason or "rejected",
        buyer_lead_id=said.buyer_lead_id,
    )


def _answer(
    lead: Lead, state: LeadState, reason: str | None, buyers: Sequence[str], payout: int, currency: str
) -> bytes:
    """What a seller whose lead was pending is told from now on."""
    answer = PostAnswer(lead.lead_id, lead.ping_id, state.value, test=lead.test)
    if buyers:
        sold = {"payout": to_wire(payout), "currency": currency, "buyers": tuple(buyers)}
        answer = msgspec.structs.replace(answer, **sold)
    elif state is LeadState.REJECTED:
        answer = msgspec.structs.replace(answer, reason=reason)
    return encode_post_answer(answer)
