"""What is read from outside is what is there: journals, tables, planted names."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import msgspec

from auction.ledger.engine import open_engine, transaction
from auction.ledger.leads import settle
from auction.ledger.records import NewLead, NewOffer, NewSale, OfferResult, Settlement
from auction.ledger.taking import take_lead
from buyers_mock.journal import Journal
from buyers_mock.manner import Decision, Play
from tests.faults.history import LeadRow, OfferRow, Received, SaleRow
from tests.soak.evidence import planted_in, read_asked, read_ledger, read_received

POST = {
    "lead_id": "l1",
    "order": "a-1",
    "price": 31.5,
    "campaign": "solo",
    "lead": {"email": "qxz000007@example.com"},
}


def test_what_buyers_wrote_down(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal")
    body = msgspec.json.encode(POST)
    journal.write(1_000, "ann", b"l1:a-1", body, Play(b"", decision=Decision("accepted", b"yes")))
    journal.write(900, "ann", None, body, Play(b"", decision=Decision("rejected", b"no", "cap")))
    journal.write(1_100, "ann", None, body, Play(b"", fault="error_500"))
    journal.write(1_200, "ann", None, b"spoiled", Play(b"", decision=Decision("bad_request", b"no")))
    journal.ask(1_300, "ann")
    journal.ask(1_400, "ben")
    journal.ask(1_500, "ann")
    journal.close()
    assert read_asked([tmp_path / "journal", tmp_path / "none"]) == {"ann": 2, "ben": 1}
    first, second, third = read_received([tmp_path / "journal", tmp_path / "none"], clock_offset_ms=50)
    assert (first.at_ms, first.answered, first.accepted) == (950, "rejected: cap", False)
    assert second == Received(
        1_050, "ann", "a-1", "solo", "l1", "l1:a-1", 31_500_000, "qxz000007", "accepted"
    )
    assert third.answered == "nothing"


def test_the_ledger_by_plain_sql(ledger_url: str) -> None:
    """On both databases."""
    lead = NewLead(
        lead_id="l1",
        ping_id="p1",
        seller="acme",
        campaign="solo",
        created_at_ms=1,
        market_version=1,
        ping_fields={},
        sealed=b"s",
        body_hash=b"h",
        worker="w:1",
    )
    offer = NewOffer(order_id="a-1", buyer_id="ann", price_micros=10, payout_micros=8, exclusive=True)
    sale = NewSale(
        place=1,
        order_id="a-1",
        buyer_id="ann",
        price_micros=10,
        payout_micros=8,
        offered_at_ms=5,
        exclusive=True,
    )
    done = Settlement(
        lead_id="l1",
        from_states=("offered",),
        state="sold",
        at_ms=6,
        results=(OfferResult(order_id="a-1", state="accepted", answered_at_ms=6),),
        sales=(sale,),
        places=1,
        payout_micros=8,
        answer="sealed",
    )
    engine = open_engine(ledger_url)
    for step in (partial(take_lead, lead=lead, new_offers=[offer]), partial(settle, settlement=done)):
        with transaction(engine) as conn:
            step(conn)
    engine.dispose()
    ledger = read_ledger(ledger_url)
    assert ledger.leads == [LeadRow("l1", "p1", "solo", "sold", 8, "w:1")]
    assert ledger.offers == [OfferRow("l1", "a-1", "ann", "accepted", 1, 6)]
    assert ledger.sales == [SaleRow("l1", "a-1", "ann", 10, 8, 2, 5)]


def test_planted_names_and_phones_are_found_wherever_they_stand(tmp_path: Path) -> None:
    (tmp_path / "a.log").write_bytes(b"all is well: 15125550142 calls, s000123\n")
    (tmp_path / "b.log").write_bytes(b"\x00\xffQXZ000123\x00")
    (tmp_path / "c.log").write_bytes(b'{"phone":"+13125550199"} 13125550198')
    files = [*tmp_path.iterdir(), tmp_path / "none", tmp_path]
    found = planted_in(files, "qxz", ["+1 (312) 555-0199"])
    assert [one.partition(":")[0] for one in found] == ["b.log", "c.log"]
    assert planted_in(files, "qxz") == found[:1]
