"""Where the consumer of a lead may be sent on to, by the ledger: the one place where redirect URLs are kept."""

from __future__ import annotations

from functools import partial

from auction.ledger.lead_queries import find_lead
from auction.ledger.reader import Reader
from auction.post.answer import Answers, decode_post_answer


class LeadLinks:
    """Looks them up. They lie sealed, within the answers of their leads."""

    def __init__(self, reader: Reader, answers: Answers) -> None:
        self._reader = reader
        self._answers = answers

    async def link_of(self, lead_id: str) -> str | None:
        """The redirect URL that the seller was given with this lead; None where there was none, or it was forgotten.

        Raises `HouseError` where the ledger does not answer, or the key is gone that it was sealed with.
        """
        lead = await self._reader.read(partial(find_lead, lead_id=lead_id))
        if lead is None or lead.answer is None:
            return None
        return decode_post_answer(self._answers.open(lead_id, lead.answer)).redirect_url
