"""The post's way, top to bottom: `PostService.post`, `sell`, and from there `selling`.

The order of things is the promise: a post is *claimed* before it is read, the intent is *durable* before anything
leaves the house, a place is *kept* before its buyer is asked to pay for it, and the answer is *durable* before
it is given (P1, P3, P4). Whom to offer to next, and what the lead then is, `sale` decides.

A store that fails before anything was offered costs the seller a 503 and no more: the same post can be sent again.
`claiming` and `book` see to it that what such a step may have left behind is taken back. A worker that ends in between
leaves a lead that another one finishes (`recovery`), by the same way from `selling` on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from time import perf_counter

import uuid_utils
from msgspec.structs import replace

from auction.clock import Clock
from auction.errors import FieldMistake, HouseError, SellerError
from auction.ledger.faults import TakenOver
from auction.ledger.records import AlreadyTaken, Refused, Taken
from auction.ledger.sealing import Sealer
from auction.market.market import CampaignMarket, TradedSeller
from auction.market.model import FieldValue
from auction.ping.bids import Win, choice_of
from auction.ping.floor import Floor
from auction.ping.offer import OpenPing
from auction.ping.service import PingService, campaign_for
from auction.post.answer import Answers, PostRequest
from auction.post.book import LeadBook
from auction.post.claiming import Claiming, Opened, another_body, in_progress
from auction.post.lease import Lease
from auction.post.offering import Offering
from auction.post.owed import Owed
from auction.post.records import LeadDraft, draft_lead
from auction.post.sale import Sale
from auction.post.selling import Course, Selling
from auction.suppression.shelf import Shelf


class PostService:
    """Sells leads. One per process; the posts at one time are bounded by `most_posts`."""

    def __init__(
        self,
        floor: Callable[[], Floor],
        claiming: Claiming,
        book: LeadBook,
        offering: Offering,
        selling: Selling,
        pings: PingService,
        shelf: Shelf,
        sealer: Sealer,
        clock: Clock,
        lease: Lease,
        most_posts: int,
    ) -> None:
        self._floor = floor
        self.claiming = claiming
        self.book = book
        self._offering = offering
        self.selling = selling
        self._pings = pings
        self._shelf = shelf
        self._sealer = sealer
        self._answers = Answers(sealer)
        self._clock = clock
        self._lease = lease
        self._most_posts = most_posts
        self.running = 0
        self.turned_away = 0
        self.tally = offering.tally

    async def close(self) -> None:
        """Take back what is owed still, as far as the stores let us."""
        await asyncio.gather(*(one.close() for each in self.owed.values() for one in each))

    @property
    def steps_owed(self) -> int:
        """Steps that the stores did not take yet."""
        return sum(one.waiting for each in self.owed.values() for one in each)

    @property
    def owed(self) -> Mapping[str, tuple[Owed, ...]]:
        """What is owed to each store: steps that it did not take yet."""
        return {"counters": (self.claiming.owed, self._offering.owed), "ledger": (self.book.owed,)}

    async def post(self, seller: TradedSeller, request: PostRequest) -> bytes:
        """One post, from the door to its answer (JSON). Raises `SellerError` and `HouseError`."""
        lead_id = uuid_utils.uuid7().hex
        request = replace(request, body_hash=self.keyed(request.body_hash))
        with self.place():
            opened = await self.claiming.claim(seller, request, lead_id)
            if isinstance(opened, bytes):
                return opened
            ping = opened.ping
            try:
                floor = self._floor()
                campaign = campaign_for(floor, seller, ping.campaign)
                values, changed = _decode(floor, campaign, request, ping)
                if changed:
                    opened = await self._auction_again(floor, campaign, seller, ping, values)
                if request.buyer is not None:
                    opened = _chosen(opened, request.buyer, again=changed)
            except BaseException:
                await self.claiming.give_up(request.ping_id, lead_id)
                raise
            return await self.sell(floor, campaign, seller, opened, values, request, lead_id)

    async def sell(
        self,
        floor: Floor,
        campaign: CampaignMarket,
        seller: TradedSeller,
        opened: Opened,
        values: dict[str, FieldValue],
        request: PostRequest,
        lead_id: str,
    ) -> bytes:
        """The intent durable, the places kept, and then offered until it is sold, refused by all, or nobody knows."""
        ping = opened.ping
        suppressed = self._shelf.hit(campaign.suppression_lists, values)
        draft = draft_lead(
            campaign,
            ping,
            values,
            body_hash=request.body_hash,
            lead_id=lead_id,
            worker=await self._worker(floor, ping, lead_id),
            at_ms=ping.post_instant(self._clock.now_ms()),
            currency=floor.market.house.currency,
            sealer=self._sealer,
            plan=opened.record,
            suppressed_by=suppressed.id if suppressed else None,
            keyed=request.keyed,
        )
        course = Course(
            floor,
            draft,
            Sale(ping.ranked, ping.wins, ping.terms, campaign.rules.on_reject, ping.chosen),
            draft.lead.created_at_ms,
        )
        wins = course.sale.next_offers()
        taken = await self._take(floor, draft, wins)
        if not isinstance(taken, Taken):
            return taken
        course.repeated = taken.repeated
        self.claiming.forget(ping)
        try:
            kept = await self._keep(floor, draft, wins)
            return await self.selling.go_on(course, kept)
        except TakenOver:  # we slept, and were held for dead: whoever has the lead now answers
            answer = await self.claiming.earlier(seller, request)
            if answer is None:
                raise in_progress() from None
            return answer

    async def _take(self, floor: Floor, draft: LeadDraft, wins: Sequence[Win]) -> Taken | bytes:
        """The intent, durable before anything leaves the house; or the answer, if the lead is not to be offered."""
        lead = draft.lead
        try:
            taken = await self.book.take(draft, wins)
        except HouseError:
            await self._leave(floor, draft.ping, draft.lead_id, wins)
            raise
        if isinstance(taken, AlreadyTaken):
            return await self._taken_before(floor, draft, taken)
        if isinstance(taken, Refused):
            await self._offering.give_back(floor, draft.ping, draft.ping.wins)
            assert lead.refused_answer is not None
            await self.claiming.finish(lead.ping_id, lead.lead_id)
            return self._answers.open(lead.lead_id, lead.refused_answer)
        return taken

    async def _taken_before(self, floor: Floor, draft: LeadDraft, taken: AlreadyTaken) -> bytes:
        """The answer of the lead that the ledger has of this ping, or of this request's key. Raises `SellerError` 409.

        Where it has another ping's, this one was auctioned, or claimed, for nothing. Held for a direct lead, whose ping
        nobody was told of, its places go. The offer of a ping that its seller knows stands again, with its places (P3):
        it may well have been made for another lead.
        """
        lead = draft.lead
        of_this_ping = taken.ping_id == lead.ping_id
        if not of_this_ping and lead.ping_id == lead.keyed:
            await self._offering.give_back_held(floor, draft.ping)
        same = taken.body_hash in (lead.body_hash, b"")  # of a forgotten lead no hash is left
        if same and taken.answer is not None and of_this_ping:
            await self.claiming.finish(lead.ping_id, lead.lead_id)
        else:
            await self.claiming.give_up(lead.ping_id, lead.lead_id)
        if same and taken.answer is not None:
            return self._answers.open(taken.lead_id, taken.answer)
        raise in_progress() if same else another_body()

    async def _keep(self, floor: Floor, draft: LeadDraft, wins: Sequence[Win]) -> dict[str, bool]:
        """The places of the winners. If the counters are away now, before anything was sent, the post never was."""
        try:
            return await self._offering.keep(floor, draft, wins, draft.lead.created_at_ms)
        except HouseError:
            await self.book.void(draft, wins)
            await self._leave(floor, draft.ping, draft.lead_id, wins)
            raise

    async def _worker(self, floor: Floor, ping: OpenPing, lead_id: str) -> str:
        """The name that this worker takes the lead in under. Raises `HouseError` where it has none that stands."""
        try:
            return await self._lease.holder()
        except HouseError:
            await self._leave(floor, ping, lead_id, ping.wins)
            raise

    async def _leave(self, floor: Floor, ping: OpenPing, lead_id: str, wins: Sequence[Win]) -> None:
        """Nothing was offered: the ping can be posted again; a direct lead's cannot, so its places go."""
        await self.claiming.give_up(ping.ping_id, lead_id)
        if not ping.opens:
            await self._offering.give_back(floor, ping, wins)

    async def _auction_again(
        self,
        floor: Floor,
        campaign: CampaignMarket,
        seller: TradedSeller,
        ping: OpenPing,
        values: dict[str, FieldValue],
    ) -> Opened:
        """The lead is not what was pinged: by the campaign's `on_mismatch: auction` it is auctioned as it is."""
        await self._offering.give_back(floor, ping, ping.wins)
        again = await self._pings.again(floor, campaign, seller, ping, values)
        if again is None:
            await self.claiming.discard(ping)
            raise SellerError(
                410, "no_offer", "The lead changed since the ping, and nobody bid on it as it is now."
            )
        return Opened(replace(again, print_of=ping.print_of, opens=True), b"")

    def keyed(self, body_hash: bytes) -> bytes:
        """A plain hash of a body could be guessed from all phone numbers that there are; a keyed one can not."""
        return self._sealer.keyed_hash("body", body_hash)

    @contextmanager
    def place(self) -> Iterator[None]:
        """One of the posts that may run at once. Raises `HouseError` when all places are taken."""
        if self.running >= self._most_posts:
            self.turned_away += 1
            raise HouseError("house_full", "Too many posts are running; try again shortly.")
        self.running += 1
        began_s = perf_counter()
        try:
            yield
        finally:
            self.running -= 1
            self.tally.whole_us.add(int((perf_counter() - began_s) * 1e6))


