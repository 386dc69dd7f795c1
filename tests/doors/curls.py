"""The curl commands of the documents, as they stand there: only host and key are ours.

    python -m tests.doors.curls http://127.0.0.1:8080

runs them all against an exchange with config/doors.yaml, and prints what each was answered.
"""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

from msgspec import Struct

HERE = Path(__file__).parent
KEYS = {"001": "", "002": "doors-distro-key", "004": "doors-leads-key"}
"""The documents with curl commands, and the key of config/doors.yaml that each is used with."""
_HOST = re.compile(r"https://[a-z0-9.-]+")
_KEY = re.compile(r"YOUR_API_KEY|your_supplier_api_key")


class Ran(Struct, frozen=True):
    """What one command was answered."""

    document: str
    command: str
    status: int
    body: str


def commands_of(text: str) -> list[str]:
    """The curl commands in a document, each from its `curl` to its end.

    A document that was a page may have run the next heading into the last quote of a command: the quote ends it.
    """
    return [_command(text, found.start()) for found in re.finditer(r"\bcurl -", text)]


def _command(text: str, start: int) -> str:
    quote = ""
    for at in range(start, len(text)):
        char, before = text[at], text[at - 1]
        if quote:
            if char == quote:
                quote = ""
                if not text[at + 1 : at + 2].isspace():
                    return text[start : at + 1]
        elif char in "'\"":
            quote = char
        elif char == "\n" and before != "\\":
            return text[start:at]
    return text[start:]


def run(document: str, url: str) -> list[Ran]:
    """Every command of a document, with this host and its key. Needs `curl`."""
    text = (HERE / document / "document.txt").read_text(encoding="utf-8")
    ran = []
    for written in commands_of(text):
        command = _KEY.sub(KEYS[document], _HOST.sub(url, written))
        words = shlex.split(command.replace("\\\n", " "))
        told = subprocess.run(
            [*words, "--silent", "--show-error", "--max-time", "30", "--write-out", "\n%{http_code}"],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        body, _, status = told.rpartition("\n")
        ran.append(Ran(document, command, int(status), body))
    return ran


def main() -> None:
    """Run and print them all."""
    url = sys.argv[1].rstrip("/") if len(sys.argv) > 1 else "http://127.0.0.1:8080"
    for document in KEYS:
        if not (HERE / document / "document.txt").exists():
            continue
        for one in run(document, url):
            print(f"{one.command}\n{one.status} {one.body}\n")


if __name__ == "__main__":
    main()
