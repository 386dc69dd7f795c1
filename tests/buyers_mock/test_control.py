from __future__ import annotations

from tests.buyers_mock.client import Opener


async def test_the_log_is_read_by_buyer_kind_and_number_and_cleared(play: Opener) -> None:
    client = await (await play({"sunrise": {}, "helios": {"post": {"accept": 0}}})).connect()
    await client.ping("sunrise")
    await client.post("helios", "lead-1", lead={"phone": "5"}, key="lead-1:o")
    await client.ping("helios")
    everything = (await client.ask("GET", "/_log")).said
    assert [(one["n"], one["buyer"], one["kind"]) for one in everything["entries"]] == [
        (1, "sunrise", "ping"),
        (2, "helios", "post"),
        (3, "helios", "ping"),
    ]
    assert (everything["last"], everything["dropped"]) == (3, 0)
    (post,) = (await client.ask("GET", "/_log?buyer=helios&kind=post&after=1")).said["entries"]
    assert post["body"] == {"lead_id": "lead-1", "lead": {"phone": "5"}}
    assert (post["key"], post["answered"], post["fault"]) == ("lead-1:o", "rejected: not_wanted", None)
    assert (await client.ask("GET", "/_log?after=3")).said["entries"] == []
    assert (await client.ask("DELETE", "/_log")).status == 200
    assert (await client.ask("GET", "/_log")).said == {"entries": [], "last": 3, "dropped": 0}


async def test_a_wrong_query_is_named(play: Opener) -> None:
    client = await (await play({"sunrise": {}})).connect()
    assert (await client.ask("GET", "/_log?after=" + "9" * 5000)).status == 422
    answer = await client.ask("GET", "/_log?kind=pong&after=x&since=3")
    assert answer.status == 422
    assert {one["field"] for one in answer.said["errors"]} == {"kind", "after", "since"}


async def test_the_log_is_bounded(play: Opener) -> None:
    client = await (await play({"sunrise": {}}, log_entries=2)).connect()
    for _ in range(5):
        await client.ping("sunrise")
    log = (await client.ask("GET", "/_log")).said
    assert ([one["n"] for one in log["entries"]], log["dropped"]) == ([4, 5], 3)


async def test_a_manner_is_changed_while_it_plays(play: Opener) -> None:
    client = await (await play({"sunrise": {"bid": {"price": 20, "expires_in": 90}}})).connect()
    assert (await client.ping("sunrise")).said["bid"] == 20
    put = await client.ask("PUT", "/_manners/sunrise", {"bid": {"price": 50}})
    assert put.status == 200
    assert put.said == {"bid": {"price": 50.0, "expires_in": 90}}
    assert (await client.ping("sunrise")).said == {"bid": 50.0, "bid_id": "sunrise-2", "expires_in": 90}
    assert (await client.ask("GET", "/_manners")).said == {"sunrise": put.said}


async def test_a_change_with_mistakes_changes_nothing_and_names_each(play: Opener) -> None:
    client = await (await play({"sunrise": {"bid": {"price": 20}}})).connect()
    answer = await client.ask(
        "PUT", "/_manners/sunrise", {"bid": {"price": -1, "prise": 2}, "post": {"accept": 7}}
    )
    assert (answer.status, answer.headers["content-type"]) == (422, "application/problem+json")
    assert {one["field"] for one in answer.said["errors"]} == {"bid.price", "bid.prise", "post.accept"}
    assert (await client.ping("sunrise")).said["bid"] == 20
    for body in (b"{", b"[]", b"7", b'{"bid": "\xff"}'):
        assert (await client.ask("PUT", "/_manners/sunrise", body)).status == 422
    assert (await client.ask("PUT", "/_manners/helios", {})).status == 404


async def test_a_reset_begins_anew_and_keeps_manners(play: Opener) -> None:
    mock = await play({"sunrise": {"bid": {"price": {"uniform": [1, 80]}}}})
    client = await mock.connect()
    await client.ask("PUT", "/_manners/sunrise", {"bid": {"expires_in": 5}})
    first = [(await client.ping("sunrise")).body for _ in range(5)]
    await client.post("sunrise", "lead-1", key="k")
    assert (await client.ask("POST", "/_reset")).status == 200
    counts = (await mock.stats())["buyers"]["sunrise"]
    assert counts.pop("faults") == {}
    assert set(counts.values()) == {0}
    assert (await client.ask("GET", "/_log")).said["entries"] == []
    assert [(await client.ping("sunrise")).body for _ in range(5)] == first
    assert b'"expires_in":5' in first[0]
    await client.post("sunrise", "lead-1", key="k")
    assert (await mock.stats())["buyers"]["sunrise"]["repeats"] == 0


async def test_stats_count_what_each_buyer_did(play: Opener) -> None:
    mock = await play({"sunrise": {"faults": {"error_500": 1}}, "helios": {"bid": {"share_no_bid": 1}}})
    client = await mock.connect()
    await client.ping("sunrise")
    await client.ping("helios")
    await client.post("helios", "lead-1", key="a")
    await client.post("helios", "lead-1", key="a")
    await client.post("helios", "lead-1", key="b")
    buyers = (await mock.stats())["buyers"]
    assert {key: count for key, count in buyers["sunrise"].items() if count} == {
        "pings": 1,
        "faults": {"error_500": 1},
    }
    assert {key: count for key, count in buyers["helios"].items() if count} == {
        "pings": 1,
        "no_bids": 1,
        "posts": 2,
        "accepted": 2,
        "repeats": 1,
        "leads": 1,
    }
