"""Admission in a model of the house: below its capacity nobody is refused, above it the house goes on working, and only
those feel it who send more than their share."""

from __future__ import annotations

import pytest

from tests.api.modelled import CAPACITY, Caller, Stream, house, percentile

ONE, MODEST = ("one",), ("modest",)
TMAX_S = 0.4


@pytest.mark.parametrize("buyers_s", [0.0, 0.05, 0.2])
@pytest.mark.parametrize("share", [0.5, 0.8])
def test_below_its_capacity_a_house_refuses_nobody(share: float, buyers_s: float) -> None:
    told = house({ONE: Stream(share=share)}, 5.0, buyers_s, pause_s=0.1)[ONE]
    assert not told.refused
    assert percentile(told.served_s(), 50) < buyers_s + 0.01


@pytest.mark.parametrize("callers", [1, 30], ids=["of one", "of thirty"])
@pytest.mark.parametrize("buyers_s", [0.0, 0.2])
@pytest.mark.parametrize(("share", "least"), [(1.2, 0.9), (2, 0.85), (5, 0.75)])
def test_above_it_the_house_goes_on_and_who_is_let_in_is_in_time(
    share: float, least: float, buyers_s: float, callers: int
) -> None:
    """What is left of the capacity is what reading and refusing the others costs."""
    seconds = 6.0
    streams: dict[Caller, Stream] = {
        (f"{number}",): Stream(share=share / callers) for number in range(callers)
    }
    all_told = house(streams, seconds, buyers_s).values()
    served_s = [took for told in all_told for took in told.served_s()]
    assert len(served_s) / seconds >= least * CAPACITY
    late_s = percentile(served_s, 99) - buyers_s
    assert late_s < 0.3, "at the onset, while it might be a burst"
    settled_s = [took for told in all_told for took in told.served_s(1.5)]
    assert percentile(settled_s, 50) < buyers_s + 0.05
    assert percentile(settled_s, 99.9) < min(TMAX_S, buyers_s + 0.15)
    assert percentile([took for told in all_told for took in told.refused_s(1.5)], 99) < 0.08
    each = [len(told.served) for told in all_told]
    assert min(each) > 0.8 * max(each), "all alike"


def flooding(share: float, by: int = 1, costs: float = 1.0, leads: bool = False) -> dict[Caller, Stream]:
    """Callers who send `share` of the capacity together."""
    one = Stream(share=share / by, costs=costs, leads=leads)
    return {(f"flood {number}",): one for number in range(by)}


@pytest.mark.parametrize(
    ("floods", "modest"),
    [
        (flooding(2), Stream(share=0.1)),
        (flooding(2), Stream(share=0.4)),
        (flooding(5), Stream(share=0.1, at_once=5)),
        (flooding(2, by=9), Stream(share=0.05, at_once=4)),
        (flooding(2, by=100), Stream(share=0.005)),
        (flooding(6, costs=0.3), Stream(share=0.1)),
        (flooding(2, leads=True), Stream(share=0.1)),
        (flooding(2, leads=True), Stream(share=0.1, leads=True)),
        ({("", f"{host}"): Stream(share=0.4) for host in range(5)}, Stream(share=0.3)),
    ],
    ids=[
        *("one", "one, and nearly its share", "one, five at once", "nine, four at once"),
        *("a hundred", "one beyond its rate", "with leads", "with leads, for leads", "without keys"),
    ],
)
def test_who_sends_less_than_its_share_does_not_feel_those_who_send_more(
    floods: dict[Caller, Stream], modest: Stream
) -> None:
    told = house({**floods, MODEST: modest}, 4.0)
    modest_told = told.pop(MODEST)
    assert len(modest_told.refused) <= 0.003 * len(modest_told.served)
    assert percentile(modest_told.served_s(), 99) < 0.08, "from the first moment on"
    assert all(each.refused for each in told.values())


def test_of_those_without_a_key_who_comes_from_elsewhere_does_not_feel_a_flood_from_one_place() -> None:
    streams = {
        ("", "flood"): Stream(share=3),
        ("", "elsewhere"): Stream(share=0.1),
        ONE: Stream(share=0.3),
    }
    told = house(streams, 4.0)
    assert not told["", "elsewhere"].refused
    assert not told[ONE].refused
