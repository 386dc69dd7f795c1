"""Posts: an offer can be posted once, so each run of posts is prepared by a run of pings, which is not measured."""

from __future__ import annotations

import msgspec

from loadtest.bench import book
from loadtest.bench.contenders import OURS
from loadtest.bench.generator import Load
from loadtest.bench.requests import numbered_once
from loadtest.bench.stage import CONNECTIONS, MAIN, Stage
from loadtest.bench.taken import Taken


class _Offer(msgspec.Struct):
    ping_id: str


def posted(stage: Stage, posters: int, seconds: float) -> Taken:
    """Pings for so long, then a post for each of their offers, so many at once. Raises `LoadError`."""
    ours = stage.ours
    pinged = stage.load(ours, MAIN, keep=True).closed(CONNECTIONS, seconds, warm_s=0.01)
    offers = msgspec.json.Decoder(_Offer)
    bodies = [{"ping_id": offers.decode(body).ping_id, "lead": book.person()} for body in pinged.bodies]
    posts = numbered_once("/post", {"Authorization": f"Bearer {book.KEY}"}, bodies)
    assert ours.name == OURS
    return Load(ours.port, posts, expected=b'"status":"sold"', watch=stage.watched(ours)).closed(
        posters, None
    )
