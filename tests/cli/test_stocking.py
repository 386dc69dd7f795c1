"""The child that reads and stores the catalogue: its errors are ours to tell, its memory is not ours to keep."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest

from auction.changes.applying import stored_catalogue
from auction.cli import stocking as stocking_module
from auction.cli.stocking import Stocked, stocking
from auction.errors import OperatorError
from auction.ledger.engine import open_engine
from auction.settings import Settings
from loadtest.bench import book
from loadtest.bench.book import Line, Ports
from loadtest.bench.machine import memory_mb
from loadtest.processes import Process
from tests.house import catalogue
from tests.servers import ROOT

PORTS = Ports(plain=tuple(range(9001, 9011)), silent=(), tls=())
MANY = 3_000
STARTS_WITHIN_S = 60


@pytest.fixture
def market(tmp_path: Path) -> Path:
    path = tmp_path / "market.yaml"
    path.write_text(catalogue([{"id": "a", "buyer": "ann"}]))
    return path


def version_of(settings: Settings) -> int:
    engine = open_engine(settings.ledger_url)
    try:
        with engine.connect() as conn:
            return stored_catalogue(conn)[0]
    finally:
        engine.dispose()


def test_what_was_read_is_stored_and_nothing_before(tmp_path: Path, market: Path) -> None:
    settings = Settings(data_dir=tmp_path / "data")
    with stocking() as child:
        child.read([market])
        assert not settings.data_dir.exists()
        stocked = child.store(settings)
    assert (stocked.on_demo, stocked.version) == (False, 1)
    assert stocked.changes
    assert version_of(settings) == 1
    with stocking() as child:  # no file: what is stored holds
        assert child.store(settings) == Stocked(False)


def test_with_nothing_at_all_it_is_the_demo_market(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path / "data")
    with stocking() as child:
        assert child.store(settings).on_demo
    with stocking() as child:
        assert child.store(settings) == Stocked(True)


def test_its_faults_are_raised_here(tmp_path: Path, market: Path) -> None:
    market.write_text("campaigns: 7\n")
    with stocking() as child:
        with pytest.raises(OperatorError, match="campaigns") as error:
            child.read([market])
        assert error.value.code
        with pytest.raises(OperatorError, match=r"none\.yaml"):
            child.read([tmp_path / "none.yaml"])


def test_one_that_dies_is_told_of(market: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def dies(files: object) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    monkeypatch.setattr(stocking_module, "read_files", dies)
    with stocking() as child, pytest.raises(OperatorError, match="memory") as error:
        child.read([market])
    assert error.value.code == "catalogue_not_applied"


@pytest.mark.skipif(sys.platform != "linux", reason="memory is read as Linux tells it")
@pytest.mark.slow
def test_a_server_is_no_larger_for_having_read_its_catalogue(tmp_path: Path) -> None:
    config = tmp_path / "many.yaml"
    config.write_bytes(book.as_json(book.catalogue([Line("many", MANY, plain=10)], PORTS, None)))
    sizes = []
    for words in (["--config", str(config)], []):
        command = [
            sys.executable,
            "-m",
            "auction",
            "serve",
            "--port",
            "0",
            "--data-dir",
            str(tmp_path / "data"),
        ]
        with Process([*command, *words], tmp_path / "serve.log", cwd=ROOT, end_within_s=20) as serving:
            serving.wait_for_line(r"listens on http", STARTS_WITHIN_S)
            sizes.append(memory_mb(serving.pid))
    assert sizes[0] < sizes[1] * 1.06, sizes
