"""The doors for whoever directs the play: what was sent, what was done, and manners changed while it runs.

GET /_log?buyer=&kind=ping|post&after=N    DELETE /_log
GET /_stats    GET /_manners    PUT /_manners/<buyer>    POST /_reset
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import msgspec

from buyers_mock.manner import NOT_JSON, http
from buyers_mock.script import Mistake, ScriptError, changed
from buyers_mock.stage import Stage


def answer(stage: Stage, method: str, target: str, body: bytes) -> bytes:
    """The HTTP answer to `method` on `target` (a path that begins with `/_`, and its query)."""
    url = urlsplit(target)
    if (method, url.path) == ("GET", "/_log"):
        return _log(stage, dict(parse_qsl(url.query)))
    if (method, url.path) == ("DELETE", "/_log"):
        stage.log.clear()
        return _json({"cleared": True})
    if (method, url.path) == ("GET", "/_stats"):
        return _json(_stats(stage))
    if (method, url.path) == ("GET", "/_manners"):
        return _json({buyer: player.manner for buyer, player in stage.players.items()})
    if (method, url.path) == ("POST", "/_reset"):
        stage.reset()
        return _json({"reset": True})
    if method == "PUT" and url.path.startswith("/_manners/"):
        return _change(stage, url.path.removeprefix("/_manners/"), body)
    return problem("404 Not Found", f"no such door: {method} {url.path}")


def problem(status: str, detail: str, mistakes: Sequence[Mistake] = ()) -> bytes:
    """An RFC 9457 answer."""
    said: dict[str, Any] = {"status": int(status[:3]), "title": status[4:], "detail": detail}
    if mistakes:
        said["errors"] = mistakes
    return http(status, msgspec.json.encode(said), "application/problem+json")


def _json(said: object) -> bytes:
    return http("200 OK", msgspec.json.encode(said))


def _log(stage: Stage, query: dict[str, str]) -> bytes:
    buyer, kind, after = query.get("buyer"), query.get("kind"), query.get("after", "0")
    mistakes = [Mistake(key, "not known") for key in query.keys() - {"buyer", "kind", "after"}]
    if kind not in (None, "ping", "post"):
        mistakes.append(Mistake("kind", "expected ping or post"))
    if not (after.isascii() and after.isdigit() and len(after) <= 18):
        mistakes.append(Mistake("after", "expected the number of an entry"))
    if mistakes:
        return problem("422 Unprocessable Content", "the query has mistakes", mistakes)
    log = stage.log
    entries = log.entries(buyer=buyer, kind=kind, after=int(after))
    return _json({"entries": entries, "last": log.last, "dropped": log.dropped})


def _stats(stage: Stage) -> dict[str, Any]:
    return {
        "buyers": {buyer: player.counts for buyer, player in stage.players.items()},
        "pending": stage.pending,
        "turned_away": stage.turned_away,
        "log_dropped": stage.log.dropped,
    }


def _change(stage: Stage, buyer: str, body: bytes) -> bytes:
    player = stage.players.get(buyer)
    if player is None:
        return problem("404 Not Found", f"no buyer `{buyer}` is played")
    try:
        player.change(changed(player.manner, msgspec.json.decode(body)))
    except NOT_JSON as error:
        return problem("422 Unprocessable Content", "the manner is no JSON", [Mistake("manner", str(error))])
    except ScriptError as error:
        return problem("422 Unprocessable Content", "the manner has mistakes", error.mistakes)
    return _json(player.manner)
