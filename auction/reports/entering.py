"""What a buyer reports of a lead after the post, as one durable step: by postback, or by an operator for it.

Accepted and rejected settle an offer that nobody knew of (`settling`). Delivered, converted and returned are the later
life of a sale, by the rules of `sale` and `returning`. The same told again changes nothing; what contradicts what is
known is refused, and kept for the operator.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
from sqlalchemy import Connection

from auction.counted import counted
from auction.errors import HouseError
from auction.ledger.afterwards import (
    bought_at_least,
    leads_known_as,
    lock_returns,
    returned_since,
    tell_sale,
)
from auction.ledger.duplicates import prints_of
from auction.ledger.lead_queries import find_lead, lock_lead, offers_of, sales_of
from auction.ledger.leads import settle
from auction.ledger.records import Lead, Offer, RefusedPostback, Sale, Settlement
from auction.ledger.refused import keep_refused
from auction.market.model import Returns
from auction.market.money import to_wire
from auction.market.personal import names_somebody, repeats
from auction.post.answer import Answers
from auction.post.sale import ImpossibleMove, LeadState, Move, moved_later
from auction.post.settling import Said, SettlementRefused, settle_offer
from auction.reports.report import (
    STATUS_OF,
    Refusal,
    Report,
    Reported,
    Rules,
    Status,
    reported_of,
    state_of,
)
from auction.reports.returning import bought_needed, share_percent, too_late, window_begins_ms

_MOVES: Final = {
    Status.DELIVERED: Move.DELIVER,
    Status.CONVERTED: Move.CONVERT,
    Status.RETURNED: Move.RETURN,
}
NOT_KEPT: Final = frozenset({"being_offered"})
"""Refusals that say no more than: again in a moment."""


class _Refused(Exception):  # noqa: N818  (raised and caught in this file, before anything is written)
    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail


def enter(conn: Connection, report: Report, rules: Rules, at_ms: int) -> Reported | Refusal:
    """The durable step, on a connection that writes. What is refused changes nothing but the list of what was."""
    entry = _Entry(conn, report, rules, at_ms)
    try:
        return entry.done()
    except _Refused as refused:
        code, detail = refused.code, refused.detail
    except SettlementRefused as refused:
        code = refused.code if refused.code == "being_offered" else "impossible_status"
        detail = refused.detail
    refusal = Refusal(code, detail, **entry.known())
    if report.buyer_id is not None and code not in NOT_KEPT:  # an operator sees it where he asked
        keep_refused(
            conn,
            RefusedPostback(
                buyer_id=report.buyer_id,
                lead_id=refusal.lead_id,
                order_id=refusal.order_id,
                status=report.status,
                code=code,
                times=1,
                first_at_ms=at_ms,
                last_at_ms=at_ms,
            ),
        )
    return refusal


class _Entry:
    """One report on its way into the ledger."""

    def __init__(self, conn: Connection, report: Report, rules: Rules, at_ms: int) -> None:
        self._conn = conn
        self._report = report
        self._rules = rules
        self._at_ms = at_ms
        self._lead: Lead | None = None
        self._offer: Offer | None = None

    def known(self) -> dict[str, str]:
        """Which of our leads is meant, as far as it was found: what was not is the caller's own text."""
        if self._lead is None:
            return {}
        if self._offer is None:
            return {"lead_id": self._lead.lead_id}
        offer = self._offer
        return {"lead_id": offer.lead_id, "order_id": offer.order_id, "buyer_id": offer.buyer_id}

    def done(self) -> Reported:
        """Raises `_Refused` or `SettlementRefused` before anything is written."""
        lead, offer = self._find()
        if lead.state in ("received", "offered"):
            raise _Refused(
                "being_offered", f"Lead {lead.lead_id} is being offered: tell it again in a moment."
            )
        if self._report.status in _MOVES:
            return self._told_later(lead, offer)
        return self._told_verdict(lead, offer)

    def _find(self) -> tuple[Lead, Offer]:
        report = self._report
        lead_id = report.lead_id or self._known_as()
        lock_lead(self._conn, lead_id)
        lead = find_lead(self._conn, lead_id)
        offers = [
            offer
            for offer in offers_of(self._conn, lead_id)
            if report.buyer_id is None or offer.buyer_id == report.buyer_id
        ]
        if lead is None or not offers:
            ours = "No such lead." if lead is None else f"Lead {lead_id} was offered to nobody."
            raise _Refused("unknown_lead", "You were offered no such lead." if report.buyer_id else ours)
        self._lead = lead
        if report.order_id is not None:
            named = ", ".join(offer.order_id for offer in offers)
            offers = [offer for offer in offers if offer.order_id == report.order_id]
            if not offers:
                detail = f"Lead {lead_id} was not offered to that order, but to {named}."
                raise _Refused("unknown_order", detail)
        if len(offers) > 1:
            offers = [offer for offer in offers if offer.state != "rejected"] or offers
        if len(offers) > 1:
            named = ", ".join(offer.order_id for offer in offers)
            raise _Refused(
                "which_order", f"Lead {lead_id} was offered to several orders: name one of {named}."
            )
        self._offer = offer = offers[0]
        told = report.buyer_lead_id
        if told is not None and offer.buyer_lead_id is not None and offer.buyer_lead_id != told:
            raise _Refused(
                "told_otherwise", f"Lead {lead_id} has another id of yours: {offer.buyer_lead_id}."
            )
        return lead, offer

    def _known_as(self) -> str:
        report = self._report
        assert report.buyer_id is not None, "an operator names our id"
        assert report.buyer_lead_id is not None, "a report names a lead"
        found = leads_known_as(self._conn, report.buyer_id, report.buyer_lead_id)
        if not found:
            raise _Refused("unknown_lead", "You told us of no lead with that id.")
        if len(found) > 1:
            raise _Refused("which_lead", "You gave that id to several leads: send our lead_id.")
        return found[0]

    def _told_verdict(self, lead: Lead, offer: Offer) -> Reported:
        """Accepted or rejected."""
        report, accepted = self._report, self._report.status is Status.ACCEPTED
        if offer.state != "unknown":
            if (offer.state == "accepted") != accepted:
                hint = " A lead that was taken is given back by `returned`." if not accepted else ""
                raise _Refused(
                    "impossible_status", f"Lead {lead.lead_id}: it is known that you {offer.state} it.{hint}"
                )
            return self._as_it_stands(lead, offer, self._sale_of(offer))
        known_as = self._unless_personal(lead, report.buyer_lead_id)
        said = Said(
            accepted=accepted,
            by=report.by,
            order_id=offer.order_id,
            reason=self._unless_personal(lead, report.reason),
            buyer_lead_id=None if known_as is None or names_somebody(known_as) else known_as,
        )
        answers = Answers(self._rules.sealer)
        settled = settle_offer(self._conn, lead.lead_id, said, answers, self._rules.currency, self._at_ms)
        return reported_of(
            lead,
            offer,
            report.status,
            changed=True,
            state=settled.state,
            payout_micros=settled.payout_micros,
            buyer_lead_id=said.buyer_lead_id,
            reason=None if accepted else said.reason or "rejected",
            settled=settled,
        )

    def _told_later(self, lead: Lead, offer: Offer) -> Reported:
        """Delivered, converted or returned."""
        report, sale = self._report, self._sale_of(offer)
        if sale is None:
            why = "it is not known whether you took it: tell `accepted` first"
            why = why if offer.state == "unknown" else "you did not take it"
            raise _Refused("impossible_status", f"Lead {lead.lead_id}: {why}.")
        if self._was_told(sale):
            return self._as_it_stands(lead, offer, sale)
        move = _MOVES[report.status]
        others = [state_of(one) for one in self._sales if one is not sale]
        try:
            _, now = moved_later(LeadState(lead.state), state_of(sale), others, move)
        except ImpossibleMove:
            raise _Refused(
                "impossible_status",
                f"Lead {lead.lead_id} is {state_of(sale)}: it cannot become {report.status}.",
            ) from None
        if move is Move.RETURN:
            return self._return(lead, offer, sale, now)
        tell_sale(
            self._conn,
            sale,
            "deliver" if move is Move.DELIVER else "convert",
            self._at_ms,
            value_micros=report.value_micros,
        )
        value = report.value_micros if move is Move.CONVERT else None
        detail = {} if value is None else {"value": to_wire(value)}
        self._move(lead, offer, now, lead.reason, lead.payout_micros, detail)
        return reported_of(
            lead,
            offer,
            report.status,
            changed=True,
            state=now,
            payout_micros=lead.payout_micros,
            value_micros=value,
        )

    def _return(self, lead: Lead, offer: Offer, sale: Sale, now: LeadState) -> Reported:
        terms = self._rules.returns_of(offer.order_id)
        if not self._report.beyond_terms:
            self._check_returnable(lead, sale, terms)
        freed = terms is not None and terms.frees_cap
        reason = self._unless_personal(lead, self._report.reason) or "returned"
        payout = max(0, lead.payout_micros - sale.payout_micros)
        tell_sale(self._conn, sale, "return", self._at_ms, reason=reason, cap_freed=freed)
        detail = {"reason": reason, "payout": to_wire(payout)}
        of_lead = reason if now is LeadState.RETURNED else lead.reason
        self._move(lead, offer, now, of_lead, payout, detail)
        return reported_of(
            lead,
            offer,
            Status.RETURNED,
            changed=True,
            state=now,
            payout_micros=payout,
            reason=reason,
            returned_at_ms=self._at_ms,
            freed=freed,
            prints=tuple(prints_of(self._conn, lead.lead_id)),
        )

    def _check_returnable(self, lead: Lead, sale: Sale, terms: Returns | None) -> None:
        """Window and share. Until our transaction ends nobody else returns a lead of this order."""
        if terms is None:
            raise _Refused("not_returnable", f"Order {sale.order_id} allows no returns.")
        if too_late(terms, sale.offered_at_ms, self._at_ms):
            raise _Refused(
                "return_window_over", f"Order {sale.order_id} takes returns for {counted(terms.days, 'day')}."
            )
        if lead.test:  # it counts nowhere
            return
        lock_returns(self._conn, sale.order_id)
        since_ms = window_begins_ms(terms, self._at_ms)
        needed = bought_needed(terms, returned_since(self._conn, sale.order_id, since_ms))
        if needed is None or not bought_at_least(self._conn, sale.order_id, since_ms, needed):
            raise _Refused(
                "return_share_full",
                f"Order {sale.order_id} may return {share_percent(terms)}% of what it bought in "
                f"{counted(terms.days, 'day')}.",
            )

    def _move(
        self,
        lead: Lead,
        offer: Offer,
        now: LeadState,
        reason: str | None,
        payout_micros: int,
        detail: dict[str, Any],
    ) -> None:
        told = {"by": self._report.by, "order": offer.order_id, "told": self._report.status.value}
        settle(
            self._conn,
            Settlement(
                lead_id=lead.lead_id,
                from_states=(lead.state,),
                state=now.value,
                at_ms=self._at_ms,
                reason=reason,
                payout_micros=payout_micros,
                detail=told | detail,
            ),
        )

    def _was_told(self, sale: Sale) -> bool:
        """Whether this was told before, and changes nothing. Raises `_Refused` where it was told otherwise."""
        report = self._report
        if report.status is Status.DELIVERED:
            return sale.delivered_at_ms is not None
        if report.status is Status.RETURNED:
            return sale.returned_at_ms is not None
        if sale.converted_at_ms is None:
            return False
        if report.value_micros is None or report.value_micros == sale.value_micros:
            return True
        if sale.value_micros is not None:
            raise _Refused(
                "told_otherwise",
                f"Lead {sale.lead_id} is known to be worth {to_wire(sale.value_micros)} to you.",
            )
        return False

    def _as_it_stands(self, lead: Lead, offer: Offer, sale: Sale | None) -> Reported:
        """Nothing changes."""
        status = Status(offer.state) if sale is None else STATUS_OF[state_of(sale)]
        of_sale: dict[str, Any] = {}
        if sale is not None:
            of_sale = {
                "value_micros": sale.value_micros,
                "reason": sale.return_reason,
                "returned_at_ms": sale.returned_at_ms,
                "freed": sale.cap_freed,
            }
        return reported_of(
            lead,
            offer,
            status,
            changed=False,
            state=LeadState(lead.state),
            payout_micros=lead.payout_micros,
            **of_sale,
        )

    def _sale_of(self, offer: Offer) -> Sale | None:
        self._sales = sales_of(self._conn, offer.lead_id)
        return next((sale for sale in self._sales if sale.order_id == offer.order_id), None)

    def _unless_personal(self, lead: Lead, said: str | None) -> str | None:
        """A buyer's word, kept and shown in clear: nothing, if it may say whose lead it is. Of a forgotten lead nobody
        can tell, so nothing more is kept."""
        if said is None or not lead.sealed:
            return None
        try:
            personal = msgspec.json.decode(self._rules.sealer.open(lead.sealed, lead.lead_id.encode()))
        except HouseError:
            return None
        return None if repeats(said, personal.values()) else said
