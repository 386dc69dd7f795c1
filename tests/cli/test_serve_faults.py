"""`auction serve` that cannot start says why, in a sentence, and leaves everything as it was."""

from __future__ import annotations

import logging
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from auction.counters.embedded import EmbeddedValkey
from tests.cli.conftest import Run
from tests.house import catalogue


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    """`serve` sets up logs and signals for its process, which is ours here."""
    root, ours = logging.getLogger(), logging.getLogger("auction")
    before = root.handlers[:], root.level, ours.level
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)
    root.handlers[:], root.level, ours.level = before
    logging.captureWarnings(False)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--redis-url", "http://h"], "--redis-url: the Redis URL is not one of redis://"),
        (["--data-dir", "/proc/nope"], "the data folder /proc/nope cannot be made: "),
        (["--host", "999.1.1.1"], "cannot listen on 999.1.1.1:0: "),
        (["--config", "none.yaml"], "none.yaml: cannot be read: No such file or directory\n"),
        (["--database-url", "postgresql://u:s3cret@127.0.0.1:1/x"], "the ledger at postgresql://u:***@127"),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence(auction: Run, arguments: list[str], told: str) -> None:
    result = auction("serve", "--port", "0", *arguments, AUCTION_START_WITHIN_MS="0")
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.startswith(told), result.stderr
    assert "s3cret" not in result.stderr


def test_settings_of_the_environment_are_checked_with_the_rest(auction: Run) -> None:
    result = auction(
        *("serve", "--port", "-1", "--workers", "two"), AUCTION_SECRET_KEY="c2hvcnQ=", AUCTION_PROT="1"
    )
    assert result.exit_code == 2
    assert result.stderr.splitlines() == [
        "--port: expected a whole number from 0 to 65535, was '-1'",
        "--workers: expected a whole number from 1 to 256, was 'two'",
        "AUCTION_PROT: no such setting; did you mean AUCTION_PORT?",
        "AUCTION_SECRET_KEY: needs 32 bytes, base64 or hex: `openssl rand -base64 32`",
    ]


def test_a_port_in_use_is_named(auction: Run) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = auction("serve", "--port", str(port))
    assert result.exit_code == 2
    assert result.stderr == (
        f"cannot listen on 127.0.0.1:{port}: Address already in use; give another --host or --port\n"
    )


def test_a_second_server_on_one_folder_changes_nothing_there(auction: Run, folder: Path) -> None:
    (folder / "market.yaml").write_text(catalogue([{"id": "a", "buyer": "ann"}]))
    auction("apply", "market.yaml")
    before = auction("export").stdout
    (folder / "other.yaml").write_text(catalogue([{"id": "b", "buyer": "ben"}]))
    first = EmbeddedValkey(folder / "data")
    first.start()
    try:
        result = auction("serve", "--port", "0", "--config", "other.yaml")
    finally:
        first.stop()
    assert result.exit_code == 2
    assert result.stderr == (
        f"another exchange (process {os.getpid()}) uses {folder}/data: stop it, or give --data-dir\n"
    )
    assert auction("export").stdout == before


def test_what_is_wrong_with_the_house_is_said_once_and_ends_all_workers(
    folder: Path, valkey: EmbeddedValkey
) -> None:
    """As a process of its own: the first worker goes ahead, and nobody tries again for ever."""
    command = [sys.executable, "-m", "auction", "serve", "--port", "0", "--workers", "2"]
    command += ["--redis-url", f"{valkey.url}?db=99", "--log-level", "error"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert len(ended.stderr.splitlines()) == 1
    assert "DB index is out of range" in ended.stderr


def test_help_tells_every_setting(auction: Run) -> None:
    told = auction("serve", "--help").stdout
    for named in ("--config", "--port", "--workers", "--data-dir", "--database-url", "AUCTION_SECRET_KEY"):
        assert named in told
    assert "AUCTION_PORT" not in told, "it has a flag"
    for named in ("forget", "reseal"):
        told = auction(named, "--help").stdout
        assert "AUCTION_SECRET_KEY" in told
        assert "AUCTION_WORKERS" not in told, "it has nothing to do with this command"
    for command in ("demo", "serve", "check", "apply", "export", "keys", "explain", "lead"):
        assert command in auction("--help").stdout
        assert "Traceback" not in auction(command, "--help").output
