"""The later life of sales against a small model: who may tell what when, and whose money it is then.

The ledger is a real one, and every report goes in as a postback does. The model knows an order's terms and, of each
sale, what was told; it adds the money up anew each time.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import Any

import msgspec
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from sqlalchemy import Engine

from auction.ledger.engine import open_engine, transaction
from auction.ledger.lead_queries import find_lead, lead_history_of, sales_of
from auction.ledger.leads import settle
from auction.ledger.migrations import upgrade
from auction.ledger.records import NewOffer, NewSale, OfferResult, Settlement
from auction.ledger.refused import latest_refused
from auction.ledger.sealing import Sealer
from auction.ledger.sold import Sold, sold_between
from auction.ledger.taking import take_lead
from auction.market.model import Returns
from auction.reports.entering import enter
from auction.reports.report import Refusal, Report, Reported, Rules, Status
from tests.ledger.rows import AT_MS, a_lead

DAY_MS = 86_400_000
HOUR_MS = 3_600_000
SEALER = Sealer([b"k" * 32])
_runs = count()
_ledgers: list[Engine] = []


@pytest.fixture(scope="module", autouse=True)
def ledger_of_all(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """One for all runs: each has orders of its own."""
    engine = open_engine(f"sqlite:///{tmp_path_factory.mktemp('later') / 'ledger.db'}")
    upgrade(engine)
    _ledgers.append(engine)
    yield
    _ledgers.remove(engine)
    engine.dispose()


class OfOffer(msgspec.Struct):
    """What the model knows of one offer of a lead."""

    lead: str
    order: str
    price: int
    payout: int
    at_ms: int
    taken: bool | None
    delivered: bool = False
    converted: bool = False
    value: int | None = None
    returned: bool = False
    freed: bool = False

    def stands(self) -> bool:
        return self.taken is True and not self.returned


some_buyers = st.sampled_from(
    [(True, None), (None, True), (True, True), (True, True), (True, "unknown"), ("unknown", "unknown")]
)
some_told = st.lists(
    st.tuples(
        st.integers(0, 99),
        st.sampled_from([*Status, Status.RETURNED]),
        st.sampled_from([None, 0, 5, 7]),
    ),
    min_size=1,
    max_size=10,
)


class LaterMachine(RuleBasedStateMachine):
    """Two buyers with an order each; leads are sold to one of them, or to both."""

    @initialize(
        terms=st.lists(
            st.sampled_from(["none", "0%", "34%", "50%", "100%", "100%", "100%"]).flatmap(
                lambda share: (
                    st.none()
                    if share == "none"
                    else st.builds(
                        Returns, days=st.integers(1, 3), share=st.just(share), frees_cap=st.booleans()
                    )
                )
            ),
            min_size=2,
            max_size=2,
        ),
        first=st.lists(some_buyers, min_size=1, max_size=4),
    )
    def begin(self, terms: list[Returns | None], first: list[tuple[Any, Any]]) -> None:
        self.run = f"r{next(_runs)}"
        self.engine = _ledgers[0]
        self.now_ms = AT_MS
        self.terms = dict(zip([f"{self.run}-a", f"{self.run}-b"], terms, strict=True))
        self.offers: list[OfOffer] = []
        self.far: dict[str, int] = {}  # lead → how far any of its buyers told since it was sold
        self.refusals = 0
        self.judged_by = Rules(self.terms.get, "USD", SEALER)

        for number, who in enumerate(first, 10):
            self.sell_to(who, number)

    @rule(who=some_buyers, price=st.integers(2, 50))
    def sell(self, who: tuple[Any, Any], price: int) -> None:
        self.sell_to(who, price)

    def sell_to(self, who: tuple[Any, Any], price: int) -> None:
        """To a, to b, or to both; of some it is not known whether they took it."""
        lead_id = f"{self.run}-{len(self.far)}"
        self.far[lead_id] = 0
        offers = [
            OfOffer(
                lead_id,
                order,
                price * 1_000_000,
                price * 800_000,
                self.now_ms,
                None if took == "unknown" else True,
            )
            for order, took in zip(self.terms, who, strict=True)
            if took is not None
        ]
        self.offers += offers
        taken = [offer for offer in offers if offer.taken]
        lead = a_lead(
            lead_id, lead_id=lead_id, created_at_ms=self.now_ms, sealed=SEALER.seal(b"{}", lead_id.encode())
        )
        with transaction(self.engine) as conn:
            take_lead(conn, lead, [self._new(offer) for offer in offers])
            settle(
                conn,
                Settlement(
                    lead_id=lead_id,
                    from_states=("offered",),
                    state="sold" if taken else "pending",
                    at_ms=self.now_ms,
                    results=tuple(
                        OfferResult(order_id=offer.order, state="accepted" if offer.taken else "unknown")
                        for offer in offers
                    ),
                    sales=tuple(
                        NewSale(
                            place=place,
                            order_id=offer.order,
                            buyer_id=f"{offer.order}-co",
                            price_micros=offer.price,
                            payout_micros=offer.payout,
                            offered_at_ms=offer.at_ms,
                            exclusive=False,
                        )
                        for place, offer in enumerate(taken, 1)
                    ),
                    places=2,
                    payout_micros=sum(offer.payout for offer in taken),
                ),
            )

    def _new(self, offer: OfOffer) -> NewOffer:
        return NewOffer(
            order_id=offer.order,
            buyer_id=f"{offer.order}-co",
            price_micros=offer.price,
            payout_micros=offer.payout,
            exclusive=False,
        )

    @rule(hours=st.integers(1, 40))
    def wait(self, hours: int) -> None:
        self.now_ms += hours * HOUR_MS

    @rule(told=some_told)
    def tell(self, told: list[tuple[int, Status, int | None]]) -> None:
        for at, status, value in told:
            self.tell_of(self.offers[at % len(self.offers)], status, value)

    def tell_of(self, offer: OfOffer, status: Status, value: int | None) -> None:
        report = Report(
            status=status,
            by=f"buyer {offer.order}-co",
            buyer_id=f"{offer.order}-co",
            lead_id=offer.lead,
            reason="duplicate",
            value_micros=value if status is Status.CONVERTED else None,
        )
        expected = self._expected(offer, status, report.value_micros)
        with transaction(self.engine) as conn:
            before = lead_history_of(conn, offer.lead)
            got = enter(conn, report, self.judged_by, self.now_ms)
            lines = len(lead_history_of(conn, offer.lead)) - len(before)
        if isinstance(expected, str):
            assert isinstance(got, Refusal), (got, expected)
            assert got.code == expected
            self.refusals += 1
            assert lines == 0
            return
        assert isinstance(got, Reported), (got, expected)
        assert got.changed == expected
        assert lines == int(expected)
        if expected:
            self._apply(offer, status, report.value_micros)

    def _expected(self, offer: OfOffer, status: Status, value: int | None) -> bool | str:
        """Whether it changes anything, or why it is refused."""
        if status in (Status.ACCEPTED, Status.REJECTED):
            if offer.taken is None:
                return True
            return False if offer.taken == (status is Status.ACCEPTED) else "impossible_status"
        if not offer.taken:
            return "impossible_status"
        if status is Status.DELIVERED:
            if offer.delivered:
                return False
            return "impossible_status" if offer.converted or offer.returned else True
        if status is Status.CONVERTED:
            if offer.converted and value in (None, offer.value):
                return False
            if offer.converted and offer.value is not None:
                return "told_otherwise"
            return "impossible_status" if offer.returned else True
        return False if offer.returned else self._returnable(offer)

    def _returnable(self, offer: OfOffer) -> bool | str:
        terms = self.terms[offer.order]
        if terms is None:
            return "not_returnable"
        since_ms = self.now_ms - terms.days * DAY_MS
        if offer.at_ms < since_ms:
            return "return_window_over"
        bought = [
            one for one in self.offers if one.order == offer.order and one.taken and one.at_ms >= since_ms
        ]
        returned = sum(one.returned for one in bought) + 1
        share = int(terms.share.removesuffix("%"))
        return True if returned * 100 <= share * len(bought) else "return_share_full"

    def _apply(self, offer: OfOffer, status: Status, value: int | None) -> None:
        others = [one for one in self.offers if one.lead == offer.lead and one is not offer]
        if status is Status.ACCEPTED:
            offer.taken = True
            if not any(one.stands() for one in others):
                self.far[offer.lead] = 0
        elif status is Status.REJECTED:
            offer.taken = False
        elif status is Status.DELIVERED:
            offer.delivered = True
            self.far[offer.lead] = max(self.far[offer.lead], 1)
        elif status is Status.CONVERTED:
            offer.converted, offer.value = True, value if offer.value is None else offer.value
            self.far[offer.lead] = 2
        else:
            terms = self.terms[offer.order]
            offer.returned, offer.freed = True, terms is not None and terms.frees_cap

    @invariant()
    def the_ledger_says_what_the_model_says(self) -> None:
        if not getattr(self, "far", None):
            return
        with self.engine.connect() as conn:
            for lead_id, far in self.far.items():
                self._check(conn, lead_id, far)
            for order in self.terms:
                counted = [one for one in self.offers if one.order == order and one.taken and not one.freed]
                told = sold_between(conn, "order", [order], 0, self.now_ms + 1).get(order, Sold(0, 0))
                assert told == Sold(len(counted), sum(one.price for one in counted))
            kept = [one for one in latest_refused(conn, 10_000) if one.lead_id.startswith(f"{self.run}-")]
            assert sum(one.times for one in kept) == self.refusals

    def _check(self, conn: Any, lead_id: str, far: int) -> None:
        offers = [one for one in self.offers if one.lead == lead_id]
        standing = [one for one in offers if one.stands()]
        lead = find_lead(conn, lead_id)
        assert lead is not None
        if standing:
            assert lead.state == ("sold", "delivered", "converted")[far]
        elif any(one.returned for one in offers):
            assert lead.state == "returned"
        else:
            assert lead.state == ("pending" if any(one.taken is None for one in offers) else "rejected")
        assert lead.payout_micros == sum(one.payout for one in standing)
        sales = {sale.order_id: sale for sale in sales_of(conn, lead_id)}
        assert sales.keys() == {one.order for one in offers if one.taken}
        for offer in offers:
            if not offer.taken:
                continue
            sale = sales[offer.order]
            assert (sale.price_micros, sale.margin_micros) == (offer.price, offer.price - offer.payout)
            assert (sale.stands, sale.cap_freed, sale.value_micros) == (
                not offer.returned,
                offer.freed,
                offer.value,
            )
            assert (sale.delivered_at_ms is not None, sale.converted_at_ms is not None) == (
                offer.delivered,
                offer.converted,
            )


LaterMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=12, deadline=None)
TestLater = LaterMachine.TestCase
