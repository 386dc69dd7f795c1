"""A PostgreSQL that may be killed, frozen and started again: a child of this process, on a unix socket in its folder.

`tests.stores` starts the session's server with `pg_ctl`, which leaves it to nobody; a server that is struck has to
be ours to strike (`killer.Own`).
"""

from __future__ import annotations

import contextlib
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import psycopg

from tests.stores import postgres_owner, postgres_programs, run_program

START_S = 60.0
STEP_S = 0.02


class OwnPostgres:
    """One server with a folder of its own, from `start` to `remove`. It blocks."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="auction-own-postgres-"))
        self._owner = postgres_owner(self.folder)
        self._programs = postgres_programs(self.folder, self._owner)
        self._data = self.folder / "data"
        self._server: subprocess.Popen[bytes] | None = None
        command = [self._programs / "initdb", "-D", self._data, "-U", "postgres", "-E", "UTF8", "--no-locale"]
        run_program([*command, "--no-sync"], self._owner)

    @property
    def socket(self) -> Path:
        """Where it listens."""
        return self.folder / ".s.PGSQL.5432"

    @property
    def log(self) -> Path:
        """What it says."""
        return self.folder / "server.log"

    @property
    def pid(self) -> int | None:
        """Its first process, while it runs."""
        server = self._server
        return server.pid if server is not None and server.poll() is None else None

    def url(self, port: int | None = None) -> str:
        """What the house takes: by the unix socket, or by a port on loopback that leads there."""
        return (
            f"postgresql://postgres@/postgres?host={self.folder}"
            if port is None
            else f"postgresql://postgres@127.0.0.1:{port}/postgres"
        )

    def start(self) -> None:
        """Starts it (again, after it died) and returns when it answers. Raises `TimeoutError`.

        One that was killed leaves its children behind for a moment: until they are gone a new one is refused.
        """
        until_s = time.monotonic() + START_S
        while time.monotonic() < until_s:
            if self.pid is None:
                self._launch()
            with contextlib.suppress(psycopg.Error), psycopg.connect(self.url(), connect_timeout=2):
                return
            time.sleep(STEP_S)
        raise TimeoutError(f"PostgreSQL did not start: {self.log.read_text(errors='replace')[-2_000:]}")

    def kill(self) -> None:
        """`kill -9` of the first process; its children end when they notice."""
        if self._server is not None:
            self._server.kill()
            self._server.wait()

    def stop(self, within_s: float = 10.0) -> None:
        """Ends it, at once; kills it if it does not end."""
        server, self._server = self._server, None
        if server is None:
            return
        # what was promised is in its log of writes, and nobody will read it
        server.send_signal(signal.SIGQUIT)
        try:
            server.wait(within_s)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()

    def remove(self) -> None:
        """Ends it and removes its folder."""
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _launch(self) -> None:
        # a process that is killed loses nothing that it wrote: only the power would be a reason to sync
        options = ["listen_addresses=", f"unix_socket_directories={self.folder}", "fsync=off"]
        command = [str(self._programs / "postgres"), "-D", str(self._data)]
        command += [word for option in options for word in ("-c", option)]
        with self.log.open("ab") as log:
            self._server = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                **self._owner,
            )
