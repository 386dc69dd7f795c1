"""Which part of a request's way a piece of code belongs to: one table, by file and, where that has two parts, function.

A sample belongs to the innermost frame that the table names: what a library does is counted where it was called from.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

WIRE = "HTTP in and out"
DECODE = "decode"
ADMIT = "admit"
ELIGIBLE = "eligible"
ASK = "ask (write, send)"
RECEIVE = "receive (read, parse)"
RANK = "collect and rank"
HOLD = "hold"
ANSWER = "answer"
JOURNAL = "journal and tally"
CLAIM = "claim"
SALE = "sale and records"
SEAL = "seal"
DELIVER = "deliver"
BOOK = "book"
WAY = "the way itself"
LINK = "counters link"
LEDGER = "ledger threads"
KEEPING = "housekeeping"
LOOP = "event loop"
OTHER = "other"

STAGES: Mapping[str, str] = {
    WIRE: "request read, response written, the server's protocol",
    DECODE: "JSON and fields, checked",
    ADMIT: "key, rate limit, repeated ping",
    ELIGIBLE: "the market's masks: who may be asked",
    ASK: "a body for each buyer, and its send",
    RECEIVE: "the buyers' answers: recv, HTTP, JSON",
    RANK: "bids collected, ranked, chosen",
    HOLD: "places in caps, the open ping",
    ANSWER: "what the seller is told",
    JOURNAL: "the log's row, counters, histograms, health",
    CLAIM: "one post per ping",
    SALE: "whom to offer to, what the lead is",
    SEAL: "what names a person, encrypted and hashed",
    DELIVER: "the lead sent to its buyer",
    BOOK: "intent and outcome, handed to the ledger",
    WAY: "`service.py`: the order of things",
    LINK: "calls to Valkey: joined, written, replies read",
    LEDGER: "rows encoded and committed, off the hot path",
    KEEPING: "watching for new markets, sweeps, metrics left for others",
    LOOP: "uvloop: epoll, callbacks, the server's recv",
    OTHER: "in none of the above",
}
"""All stages, in the order in which they are met, and what each is."""


class Rule(NamedTuple):
    """Code whose file's path begins with `path`, and whose function's qualified name matches, is of this stage."""

    stage: str
    path: str
    function: str = ""


CALLER = ""
"""The stage of what belongs to whoever called it."""

RULES: Sequence[Rule] = (
    # shared words: no stage of their own
    *(Rule(CALLER, f"auction/{name}.py") for name in ("errors", "clock", "log", "settings", "market/money")),
    Rule(CALLER, "auction/market/model.py"),
    Rule(CALLER, "auction/market/reasons.py"),
    # the doors
    Rule(KEEPING, "auction/postbacks/"),
    Rule(KEEPING, "auction/api/metrics.py"),
    Rule(DECODE, "auction/api/", r"read_|Said|_Envelope|decode|_all_keys|_colons|_check_type|hash_of"),
    Rule(ANSWER, "auction/api/", r"encode|_headers|headers_of_|problem"),
    Rule(ADMIT, "auction/api/", r"key_of"),
    Rule(WIRE, "auction/api/"),
    *(Rule(WIRE, f"{library}/") for library in ("uvicorn", "httptools", "starlette")),
    # the ping
    Rule(ADMIT, "auction/exchange.py", r"seller_of"),
    Rule(KEEPING, "auction/swapping.py"),
    Rule(KEEPING, "auction/recovery/"),
    Rule(ADMIT, "auction/ping/service.py", r"_admit|fingerprint|campaign_for"),
    Rule(ADMIT, "auction/ping/rate.py"),
    Rule(ELIGIBLE, "auction/ping/service.py", r"_eligible|terms_for"),
    Rule(WAY, "auction/ping/service.py"),
    Rule(WAY, "auction/exchange.py"),
    Rule(WAY, "auction/ping/deadlines.py"),
    Rule(ADMIT, "auction/market/market.py", r"seller_of_key"),
    Rule(ADMIT, "auction/market/sellers.py"),
    *(Rule(DECODE, f"auction/market/{name}.py") for name in ("fields", "values", "patterns")),
    Rule(HOLD, "auction/market/windows.py"),
    Rule(HOLD, "auction/market/wallclock.py"),
    Rule(ELIGIBLE, "auction/market/"),
    Rule(ELIGIBLE, "auction/ping/floor.py", r"known_full"),
    Rule(HOLD, "auction/ping/floor.py"),
    Rule(ASK, "auction/ping/asking.py"),
    Rule(ASK, "auction/counters/allowances.py"),
    Rule(ASK, "auction/buyers/protocol.py", r"PingBody"),
    Rule(ASK, "auction/buyers/http1.py", r"frame"),
    Rule(ASK, "auction/buyers/connection.py", r"carry|_send|_write"),
    *(Rule(ASK, f"auction/buyers/{name}.py") for name in ("signing", "target", "opening", "address", "tls")),
    Rule(ASK, "auction/buyers/fanout.py", r"\.ask$"),
    Rule(KEEPING, "auction/buyers/", r"sweep|prepare|refresh|resolve"),
    Rule(JOURNAL, "auction/buyers/health.py"),
    Rule(DELIVER, "auction/buyers/delivery.py"),
    Rule(DELIVER, "auction/buyers/protocol.py", r"[Pp]ost"),
    Rule(DELIVER, "aiohttp/"),
    Rule(RECEIVE, "auction/buyers/"),
    *(Rule(RANK, f"auction/ping/{name}.py") for name in ("collect", "auction", "bids")),
    Rule(ANSWER, "auction/ping/offer.py", r"answer|iso_utc|Answer"),
    Rule(HOLD, "auction/ping/offer.py"),
    Rule(HOLD, "auction/ping/holding.py"),
    Rule(ASK, "auction/ping/hashes.py"),
    Rule(ELIGIBLE, "auction/ping/inbound.py"),
    Rule(JOURNAL, "auction/ping/journal.py"),
    Rule(JOURNAL, "auction/ping/tally.py"),
    Rule(JOURNAL, "auction/tally.py"),
    Rule(KEEPING, "auction/measures/"),
    # the counters
    Rule(LINK, "auction/counters/calls.py"),
    Rule(LINK, "auction/counters/link.py"),
    Rule(LINK, "auction/counters/scripts.py"),
    Rule(ADMIT, "auction/counters/", r"admit|Admitted|Limited|Repeat"),
    Rule(CLAIM, "auction/counters/", r"claim|finish|forget"),
    Rule(HOLD, "auction/counters/"),
    # the post
    Rule(SALE, "auction/suppression/"),
    Rule(CLAIM, "auction/post/claiming.py"),
    Rule(CLAIM, "auction/post/owed.py"),
    Rule(DELIVER, "auction/post/offering.py"),
    Rule(SALE, "auction/post/objection.py"),
    Rule(BOOK, "auction/post/book.py"),
    Rule(ANSWER, "auction/post/answer.py"),
    Rule(ANSWER, "auction/views/sellers.py"),
    Rule(WAY, "auction/post/service.py"),
    Rule(WAY, "auction/post/direct.py"),
    *(Rule(KEEPING, f"auction/post/{name}.py") for name in ("waiting", "waits")),
    Rule(SALE, "auction/post/"),
    Rule(SEAL, "auction/ledger/sealing.py"),
    Rule(SEAL, "cryptography/"),
    # the ledger, called from the loop; what its threads do is theirs whatever it calls
    Rule(JOURNAL, "auction/ledger/writer.py", r"log_ping"),
    Rule(JOURNAL, "auction/ledger/pings.py"),
    Rule(BOOK, "auction/ledger/"),
    # around it all
    Rule(KEEPING, "auction/changes/applying.py"),
    Rule(KEEPING, "auction/changes/changing.py"),
    Rule(KEEPING, "auction/changes/lead_routes.py"),
    Rule(KEEPING, "auction/reconcile/seeding.py"),
    Rule(KEEPING, "auction/reconcile/rebuilding.py"),
    Rule(KEEPING, "auction/reconcile/recalling.py"),
    Rule(KEEPING, "auction/reconcile/reconciling.py"),
    Rule(KEEPING, "auction/reconcile/comparing.py"),
    Rule(KEEPING, "auction/postbacks/"),
    Rule(KEEPING, "auction/forgetting.py"),
    Rule(KEEPING, "auction/catalogue/"),
    Rule(LOOP, "auction/cli/"),
    Rule(LOOP, "auction/__main__.py"),
    Rule(LOOP, "uvloop/"),
    Rule(LOOP, "asyncio/runners.py"),
)

LEDGER_THREADS = ("ledger-",)
_FRAME = re.compile(r"^(?P<function>.+) \((?P<path>[^()]*?)(?::\d+)?\)$")


class Frame(NamedTuple):
    """One frame of a stack: the function's qualified name, and its file as py-spy shortens it."""

    function: str
    path: str


def frame_of(text: str) -> Frame:
    """`Connection.carry (auction/buyers/connection.py:65)` read; the line is left out."""
    found = _FRAME.match(text)
    return Frame(found["function"], found["path"]) if found else Frame(text, "")


def stage_of(thread: str, frames: Iterable[Frame]) -> str:
    """The stage of a stack, outermost frame first, of the thread of this name."""
    if thread.startswith(LEDGER_THREADS):
        return LEDGER
    for frame in reversed(tuple(frames)):
        if stage := rule_of(frame):
            return stage
    return OTHER


@lru_cache(maxsize=65_536)
def rule_of(frame: Frame) -> str | None:
    """What the table says of one frame: a stage, `CALLER`, or None where it says nothing."""
    for stage, path, function in RULES:
        if frame.path.startswith(path) and re.search(function, frame.function):
            return stage
    return None
