"""The embedded server with real processes: found again, gone with us, one for a folder."""

from __future__ import annotations

import fcntl
import os
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from auction.counters import embedded
from auction.counters.embedded import EmbeddedValkey
from auction.errors import OperatorError

OWNER = """
import sys
from pathlib import Path
from auction.counters.embedded import EmbeddedValkey

server = EmbeddedValkey(Path(sys.argv[1]))
server.start()
print(server.pid, flush=True)
sys.stdin.read()
server.stop()
"""


@contextmanager
def running(folder: Path) -> Iterator[EmbeddedValkey]:
    server = EmbeddedValkey(folder)
    server.start()
    try:
        yield server
    finally:
        server.stop()


@contextmanager
def owner(folder: Path) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """Another process that has a server in `folder`; and that server's process id."""
    process = subprocess.Popen(
        [sys.executable, "-c", OWNER, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with process:
        assert process.stdout is not None
        yield process, int(process.stdout.readline())
        process.kill()


def ask(server: EmbeddedValkey, command: str) -> str:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(10)
        connection.connect(server.url.removeprefix("unix://"))
        connection.sendall(command.encode() + b"\r\n")
        return connection.recv(4096).decode().strip()


def kill(server: EmbeddedValkey) -> int:
    """End it as it stands; returns its process id when it has ended."""
    killed = server.pid
    assert killed is not None
    os.kill(killed, signal.SIGKILL)
    deadline_s = time.monotonic() + 20
    while server.pid is not None:
        assert time.monotonic() < deadline_s
        time.sleep(0.001)
    return killed


def wait_until_free(lock: Path) -> None:
    """Blocks until no server holds its lock: until it has ended."""
    fd = os.open(lock, os.O_RDWR)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
    finally:
        os.close(fd)


def test_data_is_there_after_a_clean_stop(tmp_path: Path) -> None:
    with running(tmp_path) as server:
        assert ask(server, "SET a 1") == "+OK"
    assert server.pid is None
    with running(tmp_path) as server:
        assert ask(server, "GET a").endswith("1")


def test_only_our_user_reaches_it(tmp_path: Path) -> None:
    with running(tmp_path) as server:
        path = Path(server.url.removeprefix("unix://"))
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        assert stat.S_IMODE(path.stat().st_mode) == 0o700
        assert "\n0" in ask(server, "CONFIG GET port")


def test_a_killed_server_starts_again_with_its_data_even_if_the_last_write_was_cut(tmp_path: Path) -> None:
    with running(tmp_path) as server:
        assert ask(server, "SET a 1") == "+OK"
        assert ask(server, "SET b 2") == "+OK"
        killed = kill(server)
        (tail,) = (tmp_path / "valkey" / "appendonlydir").glob("*.incr.aof")
        os.truncate(tail, tail.stat().st_size - 3)
        server.start()
        assert server.pid not in (None, killed)
        assert ask(server, "GET a").endswith("1")
        assert ask(server, "GET b") == "$-1"


def test_what_was_answered_outlives_the_servers_death(tmp_path: Path) -> None:
    """`kill -9` right behind an answer, again and again: the kernel has every write that was answered."""
    with running(tmp_path) as server:
        for number in range(8):
            assert ask(server, f"SET a {number}") == "+OK"
            kill(server)
            server.start()
            assert ask(server, "GET a").endswith(str(number))


def test_a_server_that_died_is_started_again_until_we_stop(tmp_path: Path) -> None:
    with running(tmp_path) as server:
        server.keep_running()
        assert ask(server, "SET a 1") == "+OK"
        killed = server.pid
        assert killed is not None
        os.kill(killed, signal.SIGKILL)
        deadline_s = time.monotonic() + 20
        while server.restarts == 0:
            assert time.monotonic() < deadline_s
            time.sleep(0.01)
        assert server.pid not in (None, killed)
        assert ask(server, "GET a").endswith("1")
    assert server.pid is None
    wait_until_free(tmp_path / "valkey" / "valkey.lock")


def test_the_folder_stays_ours_while_a_server_that_died_cannot_be_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running(tmp_path) as server:
        assert ask(server, "SET a 1") == "+OK"
        kill(server)
        with monkeypatch.context() as broken:
            broken.setattr(embedded, "_binary", lambda: sys.executable)
            with pytest.raises(OperatorError, match="ended at once"):
                server.start()
        with pytest.raises(OperatorError) as caught:
            EmbeddedValkey(tmp_path).start()
        assert caught.value.code == "data_dir_in_use"
        server.start()
        assert ask(server, "GET a").endswith("1")


def test_start_does_nothing_while_it_runs(tmp_path: Path) -> None:
    with running(tmp_path) as server:
        pid = server.pid
        server.start()
        assert server.pid == pid


def test_one_exchange_for_one_folder(tmp_path: Path) -> None:
    with owner(tmp_path) as (process, _):
        second = EmbeddedValkey(tmp_path)
        with pytest.raises(OperatorError, match=f"process {process.pid}") as caught:
            second.start()
        assert caught.value.code == "data_dir_in_use"
        second.stop()  # harms nobody
        assert ask(second, "PING") == "+PONG"


def test_the_server_ends_when_its_owner_is_killed(tmp_path: Path) -> None:
    with owner(tmp_path) as (process, _):
        process.kill()
        process.wait()
        wait_until_free(tmp_path / "valkey" / "valkey.lock")


@pytest.mark.parametrize("frozen", [False, True])
def test_an_orphan_is_ended_and_its_data_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, frozen: bool
) -> None:
    monkeypatch.setattr("auction.counters.embedded._PATIENCE_S", 0.5 if frozen else 20.0)
    with owner(tmp_path) as (process, pid):
        orphaned = EmbeddedValkey(tmp_path)
        assert ask(orphaned, "SET a 1") == "+OK"
        if frozen:  # it cannot follow its watchdog's TERM: only KILL ends it
            os.kill(pid, signal.SIGSTOP)
        process.kill()
        process.wait()
        orphaned.start(within_s=60.0)
        try:
            assert orphaned.pid not in (None, pid)
            assert ask(orphaned, "GET a").endswith("1")
        finally:
            orphaned.stop()


def test_a_frozen_server_is_killed_in_the_end(tmp_path: Path) -> None:
    server = EmbeddedValkey(tmp_path)
    server.start()
    assert server.pid is not None
    os.kill(server.pid, signal.SIGSTOP)
    server.stop(within_s=0.05)
    assert server.pid is None
    wait_until_free(tmp_path / "valkey" / "valkey.lock")


def test_a_folder_too_deep_for_a_socket(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 60) / ("e" * 60)
    with running(deep) as server:
        path = Path(server.url.removeprefix("unix://"))
        assert len(str(path)) < 100
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        assert ask(server, "SET a 1") == "+OK"
    assert not path.parent.exists()
    with running(deep) as server:
        assert ask(server, "GET a").endswith("1")


def test_data_that_cannot_be_loaded_is_the_operators_to_see(tmp_path: Path) -> None:
    with running(tmp_path) as server:
        assert ask(server, "SET a 1") == "+OK"
    (tail,) = (tmp_path / "valkey" / "appendonlydir").glob("*.incr.aof")
    tail.write_bytes(b"this is no append-only file")
    broken = EmbeddedValkey(tmp_path)
    with pytest.raises(OperatorError, match=r"valkey\.log"):
        broken.start()
    assert broken.pid is None


def test_no_server_to_be_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("auction.counters.embedded.find_spec", lambda name: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(OperatorError, match="install"):
        EmbeddedValkey(tmp_path / "data").start()
    own = tmp_path / "valkey-server"
    own.write_text("#!/bin/sh\nexit 1\n")
    own.chmod(0o700)
    with pytest.raises(OperatorError, match="ended at once"):
        EmbeddedValkey(tmp_path / "data").start()
