"""A buyer with a journal remembers what it took, whatever ended it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import msgspec

from buyers_mock.journal import Journal, read_journal
from buyers_mock.manner import Decision, Play
from loadtest.processes import Process
from tests.servers import ROOT

SCRIPT = """
buyers:
  ann: {caps: {leads: 3}, post: {refuse_duplicates: [phone]}}
  ben: {post: {faults: {close: 1.0}}}
"""


def started(folder: Path) -> Process:
    script = folder / "buyers.yaml"
    script.write_text(SCRIPT)
    command = [sys.executable, "-m", "buyers_mock", str(script), "--port", "0"]
    command += ["--journal", str(folder / "journal.jsonl")]
    return Process(command, folder / "mock.log", cwd=ROOT)


def post(url: str, buyer: str, lead: int, key: str | None = None) -> dict[str, object]:
    body = msgspec.json.encode({"lead_id": f"l{lead}", "lead": {"phone": f"512555{lead:04d}"}})
    headers = {"idempotency-key": key} if key else {}
    request = urllib.request.Request(f"{url}/{buyer}/post", body, headers)
    with urllib.request.urlopen(request, timeout=5) as answer:
        return dict(msgspec.json.decode(answer.read()))


def test_a_killed_buyer_knows_its_keys_its_leads_and_its_cap_again(tmp_path: Path) -> None:
    with started(tmp_path) as mock:
        url = mock.wait_for_line(r"listens on (http://\S+)")[1]
        first = post(url, "ann", 1, "k1")
        assert first["status"] == "accepted"
        assert post(url, "ann", 2)["status"] == "accepted"
        try:
            post(url, "ben", 9, "k9")
        except (urllib.error.URLError, ConnectionError):
            pass
        else:
            raise AssertionError("ben closes the connection")
        os.kill(mock.pid, signal.SIGKILL)
        mock.wait(5)
    with started(tmp_path) as mock:
        url = mock.wait_for_line(r"listens on (http://\S+)")[1]
        assert post(url, "ann", 1, "k1") == first, "the same key, the same answer"
        assert post(url, "ann", 2)["reason"] == "duplicate"
        third = post(url, "ann", 3)
        assert third["status"] == "accepted"
        assert third["buyer_lead_id"] not in (first["buyer_lead_id"], "ann-2")
        assert post(url, "ann", 4)["reason"] == "cap"
    kept = list(read_journal(tmp_path / "journal.jsonl"))
    told = [(one.buyer, one.key, one.outcome, one.reason, one.fault, one.repeat) for one in kept]
    assert told == [
        ("ann", "k1", "accepted", "", None, False),
        ("ann", None, "accepted", "", None, False),
        ("ben", "k9", "accepted", "", "close", False),
        ("ann", "k1", "accepted", "", None, True),
        ("ann", None, "rejected", "duplicate", None, False),
        ("ann", None, "accepted", "", None, False),
        ("ann", None, "rejected", "cap", None, False),
    ]


def test_a_line_that_was_cut_off_costs_itself_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    play = Play(b"", decision=Decision("accepted", b"\xff\x00answer"))
    for cut in range(2):
        journal = Journal(path)
        journal.write(cut, "ann", b"k\xe9", b"\xfe{not json", play)
        journal.close()
        with path.open("ab") as file:
            file.write(b'{"at_ms":5,"buy')
    kept = list(read_journal(path))
    assert [one.at_ms for one in kept] == [0, 1]
    assert kept[0].decision == play.decision
    assert list(read_journal(tmp_path / "none")) == []


def test_a_journal_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    script = tmp_path / "buyers.yaml"
    script.write_text(SCRIPT)
    command = [sys.executable, "-m", "buyers_mock", str(script), "--port", "0"]
    command += ["--journal", str(tmp_path / "no" / "journal")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 1
    assert "No such file" in done.stderr
