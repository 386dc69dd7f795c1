"""Posts: an offer can be posted once, so each run of posts is prepared by a run of pings, which is not measured."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from loadtest.bench import book
from loadtest.bench.contenders import OURS
from loadtest.bench.generator import Load
from loadtest.bench.requests import numbered_once
from loadtest.bench.stage import CONNECTIONS, MAIN, Stage
from loadtest.bench.taken import Taken


class _Offer(msgspec.Struct):
    """An answer to a ping; one that is no offer may have no `ping_id`."""

    status: str | int
    ping_id: str = ""


def posted(stage: Stage, posters: int, seconds: float) -> Taken:
    """Pings for so long, then a post for each of their offers, so many at once. Raises `LoadError`."""
    return posts_of(stage, offers(stage, seconds)).closed(posters, None)


def offers(stage: Stage, seconds: float) -> list[str]:
    """The ids of pings that found an offer, as many as come in so long. Raises `LoadError`."""
    pinged = stage.load(stage.ours, MAIN, keep=True).closed(CONNECTIONS, seconds, warm_s=0.01)
    read = msgspec.json.Decoder(_Offer)
    answers = map(read.decode, pinged.bodies)
    return [answer.ping_id for answer in answers if answer.status == "offer"]


def posts_of(stage: Stage, ping_ids: Sequence[str]) -> Load:
    """A post for each of these pings."""
    ours = stage.ours
    assert ours.name == OURS
    bodies = [{"ping_id": ping_id, "lead": book.person()} for ping_id in ping_ids]
    posts = numbered_once("/post", {"Authorization": f"Bearer {book.KEY}"}, bodies)
    return Load(ours.port, posts, expected=b'"status":"sold"', watch=stage.watched(ours))
