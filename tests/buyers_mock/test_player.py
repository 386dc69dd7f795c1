from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from buyers_mock import player as player_module
from buyers_mock.manner import Delivery, Play
from buyers_mock.player import Kind, Player
from buyers_mock.script import Auth, BidManner, Caps, Faults, Manner, PingFaults, PostManner, Spread

RESTLESS = Manner(
    bid=BidManner(price=Spread(normal=(42, 6)), share_no_bid=0.2),
    latency_ms=Spread(uniform=(1, 90)),
    faults=PingFaults(error_500=0.1, hang=0.1, negative=0.1),
    post=PostManner(
        accept=0.6, reject_reasons=("a", "b"), latency_ms=Spread(uniform=(1, 90)), faults=Faults(reset=0.2)
    ),
)
kinds: st.SearchStrategy[Kind] = st.sampled_from(["ping", "post"])
requests = st.lists(st.tuples(kinds, st.sampled_from([None, b"a", b"b", b"c", b"d"])), max_size=40)


def body_of(lead_id: str, **lead: object) -> bytes:
    return json.dumps({"lead_id": lead_id, "lead": lead}).encode()


def plays(player: Player, sent: list[tuple[Kind, bytes | None]]) -> list[Play]:
    return [player.play(kind, key, body_of("x")) for kind, key in sent]


@given(sent=requests, seed=st.integers(0, 50))
@settings(max_examples=60)
def test_the_same_seed_and_requests_give_the_same_plays_also_after_a_reset(
    sent: list[tuple[Kind, bytes | None]], seed: int
) -> None:
    player = Player("sunrise", RESTLESS, seed)
    first = plays(player, sent)
    assert first == plays(Player("sunrise", RESTLESS, seed), sent)
    player.reset()
    assert first == plays(player, sent)


def test_seeds_and_buyers_differ() -> None:
    sent: list[tuple[Kind, bytes | None]] = [("ping", None)] * 20
    answers = [
        [play.delay_ms for play in plays(player, sent)]
        for player in (
            Player("sunrise", RESTLESS, 7),
            Player("sunrise", RESTLESS, 8),
            Player("helios", RESTLESS, 7),
        )
    ]
    assert answers[0] != answers[1] != answers[2] != answers[0]


@given(sent=requests)
@settings(max_examples=80)
def test_a_key_binds_what_was_decided_and_counts_once(sent: list[tuple[Kind, bytes | None]]) -> None:
    player = Player("sunrise", RESTLESS, 7)
    decided: dict[tuple[Kind, bytes], bytes] = {}
    fresh = {"ping": 0, "post": 0}
    outcomes = {"bid": 0, "no_bid": 0, "accepted": 0, "rejected": 0}
    for kind, key in sent:
        play = player.play(kind, key, body_of("x"))
        known = key is not None and (kind, key) in decided
        assert play.repeat is known
        if known:
            assert key is not None
            assert play.decision is not None
            assert play.decision.answer == decided[kind, key]
            continue
        fresh[kind] += 1
        if play.decision is not None:
            outcomes[play.decision.outcome] += 1
            if key is not None:
                decided[kind, key] = play.decision.answer
    counts = player.counts
    assert (counts.pings, counts.posts) == (fresh["ping"], fresh["post"])
    assert counts.repeats == len(sent) - fresh["ping"] - fresh["post"]
    counted = (counts.bids, counts.no_bids, counts.accepted, counts.rejected)
    assert counted == tuple(outcomes.values())


def test_a_lead_is_taken_though_its_answer_is_lost() -> None:
    player = Player("sunrise", Manner(post=PostManner(faults=Faults(reset=1.0))), 7)
    lost = player.play("post", b"k", body_of("lead-1"))
    assert lost.delivery is Delivery.RESET
    assert player.counts.accepted == 1
    player.change(Manner())
    told = player.play("post", b"k", body_of("lead-1"))
    assert told.repeat
    assert told.delivery is Delivery.WHOLE
    assert b'"accepted"' in told.answer
    assert player.counts.accepted == player.counts.leads == 1


def test_an_error_decides_nothing() -> None:
    player = Player("sunrise", Manner(post=PostManner(faults=Faults(error_500=1.0))), 7)
    assert player.play("post", b"k", body_of("lead-1")).answered == "nothing"
    player.change(Manner())
    assert not player.play("post", b"k", body_of("lead-1")).repeat
    assert player.counts.accepted == 1


def test_duplicates_are_refused_once_one_was_taken() -> None:
    player = Player("stormshield", Manner(post=PostManner(refuse_duplicates=("phone",))), 7)
    answered = [
        player.play("post", None, body).answered
        for body in (
            body_of("1", phone="5"),
            body_of("2", phone="5"),
            body_of("3", phone="6"),
            body_of("4"),
            body_of("5"),
        )
    ]
    assert answered == ["accepted", "rejected: duplicate", "accepted", "accepted", "accepted"]


def test_its_own_cap_closes_the_door() -> None:
    player = Player("sunrise", Manner(caps=Caps(leads=2)), 7)
    answered = [player.play("post", None, body_of(str(n))).answered for n in range(4)]
    assert answered == ["accepted", "accepted", "rejected: cap", "rejected: cap"]


def test_distinct_leads_are_counted_apart_from_acceptances() -> None:
    player = Player("sunrise", Manner(), 7)
    for key in (b"a", b"b", b"c"):
        player.play("post", key, body_of("lead-1" if key != b"c" else "lead-2"))
    assert (player.counts.accepted, player.counts.leads) == (3, 2)


def test_a_body_that_is_no_object_is_a_bad_request() -> None:
    player = Player("sunrise", Manner(), 7)
    for body in (b"", b"[1]", b'{"lead": 7}', b'{"lead_id": "\xff"}', b"[" * 100_000):
        play = player.play("post", b"k", body)
        assert play.answer.startswith(b"HTTP/1.1 400 ")
        assert not play.repeat
    assert player.counts.bad_requests == 5
    assert player.counts.accepted == 0


def test_auth_is_asked_for() -> None:
    player = Player("sunrise", Manner(auth=Auth(value="Bearer x", header="X-Key")), 7)
    assert player.admits({b"x-key": b"Bearer x"})
    assert not player.admits({b"x-key": b"Bearer y"})
    assert not player.admits({})
    assert player.counts.unauthorised == 2


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(player_module, "MOST_REMEMBERED", 3)
    player = Player("sunrise", Manner(), 7)
    for n in range(5):
        player.play("ping", b"%d" % n, b"")
    assert player.counts.forgotten == 2
    assert not player.play("ping", b"0", b"").repeat
    assert player.play("ping", b"4", b"").repeat
