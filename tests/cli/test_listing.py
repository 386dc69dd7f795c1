"""What commands list: for programs, for people, and where there is nothing."""

from __future__ import annotations

import io
from typing import Any

import msgspec
import pytest
from rich.console import Console

from auction.cli.listing import FILE_WIDTH, say_cut, show_line, show_list, show_table


class Shown(msgspec.Struct, frozen=True):
    id: str
    said: str | None = None


def listed(capsys: pytest.CaptureFixture[str], shown: list[Shown], **how: Any) -> str:
    show_list(shown, ("id", "said"), lambda one: (one.id, one.said or ""), nothing="there is none", **how)
    out, err = capsys.readouterr()
    assert err == ""
    return out


def test_a_list_is_a_table_for_people_and_an_object_a_line_for_programs(
    capsys: pytest.CaptureFixture[str],
) -> None:
    shown = [Shown("a", "ping " * 60 + "end"), Shown("b")]
    lines = listed(capsys, shown, as_json=False).splitlines()
    assert [line.split()[0] for line in lines] == ["id", "a", "b"]
    assert lines[1].endswith("ping end"), "a line is whole in a file, however long it is"
    assert lines[2] == "b", "and no longer than what it says"
    assert [msgspec.json.decode(line) for line in listed(capsys, shown, as_json=True).splitlines()] == [
        {"id": "a", "said": shown[0].said},
        {"id": "b", "said": None},
    ]


def test_nothing_is_said_to_people_and_is_no_line_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    assert listed(capsys, [], as_json=False) == "there is none\n"
    assert listed(capsys, [], as_json=True) == ""


@pytest.mark.parametrize(
    ("found", "said"),
    [(2_000, ""), (2_001, "only the oldest 2,000 are shown, of 9 in all\n")],
)
def test_what_is_left_off_is_said_beside_the_list(
    capsys: pytest.CaptureFixture[str], found: int, said: str
) -> None:
    say_cut(found, 2_000, "oldest", ", of 9 in all")
    assert capsys.readouterr() == ("", said)


@pytest.mark.parametrize("text", ["[bold]x[/bold]", ":smile:", "a\nb", "\x1b[2Jgone", "\u202eevil"])
def test_what_others_wrote_steers_nothing(text: str) -> None:
    out = io.StringIO()
    to = Console(file=out, width=FILE_WIDTH, emoji=False)
    show_table(to, ("said",), [(text,)])
    show_line(to, text)
    _, in_table, alone = out.getvalue().splitlines()
    assert in_table == alone == "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
