"""Three views of what was traded in one campaign, held against each other: the answers that sellers got, the
ledger, and what the mock buyers were sent."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import select

from auction.ledger.engine import open_engine
from auction.ledger.schema import leads, offers, sales
from tests.servers import Client

Row = Mapping[str, Any]
Answer = dict[str, Any]


class Ledger:
    """One campaign's rows."""

    def __init__(self, url: str, campaign: str) -> None:
        engine = open_engine(url)
        try:
            with engine.connect() as conn:
                of_campaign = select(leads.c.lead_id).where(leads.c.campaign == campaign)
                self.leads: list[Row] = [
                    dict(row)
                    for row in conn.execute(select(leads).where(leads.c.campaign == campaign)).mappings()
                ]
                self.offers: list[Row] = [
                    dict(row)
                    for row in conn.execute(
                        select(offers).where(offers.c.lead_id.in_(of_campaign))
                    ).mappings()
                ]
                self.sales: list[Row] = [
                    dict(row)
                    for row in conn.execute(select(sales).where(sales.c.campaign == campaign)).mappings()
                ]
        finally:
            engine.dispose()

    @property
    def sold(self) -> Counter[str]:
        """How many leads each order bought."""
        return Counter(sale["order_id"] for sale in self.sales)

    @property
    def workers(self) -> set[str]:
        """Who took the leads in."""
        return {lead["worker"] for lead in self.leads}


async def reconcile(
    client: Client, ledger_url: str, campaign: str, buyers: Sequence[str], answers: Sequence[Answer]
) -> Ledger:
    """The ledger's view, once the other two are found to say the same, lead by lead and offer by offer.

    `answers` are those of all posts of the campaign, one a lead.
    """
    ledger = Ledger(ledger_url, campaign)
    by_lead = {answer["lead_id"]: answer for answer in answers}
    assert len(by_lead) == len(answers), "two posts were answered with one lead"
    assert by_lead.keys() == {lead["lead_id"] for lead in ledger.leads}
    for lead in ledger.leads:
        answer = by_lead[lead["lead_id"]]
        assert (answer["status"], answer.get("reason")) == (lead["state"], lead["reason"])
        assert round(answer.get("payout", 0) * 1_000_000) == lead["payout_micros"]
        bought = [sale["buyer_id"] for sale in ledger.sales if sale["lead_id"] == lead["lead_id"]]
        assert answer.get("buyers", []) == bought
    sent = [entry for buyer in buyers for entry in await client.seen(buyer, "post")]
    told = Counter(
        (entry["body"]["lead_id"], entry["body"]["order"], entry["answered"])
        for entry in sent
        if entry["body"]["campaign"] == campaign
    )
    assert not [offer for offer, times in told.items() if times > 1], "an offer was sent twice"
    accepted = {(lead_id, order) for lead_id, order, answered in told if answered == "accepted"}
    assert accepted == {(sale["lead_id"], sale["order_id"]) for sale in ledger.sales}
    assert accepted == {
        (offer["lead_id"], offer["order_id"]) for offer in ledger.offers if offer["state"] == "accepted"
    }
    return ledger
