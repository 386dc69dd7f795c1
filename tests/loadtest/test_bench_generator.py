"""The load generator, against a server that does what it is told."""

from __future__ import annotations

import os
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from itertools import islice, repeat

import pytest

from loadtest.bench import generator
from loadtest.bench.generator import GENERATOR, Load, LoadError
from loadtest.bench.requests import HOLE, numbered, numbered_once, post
from tests.ports import held_port

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="epoll and CPU clocks are Linux's")

OK = b"HTTP/1.1 200 OK\r\nServer-Timing: own;dur=0.250, buyers;dur=1.0\r\nContent-Length: 4\r\n\r\nfine"
BUSY = b'HTTP/1.1 503 Busy\r\ncontent-length: 15\r\nx: y\r\n\r\n{"code":"away"}'
REQUEST = post("/", {}, {"a": 1})


class Server:
    """Answers each request with the next of `answers`, after `delay_s`, a thread for each connection."""

    def __init__(self, answers: Iterator[bytes], delay_s: float = 0.0, parts: int = 1) -> None:
        self.heard = 0
        self._answers = answers
        self._delay_s = delay_s
        self._parts = parts
        self._listening = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port = self._listening.getsockname()[1]
        self._lock = threading.Lock()
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)  # wakes who waits in accept
        self._listening.close()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listening.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock: socket.socket) -> None:
        with sock:
            while sock.recv(65_536):
                time.sleep(self._delay_s)
                with self._lock:
                    self.heard += 1
                    answer = next(self._answers, b"")
                if not answer:
                    return
                size = -(-len(answer) // self._parts)
                for at in range(0, len(answer), size):
                    sock.sendall(answer[at : at + size])
                    time.sleep(0.005 * (self._parts > 1))


def load(server: Server, requests: Iterator[bytes] | None = None, *, keep: bool = False) -> Load:
    return Load(
        server.port, requests or repeat(REQUEST), expected=b"fine", watch={"server": os.getpid()}, keep=keep
    )


def test_closed_counts_what_is_answered_in_the_window() -> None:
    with closing(Server(repeat(OK), delay_s=0.01)) as server:
        taken = load(server).closed(4, 0.5, warm_s=0.1)
    assert 0.3 < taken.seconds < 5  # it opens with the first answer after the warm-up
    assert 0 < taken.answered < taken.sent == server.heard
    assert taken.per_second <= 4 / 0.01
    assert taken.latency_us(50) >= 10_000
    assert not taken.wrong
    assert set(taken.own_us) == {250.0}
    assert taken.cpu_s["server"] > 0
    # here they are one
    assert taken.cpu_s[GENERATOR] == pytest.approx(taken.cpu_s["server"], rel=0.5, abs=0.05)


def test_a_finite_run_sends_everything_once_and_counts_it_all() -> None:
    bodies = [{"number": HOLE, "at": at} for at in range(50)]
    with closing(Server(repeat(OK))) as server:
        taken = load(server, numbered_once("/", {}, bodies), keep=True).closed(8, None)
    assert taken.sent == taken.answered == server.heard == 50
    assert taken.bodies == [b"fine"] * 50


def test_fewer_requests_than_connections_are_no_trouble() -> None:
    with closing(Server(repeat(OK))) as server:
        assert load(server, islice(numbered("/", {}, [{"n": HOLE}]), 3)).closed(8, None).answered == 3


def test_an_answer_in_pieces_is_one_answer() -> None:
    with closing(Server(repeat(OK), parts=7)) as server:
        taken = load(server, iter([REQUEST] * 4)).closed(2, None)
    assert taken.answered == 4
    assert not taken.wrong


def test_wrong_answers_are_counted_by_status() -> None:
    with closing(Server(iter([OK, BUSY, OK.replace(b"fine", b"poor"), OK]))) as server:
        taken = load(server, iter([REQUEST] * 4)).closed(1, None)
    assert taken.wrong == {"503 away": 1, "200": 1}
    assert (len(taken.right_us), len(taken.wrong_us)) == (2, 2)
    assert taken.first_wrong == b'{"code":"away"}'
    assert taken.answered == 4


def test_at_a_rate_what_is_due_is_sent_and_latency_counts_from_then() -> None:
    with closing(Server(repeat(OK))) as server:
        taken = load(server).at_rate(200, 0.5, warm_s=0.1)
    assert taken.answered == len(taken.late_us) == 100
    assert taken.sent == 120
    assert not taken.wrong


def test_a_stall_is_not_hidden_by_sending_later() -> None:
    """One thread is late for all: every request that came due in the stall waited, and its latency says so."""
    stall_s = 0.25
    held = threading.Event()

    def answers() -> Iterator[bytes]:
        for at in range(10_000):
            if at == 20:
                held.wait(stall_s)  # under the server's lock: nobody is answered
            yield OK

    with closing(Server(answers())) as server:
        taken = load(server).at_rate(200, 0.6, warm_s=0.0)
    waited = [latency for latency in taken.latencies_us if latency > 50_000]
    assert len(waited) >= 30  # 40 were due in 200 ms of it; each waited for the rest of the stall
    assert max(taken.latencies_us) >= stall_s * 0.9e6


def test_requests_that_are_never_answered_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generator, "STRAGGLERS_S", 0.2)
    with closing(Server(repeat(OK), delay_s=30)) as server:
        taken = load(server).at_rate(50, 0.2, warm_s=0.0)
    assert taken.answered == 0
    assert taken.wrong == {"no answer": 10}


def test_a_server_that_hangs_up_in_the_middle_is_a_mistake() -> None:
    with closing(Server(iter([OK]))) as server, pytest.raises(LoadError):
        load(server).closed(1, 1.0)


def test_nobody_listening_is_a_mistake() -> None:
    with held_port() as port, pytest.raises(LoadError):
        Load(port, repeat(REQUEST), expected=b"", watch={}).closed(1, 1.0)
