"""The same ten buyers over TLS, on connections that are kept."""

from __future__ import annotations

from loadtest.bench.contenders import AIOHTTP, GO, OURS
from loadtest.bench.figures import Figure
from loadtest.bench.scenarios.main import compared
from loadtest.bench.stage import Case, Stage

CASE = Case("10 HTTPS buyers", "tls-10", 10, tls=True)


def run(stage: Stage) -> list[Figure]:
    """CPU per ping, and its ratio to each reference that speaks TLS."""
    if not stage.buyers.ports.tls:
        stage.notes.append("https is left out: the buyers were built without OpenSSL")
        return []
    return compared("https", "10 HTTPS buyers", stage.alternate([OURS, GO, AIOHTTP], CASE))