def _chosen(opened: Opened, buyer_id: str, *, again: bool) -> Opened:
    """The open ping with the choice of its seller. `again`: it was auctioned since, and who bid then may not have now;
    then the lead goes to those who won. Raises `SellerError` 422 where this buyer made no bid."""
    ping = opened.ping
    chosen = choice_of(buyer_id, ping.ranked, ping.wins, ping.terms)
    if chosen is None and not again:
        mistake = FieldMistake("buyer_id", "is none of the buyers of this ping")
        raise SellerError(422, "no_such_bid", "The buyer did not bid on this ping.", mistakes=[mistake])
    return opened if chosen is None else Opened(replace(ping, chosen=chosen), b"")


def _decode(
    floor: Floor, campaign: CampaignMarket, request: PostRequest, ping: OpenPing
) -> tuple[dict[str, FieldValue], bool]:
    """All fields of the lead; and whether some changed since the ping, where the campaign allows that."""
    decoded = campaign.decoder.post(request.lead, ping.values)
    if decoded.mistakes:
        raise SellerError(422, "bad_fields", "Some fields are wrong.", mistakes=decoded.mistakes)
    mistakes = [
        FieldMistake(f"lead.{change.field}", f"was {change.was!r} in the ping, is {change.now!r} now")
        for change in decoded.changed
    ]
    if ping.hashed:
        now = floor.hashes.kept(campaign.decoder.digests(decoded.values, ping.hashed))
        others = [name for name, was in ping.hashed.items() if now.get(name) != was]
        mistakes += [FieldMistake(f"lead.{name}", "is not what was hashed in the ping") for name in others]
    if mistakes and campaign.rules.on_mismatch == "reject":
        raise SellerError(
            422, "ping_fields_changed", "The lead is not the one that was pinged.", mistakes=mistakes
        )
    return decoded.values, bool(mistakes)
