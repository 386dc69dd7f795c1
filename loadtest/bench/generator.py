"""The load: requests over kept connections, as many at once as there are connections, or at a fixed rate.

One loop on `epoll`, no framework: some 20 µs of CPU per request, on a core that is not the measured server's. With a
fixed rate a request's latency counts from when it was due, not from when it left: a server that falls behind cannot
hide it by slowing its own clients down.
"""

from __future__ import annotations

import gc
import os
import re
import select
import socket
from collections import Counter, deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from time import perf_counter_ns

from loadtest.bench.machine import cpu_s
from loadtest.bench.taken import NEVER, Taken

GENERATOR = "generator"
WARM_S = 0.3
WARM_ANSWERS = 4
"""Of each connection. A server that has lain idle opens its connections to buyers anew, over TLS with handshakes; on a
busy machine that takes longer than `WARM_S`, and is no part of what a request costs."""
MOST_CONNECTIONS = 900
STRAGGLERS_S = 3.0
_RECEIVE = 65_536
_NS = 1_000_000_000
_LENGTH = b"content-length:"
_CODE = re.compile(rb'"(?:code|reason)":"(\w+)"')
_TIMING = re.compile(rb"^server-timing: own;dur=([\d.]+)", re.MULTILINE)


class LoadError(Exception):
    """The server did something that no run can go on with."""


class Load:
    """Requests for one server. `expected` is in the body of every right answer, and its status is 200.

    `watch` names the processes whose CPU is taken. `keep` keeps the answers' bodies.
    """

    def __init__(
        self,
        port: int,
        requests: Iterator[bytes],
        *,
        expected: bytes,
        watch: Mapping[str, int],
        keep: bool = False,
    ) -> None:
        self._port = port
        self._requests = requests
        self._expected = expected
        self._watch = {**watch, GENERATOR: os.getpid()}
        self._keep = keep

    def closed(self, connections: int, seconds: float | None, warm_s: float = WARM_S) -> Taken:
        """Every connection sends its next request when the last was answered. What counts begins after `warm_s` and
        `WARM_ANSWERS`; with no `seconds` all of it counts, until there are no more requests. Raises `LoadError`."""
        with _lines(self._port) as lines:
            window = self._window()
            for _ in range(connections):
                lines.open()
            begin_ns, end_ns = perf_counter_ns() + int(warm_s * _NS), 1 << 62
            cold = WARM_ANSWERS * connections
            if seconds is None:
                window.open()
            waiting = sum(self._send(line, window) for line in lines.all())
            while waiting:
                for line, head, body in lines.answers(1.0):
                    now_ns = perf_counter_ns()
                    if window.begun_ns:
                        window.note(line, now_ns, head, body)
                    elif now_ns >= begin_ns and cold <= 0 and seconds is not None:
                        window.open()
                        end_ns = now_ns + int(seconds * _NS)
                    cold -= 1
                    if now_ns >= end_ns:
                        window.close()
                    waiting -= not (now_ns < end_ns and self._send(line, window))
            window.close()
            return window.taken

    def at_rate(self, per_second: float, seconds: float, warm_s: float = WARM_S) -> Taken:
        """A request is due every 1/`per_second` s, answered or not; each takes a connection that is free.

        What comes due in the window counts, also if it is answered after it. Raises `LoadError`.
        """
        with _lines(self._port) as lines:
            window = self._window()
            begin_ns = perf_counter_ns()
            first, last = int(warm_s * per_second), int((warm_s + seconds) * per_second)
            at, waiting, due_ns = 0, 0, begin_ns
            while at < last or (waiting and perf_counter_ns() < due_ns + STRAGGLERS_S * _NS):
                now_ns = perf_counter_ns()
                while at < last and due_ns <= now_ns and (line := lines.free()) is not None:
                    if at == first:
                        window.open()
                    line.due_ns = due_ns if at >= first else 0
                    line.send(next(self._requests))
                    window.taken.sent += 1
                    if at >= first:
                        window.taken.late_us.append((now_ns - due_ns) / 1000)
                    at, waiting = at + 1, waiting + 1
                    due_ns = begin_ns + int(at / per_second * _NS)
                if at == last:
                    window.close()
                wait_s = max(0, due_ns - perf_counter_ns()) / _NS if at < last else 0.1
                for line, head, body in lines.answers(wait_s):
                    waiting -= 1
                    lines.idle.append(line)
                    if line.due_ns:
                        window.note(line, perf_counter_ns(), head, body)
            if waiting:
                window.taken.wrong[NEVER] = waiting
            return window.taken

    def _send(self, line: _Line, window: _Window) -> bool:
        request = next(self._requests, None)
        if request is None:
            return False
        line.due_ns = perf_counter_ns()
        line.send(request)
        window.taken.sent += 1
        return True

    def _window(self) -> _Window:
        return _Window(self._watch, self._expected, self._keep)


