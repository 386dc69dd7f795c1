from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auction.catalogue import yaml_source
from auction.catalogue.yaml_source import (
    Items,
    Node,
    Scalar,
    Unreadable,
    line_at,
    parse_yaml,
    resolve,
    resolve_plain,
)


def plain(node: Node | None) -> object:
    """The tree without its lines."""
    if isinstance(node, Scalar):
        return node.text
    if isinstance(node, Items):
        return [plain(item) for item in node.items]
    return {key.text: plain(value) for key, value in node.pairs} if node else None


@pytest.mark.parametrize("text", ["", "\n", "# nothing\n", "---\n", "~", "null"])
def test_nothing_is_none(text: str) -> None:
    assert parse_yaml(text) is None


def test_scalars_stay_as_written() -> None:
    text = "a: [NO, no, 8:00, 01234, 2024-01-01, 1_000, 0x1F, 1e3, ~]"
    assert plain(parse_yaml(text)) == {
        "a": ["NO", "no", "8:00", "01234", "2024-01-01", "1_000", "0x1F", "1e3", "~"]
    }


def test_json_is_yaml() -> None:
    assert plain(parse_yaml('{"a": [1, true, null, "x\\u00e9"], "b": {}}')) == {
        "a": ["1", "true", "null", "xé"],
        "b": {},
    }


def test_anchors_repeat_and_merge() -> None:
    text = """
base: &base {a: 1, b: 2}
more: &more {b: 3, c: 4}
one: *base
own: {<<: *base, b: 9}
both: {<<: [*base, *more], d: 5}
quoted: {"<<": *base}
"""
    root = plain(parse_yaml(text))
    assert isinstance(root, dict)
    assert root["one"] == {"a": "1", "b": "2"}
    assert root["own"] == {"b": "9", "a": "1"}
    assert root["both"] == {"d": "5", "a": "1", "b": "2", "c": "4"}
    assert root["quoted"] == {"<<": {"a": "1", "b": "2"}}


@pytest.mark.parametrize(
    ("text", "line", "sentence"),
    [
        ("a: [1,\nb: 2", 3, "not readable as YAML"),
        ("a: 1\nb: 'x", 2, "unexpected end of stream"),
        ("a: 1\nb:\n\t- c", 3, "not readable as YAML"),
        ("a: b: c", 1, "mapping values are not allowed"),
        (
            "a: 1\nb: !!python/object:os.system x",
            2,
            "tags such as `tag:yaml.org,2002:python/object:os.system`",
        ),
        ("a: 1\nb: !x [1]", 2, "tags such as `!x`"),
        ("a: 1\nb: ! x", 2, "tags such as `!`"),
        ("a: &a\n  b: *a", 2, "no anchor `&a` ends above"),
        ("a: 1\nb: *c", 2, "no anchor `&c` ends above"),
        ("a: 1\n---\nb: 1", 2, "one YAML document"),
        ("a: 1\n[b]: 2", 2, "expected a name as key"),
        ("a: 1\nb: \x07", 2, "U+0007"),
        ("a: 1\n\nb: \ud800", 3, "U+D800"),
        ("a: 1\nb: " + "[" * 65 + "]" * 65, 2, "nested more than 64 deep"),
        ("a: 1\nb: " + "[" * 500_000, 2, "nested more than 64 deep"),
    ],
)
def test_what_cannot_be_read_is_told_with_its_line(text: str, line: int, sentence: str) -> None:
    with pytest.raises(Unreadable) as caught:
        parse_yaml(text)
    assert caught.value.line == line
    assert sentence in caught.value.error


def test_aliases_cannot_grow_without_end() -> None:
    levels = "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12))
    with pytest.raises(Unreadable, match="repeat more than 100000 nodes"):
        parse_yaml(f"a0: &a0 [x]\n{levels}")


def test_aliases_cannot_nest_without_end() -> None:
    levels = "".join(f"a{n}: &a{n} {'[' * 20}*a{n - 1}{']' * 20}\n" for n in range(1, 9))
    with pytest.raises(Unreadable, match="nested more than 64 deep"):
        parse_yaml(f"a0: &a0 [x]\n{levels}")


def test_a_file_has_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(yaml_source, "MOST_NODES", 10)
    parse_yaml("[1, 2, 3, 4, 5, 6, 7, 8, 9]")
    with pytest.raises(Unreadable, match="more than 10 nodes"):
        parse_yaml("[1, 2, 3, 4, 5, 6, 7, 8, 9, 10]")
    monkeypatch.setattr(yaml_source, "MOST_CHARACTERS", 10)
    with pytest.raises(Unreadable, match="at most 10 characters, has 11"):
        parse_yaml("x" * 11)


def test_lines_are_found_by_path() -> None:
    node = parse_yaml("a:\n  - b: 1\n    c:\n      d: 2\n  - e\nf: 3")
    assert node is not None
    assert line_at(node, ()) == 1
    assert line_at(node, ("a", 0, "c")) == 3
    assert line_at(node, ("a", 0, "c", "d")) == 4
    assert line_at(node, ("a", 1)) == 5
    assert line_at(node, ("f", "not there")) == 6
    assert line_at(node, ("a", 0, "missing", "deeper")) == 2
    assert line_at(node, ("a", 7)) == 1


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *[("true", True), ("False", False), ("null", None), ("~", None), ("", None)],
        *[("0", 0), ("-5", -5), ("+7", 7), ("1.50", 1.5), ("1e3", 1000.0), (".5", 0.5), ("5.", 5.0)],
        *[
            (text, text)
            for text in ("yes", "NO", "off", "007", "-01", "1_000", "0x1F", "0o17", "8:00", "1:30:00")
        ],
        *[
            (text, text)
            for text in ("2024-01-01", ".inf", ".nan", "1e999", "nan", "+", ".", "1e", "<<", "99" * 20)
        ],
    ],
)
def test_plain_scalars_resolve_as_in_yaml_1_2(text: str, value: object) -> None:
    resolved = resolve_plain(text)
    assert resolved == value
    assert type(resolved) is type(value)


def test_quotes_keep_text() -> None:
    assert resolve(Scalar(1, "true", plain=False)) == "true"
    assert resolve(Scalar(1, "", plain=False)) == ""


@given(st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False))
def test_every_number_that_json_has_resolves_to_itself(number: float) -> None:
    resolved = resolve_plain(str(number))
    assert resolved == number
    assert type(resolved) is type(number)


@settings(max_examples=300, deadline=None)
@given(
    st.text(alphabet=st.sampled_from("ab:-{}[],&*!|>'\"%@`#?<~ \n\t0\x00\ud800\ufeff"), max_size=40)
    | st.text()
)
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        parse_yaml(text)
    except Unreadable as error:
        refused = error
    else:
        return
    assert 1 <= refused.line <= text.count("\n") + text.count("\r") + 4
    assert refused.error
