"""The curl commands of the documents, as they stand there: only host and key are ours.

    python -m tests.doors.curls http://127.0.0.1:8080

runs them all against an exchange with config/doors.yaml, and prints what each was answered. Document 003 has no curl:
it names methods, URLs and bodies, and curl is told those. (Spaces in its URLs are encoded, as they have to be.)
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


USERS = {"PATCH": "doors-otis-key", "DELETE": "doors-otis-key"}
"""Document 003: whose routes 10 and 92 are; all else is asked by the user below."""
USER = "doors-hannah-key"
_REQUEST = re.compile(r"\b(POST|PATCH|GET|DELETE) https://[a-z0-9.-]+(/\S+) headers:")
_QUERY = re.compile(r"GET (/lead-routes\?.+?)(?=If the column|$)", re.MULTILINE)
_BODIES = {"POST": "submit.request.json", "PATCH": "update.request.json"}


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


def requests_of(text: str) -> list[tuple[str, str]]:
    """Method and path of every request that document 003 shows: those with a host first, then the queries."""
    return [*_REQUEST.findall(text), *(("GET", path.strip()) for path in _QUERY.findall(text))]


def commands(document: str, url: str) -> list[str]:
    """Every command of a document, with this host and its key."""
    text = (HERE / document / "document.txt").read_text(encoding="utf-8")
    if document in KEYS:
        return [_KEY.sub(KEYS[document], _HOST.sub(url, written)) for written in commands_of(text)]
    told = []
    for method, path in requests_of(text):
        where = shlex.quote(url + path.replace(" ", "%20"))
        command = f'curl -g -X {method} {where} -H "Authorization: Bearer {USERS.get(method, USER)}"'
        if method in _BODIES:
            body = (HERE / document / _BODIES[method]).read_text(encoding="utf-8")
            command += f' -H "Content-Type: application/json" -d {shlex.quote(body)}'
        told.append(command)
    return told


def run(document: str, url: str) -> list[Ran]:
    """Runs every command of a document. Needs `curl`."""
    ran = []
    for command in commands(document, url):
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
    """Run and print them all. The exit code is 1 if one was not answered as it should be."""
    url = sys.argv[1].rstrip("/") if len(sys.argv) > 1 else "http://127.0.0.1:8080"
    ran = [one for document in sorted((*KEYS, "003")) for one in run(document, url)]
    for one in ran:
        print(f"{one.command}\n{one.status} {one.body}\n")
    sys.exit(any(one.status >= 400 for one in ran))


if __name__ == "__main__":
    main()