class _Window:
    """From `open` to `close`: the time, the CPU, and the answers in between."""

    def __init__(self, watch: Mapping[str, int], expected: bytes, keep: bool) -> None:
        self._watch = watch
        self._expected = expected
        self._keep = keep
        self._cpu_s: dict[str, float] = {}
        self.begun_ns = 0
        self.taken = Taken(
            sent=0, latencies_us=[], seconds=0.0, cpu_s={}, wrong=Counter(), own_us=[], bodies=[], late_us=[]
        )

    def open(self) -> None:
        self._cpu_s = {name: cpu_s(pid) for name, pid in self._watch.items()}
        self.begun_ns = perf_counter_ns()

    def close(self) -> None:
        """The first call counts. A window that never opened is empty."""
        if self.begun_ns and not self.taken.cpu_s:
            self.taken.seconds = (perf_counter_ns() - self.begun_ns) / _NS
            self.taken.cpu_s = {name: cpu_s(pid) - self._cpu_s[name] for name, pid in self._watch.items()}

    def note(self, line: _Line, now_ns: int, head: bytes, body: bytes) -> None:
        taken = self.taken
        latency_us = (now_ns - line.due_ns) / 1000
        taken.latencies_us.append(latency_us)
        if self._expected not in body or not head.startswith(b"http/1.1 200"):
            code = _CODE.search(body)
            taken.wrong[head[9:12].decode() + (f" {code[1].decode()}" if code else "")] += 1
            taken.first_wrong = taken.first_wrong or body
            taken.wrong_us.append(latency_us)
        else:
            taken.right_us.append(latency_us)
        if timing := _TIMING.search(head):
            taken.own_us.append(float(timing[1]) * 1000)
        if self._keep:
            taken.bodies.append(body)


class _Line:
    """One connection: a request out, an answer in."""

    __slots__ = ("_received", "_sock", "due_ns")

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._received = b""
        self.due_ns = 0

    def send(self, request: bytes) -> None:
        if self._sock.send(request) != len(request):
            raise LoadError("the server does not read its requests")

    def receive(self) -> tuple[bytes, bytes] | None:
        """Head (in small letters) and body of an answer, once it is whole. Raises `ConnectionError`."""
        data = self._sock.recv(_RECEIVE)
        if not data:
            raise ConnectionResetError("the server hung up")
        data = self._received + data
        self._received = data
        end = data.find(b"\r\n\r\n")
        if end < 0:
            return None
        head = data[:end].lower()
        at = head.find(_LENGTH)
        if at < 0:
            raise LoadError(f"an answer without a length: {head!r}")
        line_end = head.find(b"\r", at)
        length = int(head[at + len(_LENGTH) : line_end if line_end > 0 else None])
        if len(data) < end + 4 + length:
            return None
        self._received = b""
        return head, data[end + 4 :]

    def close(self) -> None:
        self._sock.close()


class _Lines:
    """All connections to one server."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._epoll = select.epoll()
        self._by_fd: dict[int, _Line] = {}
        self.idle: deque[_Line] = deque()

    def all(self) -> list[_Line]:
        return list(self._by_fd.values())

    def open(self) -> _Line:
        sock = socket.create_connection(("127.0.0.1", self._port), timeout=5)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setblocking(False)
        line = self._by_fd[sock.fileno()] = _Line(sock)
        self._epoll.register(sock.fileno(), select.EPOLLIN)
        return line

    def free(self) -> _Line | None:
        """One that waits for nothing, the last used first; None where there may be no more."""
        if self.idle:
            return self.idle.pop()
        return self.open() if len(self._by_fd) < MOST_CONNECTIONS else None

    def answers(self, wait_s: float) -> Iterator[tuple[_Line, bytes, bytes]]:
        """What has come, after waiting for at most `wait_s`. `epoll` itself waits in whole milliseconds."""
        if wait_s > 0:
            select.select([self._epoll], [], [], wait_s)
        for fd, _ in self._epoll.poll(0):
            line = self._by_fd[fd]
            try:
                answer = line.receive()
            except ConnectionError:
                # an idle one is closed by the server after a while: as it should be
                if line not in self.idle:
                    raise LoadError("the server hung up in the middle") from None
                self.idle.remove(line)
                del self._by_fd[fd]
                line.close()
                continue
            if answer is not None:
                yield line, *answer

    def close(self) -> None:
        for line in self._by_fd.values():
            line.close()
        self._epoll.close()


@contextmanager
def _lines(port: int) -> Iterator[_Lines]:
    lines = _Lines(port)
    gc.collect()
    gc.disable()  # no pause of ours may look like the server's
    try:
        yield lines
    except OSError as error:
        raise LoadError(f"the connection to the server broke: {error}") from None
    finally:
        gc.enable()
        lines.close()
