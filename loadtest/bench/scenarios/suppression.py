"""What a suppression list of a million phones adds to a ping that tells the hash of one."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from hashlib import sha256
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from auction.market.model import Campaign, Catalogue, FieldSpec, SuppressionList
from loadtest.bench import book, contenders
from loadtest.bench.book import Line
from loadtest.bench.contenders import Contender
from loadtest.bench.figures import Figure
from loadtest.bench.generator import Load, LoadError
from loadtest.bench.requests import HOLE, numbered
from loadtest.bench.rounds import Rounds, ratio
from loadtest.bench.stage import CONNECTIONS, MOST_WRONG, Case, Stage
from loadtest.stack import ROOT

ENTRIES = 1_000_000
LIST = "do-not-call"
CASE = Case("10 buyers, a phone's hash in the ping", "hashed", 10)
LINE = Line("hashed", 300, plain=10)
ROUNDS = 3
"""Times those of other scenarios: a few per cent are sought."""
LISTED = "+15125550142"
_LOAD_WITHIN_S, _SEEN_WITHIN_S = 300, 30


def run(stage: Stage) -> list[Figure]:
    """CPU per ping with the list over that without one, in turns, the pings alike. Raises `LoadError`."""
    plain = stage.catalogue([LINE])
    plain = replace(plain, campaigns=tuple(map(_by_hash, plain.campaigns)))
    listing = replace(plain, suppression_lists=(SuppressionList(id=LIST, fields=("phone",)),))
    with ExitStack() as stack:
        without = stack.enter_context(_ours(stage, plain, "unlisted"))
        listed = stack.enter_context(_ours(stage, listing, "listed"))
        seconds = _fill(stage.folder, stage.folder / "listed")
        _wait_until_seen(listed)
        rounds = {one: Rounds(one, [], []) for one in ("unlisted", "listed")}
        for _ in range(ROUNDS * stage.pace.rounds):
            for name, one in (("unlisted", without), ("listed", listed)):
                rounds[name].taken.append(_load(stage, one).closed(CONNECTIONS, stage.pace.round_s))
                rounds[name].asks_per_ping.append(CASE.buyers)
    stage.rounds[CASE.name] = [each.plain() for each in rounds.values()]
    wrong = sum(each.wrong for each in rounds.values())
    if wrong > MOST_WRONG * sum(taken.answered for each in rounds.values() for taken in each.taken):
        said = next(each.first_wrong for each in rounds.values() if each.wrong)
        raise LoadError(f"{wrong} answers were wrong: {said}")
    grown = 100 * (ratio(rounds["listed"], rounds["unlisted"]) - 1)
    before_us, after_us = rounds["unlisted"].cpu_us, rounds["listed"].cpu_us
    note = f"{before_us:.0f} µs without, {after_us:.0f} µs with; loaded in {seconds:.0f} s"
    name = f"a ping with {ENTRIES:,} suppressed hashes costs more by"
    return [Figure("suppression.growth", name, grown, "%", note)]


def _ours(stage: Stage, catalogue: Catalogue, name: str) -> Any:
    return contenders.ours(stage.folder, catalogue, stage.cores, name)


def _by_hash(campaign: Campaign) -> Campaign:
    """The campaign with phones that a ping carries as hashes; and no rule on duplicates, which would be looked at."""

    def hashed(spec: FieldSpec) -> FieldSpec:
        return replace(spec, ping_as="hash") if spec.name == "phone" else spec

    return replace(campaign, fields=tuple(map(hashed, campaign.fields)), duplicates=None)


def _bodies() -> list[dict[str, Any]]:
    bodies = book.pings(CASE.campaign)
    return [{**body, "lead": {**body["lead"], "phone": f"+999{HOLE}"}} for body in bodies]


def _headers() -> dict[str, str]:
    return {"Authorization": f"Bearer {book.KEY}"}


def _load(stage: Stage, one: Contender) -> Load:
    pings = numbered("/ping", _headers(), _bodies())
    return Load(one.port, pings, expected=one.expected(CASE.buyers), watch=stage.watched(one))


def _fill(folder: Path, data_dir: Path) -> float:
    """Loads the list as an operator does; how long that took. Raises `LoadError`."""
    file = folder / "hashes.txt"
    file.write_text("\n".join(_hashes(ENTRIES)))
    command = [sys.executable, "-m", "auction", "suppress", "load", LIST, str(file), "--hashed", "sha256"]
    began_s = time.monotonic()
    done = subprocess.run(  # noqa: S603  (our own command)
        [*command, "--data-dir", str(data_dir)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=_LOAD_WITHIN_S,
    )
    if done.returncode != 0:
        raise LoadError(f"the list could not be loaded: {done.stderr.strip()}")
    return time.monotonic() - began_s


def _hashes(count: int) -> Iterator[str]:
    yield sha256(LISTED.encode()).hexdigest()
    for number in range(1, count):
        yield sha256(b"+888%010d" % number).hexdigest()


def _wait_until_seen(one: Contender) -> None:
    """Until the server says of the phone that is listed that it is. Raises `LoadError`."""
    (body, *_) = book.pings(CASE.campaign)
    body["lead"]["phone"] = LISTED
    give_up_s, reason = time.monotonic() + _SEEN_WITHIN_S, None
    while reason != "suppressed":
        if time.monotonic() > give_up_s:
            raise LoadError(f"the server did not take up the list: {reason}")
        time.sleep(0.2)
        reason = _reason_of(one, body)


def _reason_of(one: Contender, body: dict[str, Any]) -> str | None:
    line = HTTPConnection("127.0.0.1", one.port, timeout=10)
    try:
        body["sub_id"] = f"probe-{time.monotonic_ns()}"
        line.request("POST", "/ping", json.dumps(body), {**_headers(), "Content-Type": "application/json"})
        answer: dict[str, str] = json.loads(line.getresponse().read())
        return answer.get("reason", answer.get("code"))
    finally:
        line.close()
