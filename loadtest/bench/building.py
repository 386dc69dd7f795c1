"""Builds the reference programs, once for each version of their sources, into the user's cache folder.

What cannot be built is left out of the benchmark, with a sentence: there may be no compiler here, and no Go.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

SOURCES = Path(__file__).parent.parent / "references"
BUILD_WITHIN_S = 240
_OPTIMISED = ("-O2", "-Wall")
_TLS = ("-DWITH_TLS", "-lssl", "-lcrypto")


class BuildError(Exception):
    """The program could not be built here; says why."""


def floor() -> Path:
    """The fan-out in C. Raises `BuildError`."""
    return _compiled("floor", "floor.c", ())


def buyers() -> tuple[Path, bool]:
    """The buyers in C, and whether they speak TLS. Raises `BuildError`."""
    try:
        return _compiled("buyers-tls", "buyers.c", _TLS), True
    except BuildError:  # OpenSSL's headers are not everywhere
        return _compiled("buyers", "buyers.c", ()), False


def go_fanout() -> Path:
    """The fan-out in Go. Raises `BuildError`."""
    go = shutil.which("go")
    if go is None:
        raise BuildError("there is no `go` on the PATH")
    folder = SOURCES / "go"
    environ = {"GOTOOLCHAIN": "local", "GOFLAGS": "", "GOPROXY": "off", "GOWORK": "off", "CGO_ENABLED": "0"}
    return _built(
        "fanout-go",
        [folder / "main.go", folder / "go.mod"],
        [go, "build", "-o", "{to}", "."],
        folder,
        environ,
    )


def _compiled(name: str, source: str, options: Sequence[str]) -> Path:
    compiler = next(filter(None, map(shutil.which, ("cc", "gcc", "clang"))), None)
    if compiler is None:
        raise BuildError("there is no C compiler on the PATH")
    command = [compiler, *_OPTIMISED, "-o", "{to}", source, *options]
    return _built(name, [SOURCES / source, SOURCES / "wire.h"], command, SOURCES, {})


def _built(
    name: str, sources: Sequence[Path], command: Sequence[str], folder: Path, environ: dict[str, str]
) -> Path:
    """The program, named by a hash of all that it is made of. It takes its place whole or not at all."""
    made_of = hashlib.sha256("\0".join(command).encode())
    for source in sources:
        made_of.update(source.read_bytes())
    program = _cache() / f"{name}-{made_of.hexdigest()[:16]}"
    if program.exists():
        return program
    with tempfile.TemporaryDirectory(dir=program.parent) as building:
        made = Path(building) / name
        words = [str(made) if word == "{to}" else word for word in command]
        try:
            done = subprocess.run(  # noqa: S603  (a compiler, our own sources)
                words,
                cwd=folder,
                env=os.environ | environ,
                capture_output=True,
                text=True,
                timeout=BUILD_WITHIN_S,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise BuildError(f"{words[0]}: {error}") from None
        if done.returncode != 0:
            first = (done.stderr.strip().splitlines() or ["it said nothing"])[0]
            raise BuildError(f"{Path(words[0]).name} could not build {name}: {first}")
        made.replace(program)
    return program


def _cache() -> Path:
    """A folder of ours that outlives a run: the user's cache, or the system's temp where that is not writable."""
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    for folder in (home / "auction-bench", Path(tempfile.gettempdir()) / f"auction-bench-{os.getuid()}"):
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError:
            continue
        if os.access(folder, os.W_OK) and folder.stat().st_uid == os.getuid():
            return folder
    raise BuildError("neither the user's cache folder nor the system's temp is writable")
