"""The buyers that everybody fans out to: they cost as little as buyers can, and run beside the measured server."""

from __future__ import annotations

import json
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from loadtest.bench import building
from loadtest.bench.book import Ports
from loadtest.bench.building import BuildError
from loadtest.bench.certificates import Certificates
from loadtest.processes import Process
from loadtest.stack import ROOT

PLAIN, SILENT, TLS = 50, 3, 10


class Buyers(msgspec.Struct, frozen=True):
    """Running buyers."""

    ports: Ports
    pid: int

    def asked(self) -> int:
        """How many requests they have had, all together."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.ports.plain[0]}/count", timeout=2) as answer:
            return int(json.load(answer)["requests"])


@contextmanager
def running_buyers(folder: Path, certificates: Certificates) -> Iterator[Buyers]:
    """Start them, in C or, where that cannot be built, in Python; end them. Raises `ProcessError`."""
    try:
        program, speaks_tls = building.buyers()
        command = [str(program)]
    except BuildError:
        command, speaks_tls = [sys.executable, "-m", "loadtest.references.buyers"], True
    command += [str(PLAIN), str(SILENT), str(TLS if speaks_tls else 0)]
    if speaks_tls:
        command += [str(certificates.cert), str(certificates.key)]
    with Process(command, folder / "buyers.log", cwd=ROOT) as process:
        line = process.wait_for_line(r"^\{.*\}$")[0]
        yield Buyers(msgspec.json.decode(line, type=Ports), process.pid)
