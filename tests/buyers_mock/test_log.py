from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from buyers_mock import log as log_module
from buyers_mock.log import Log
from buyers_mock.manner import Decision, Play
from buyers_mock.player import Kind

PLAY = Play(b"", decision=Decision("rejected", b"", "cap"), fault="hang", repeat=True)
kinds: st.SearchStrategy[Kind] = st.sampled_from(["ping", "post"])


def add(
    log: Log, buyer: str = "sunrise", kind: Kind = "ping", body: bytes = b"{}", key: bytes | None = None
) -> None:
    log.add(1_700_000_000_000, buyer, kind, key, body, PLAY)


def test_an_entry_shows_what_was_sent_and_done() -> None:
    log = Log()
    add(log, kind="post", body=b'{"lead_id": "l"}', key=b"l:o")
    (shown,) = json.loads(msgspec.json.encode(log.entries()))
    assert shown == {
        "n": 1,
        "at_ms": 1_700_000_000_000,
        "buyer": "sunrise",
        "kind": "post",
        "key": "l:o",
        "body": {"lead_id": "l"},
        "answered": "rejected: cap",
        "fault": "hang",
        "repeat": True,
    }


@pytest.mark.parametrize("body", [b"", b"not json", b'{"a": "\xff"}', b"[" * 100_000])
def test_a_body_that_is_no_json_is_shown_as_text(body: bytes) -> None:
    log = Log()
    add(log, body=body)
    (shown,) = json.loads(msgspec.json.encode(log.entries()))
    assert shown["body"] == body.decode("utf-8", "replace")


@given(
    sent=st.lists(st.tuples(st.sampled_from("ab"), kinds), max_size=30),
    most=st.integers(1, 10),
    after=st.integers(0, 35),
)
@settings(max_examples=60)
def test_the_newest_are_kept_and_the_rest_is_counted(
    sent: list[tuple[str, Kind]], most: int, after: int
) -> None:
    log = Log(most)
    for buyer, kind in sent:
        add(log, buyer, kind)
    kept = [(n, *one) for n, one in enumerate(sent, 1)][-most:]
    assert log.dropped == len(sent) - len(kept)
    assert log.last == len(sent)
    assert [(one.n, one.buyer, one.kind) for one in log.entries(after=after)] == [
        one for one in kept if one[0] > after
    ]
    assert [one.n for one in log.entries(buyer="a", kind="post")] == [
        n for n, *what in kept if what == ["a", "post"]
    ]


def test_bytes_are_bounded_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_module, "MOST_BYTES", 100)
    log = Log()
    for _ in range(5):
        add(log, body=b"x" * 30, key=b"k" * 10)
    assert [entry.n for entry in log.entries()] == [4, 5]
    assert log.dropped == 3


def test_nothing_is_kept_where_nothing_is_wanted() -> None:
    log = Log(0)
    add(log)
    assert (log.entries(), log.last, log.dropped) == ([], 0, 0)


def test_numbers_go_on_after_a_clear() -> None:
    log = Log()
    add(log)
    log.clear()
    add(log)
    assert [entry.n for entry in log.entries()] == [2]
