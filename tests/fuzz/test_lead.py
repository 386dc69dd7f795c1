"""Any lead at all, against any campaign that a check lets through: decoded, or every mistake named."""

from __future__ import annotations

from typing import Any, get_args

from hypothesis import assume, given
from hypothesis import strategies as st

from auction.market.fields import LeadDecoder, check_spec
from auction.market.model import FieldSpec, FieldType
from tests.fuzz.effort import tries

NAMES = ["state", "zip", "bill", "born", "phone", "email", "note", "Überschrift"]
TYPES: tuple[FieldType, ...] = get_args(FieldType)

texts = st.text(max_size=12) | st.sampled_from(
    ["TX", "texas", "75001", "75001-1234", "2026-02-29", "02/28/2026", "+15125550142", "a@b.co", "yes", "1e5"]
)
numbers = st.integers() | st.floats() | st.sampled_from([10**400, 2**64, 501, 99950, 5.0, -0.0])
values = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=5,
)


@st.composite
def specs(draw: st.DrawFn, name: str) -> FieldSpec:
    kind = draw(st.sampled_from(TYPES))
    bounds = {"integer": st.integers(-9, 9), "number": st.floats(-9, 9)}.get(kind, st.none())
    spec = FieldSpec(
        name=name,
        type=kind,
        required=draw(st.sampled_from(["ping", "post", "no"])),
        ping=draw(st.booleans()),
        pii=draw(st.booleans()),
        min=draw(st.none() | bounds),
        max=draw(st.none() | bounds),
        choices=tuple(draw(st.lists(st.sampled_from(["a", "b", "Ü"]), max_size=3, unique=True)))
        if kind == "choice"
        else (),
    )
    assume(not check_spec(spec))
    return spec


@st.composite
def campaigns(draw: st.DrawFn) -> list[FieldSpec]:
    names = draw(st.lists(st.sampled_from(NAMES), min_size=1, max_size=5, unique=True))
    return [draw(specs(name)) for name in names]


leads = st.dictionaries(st.sampled_from(NAMES) | texts, values, max_size=8)


@tries(150)
@given(fields=campaigns(), unknown=st.sampled_from(["reject", "ignore"]), ping=leads, post=leads)
def test_any_lead(fields: list[FieldSpec], unknown: Any, ping: dict[str, Any], post: dict[str, Any]) -> None:
    decoder = LeadDecoder(fields, unknown)
    known, mistakes = decoder.ping(ping)
    in_ping = {spec.name for spec in fields if spec.in_ping}
    assert known.keys() <= in_ping
    assert all(isinstance(value, str | int | float | bool) for value in known.values())
    told = {mistake.field.removeprefix("lead.") for mistake in mistakes}
    for spec in fields:
        if spec.pii and ping.get(spec.name) is not None:
            assert spec.name in told
        if spec.name in in_ping and ping.get(spec.name) is not None:
            assert (spec.name in known) != (spec.name in told)
    # What was decoded is a lead of the same campaign, and decodes to itself.
    if not mistakes:
        assert decoder.ping(known) == (known, [])
    decoded = decoder.post(post, known)
    assert decoded.values.keys() <= {spec.name for spec in fields}
    assert {change.field for change in decoded.changed} <= in_ping
    if not decoded.mistakes:
        again = decoder.post(decoded.values, decoded.values)
        assert (again.values, again.mistakes, again.changed) == (decoded.values, [], ())
