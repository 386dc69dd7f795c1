"""`auction audit`: what the command line did is written down, and shown."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec

from tests.cli.conftest import Run
from tests.house import catalogue


def test_changes_by_the_command_line_are_shown(auction: Run, folder: Path) -> None:
    lists = [{"id": "dnc", "fields": ["phone"], "campaigns": ["solar"]}]
    order = {"id": "a", "buyer": "ann", "price": {"fixed": 25}}
    for price in (25, 27.5):
        text = catalogue([{**order, "price": {"fixed": price}}], suppression_lists=lists)
        (folder / "market.yaml").write_text(text)
        assert auction("apply", "market.yaml").exit_code == 0
    auction("keys", "create", "acme")
    (folder / "numbers").write_text("512-555-0101\n")
    auction("suppress", "load", "dnc", "numbers")
    lines = auction("audit", "--most", "3").stdout.splitlines()
    assert [re.sub(r"^\S+  ", "", line) for line in lines[:1]] == [
        "cli  replace_entries suppression_list dnc  1 line read; 1 entry now"
    ]
    assert re.search(r"  cli  add_key seller acme  sha256:[0-9a-f]{64}  version 3$", lines[1])
    assert lines[2].endswith("  cli  change order a  price.fixed: 25.00 -> 27.50  version 2")
    told = auction("audit", "--kind", "order", "--id", "a", "--json").stdout.splitlines()
    assert [msgspec.json.decode(line)["action"] for line in told] == ["change", "create"]
    assert auction("audit", "--who", "buyer:ann").stdout == "nothing was changed\n"
    assert auction("audit", "--who", "buyer:ann", "--json").output == ""
    for wrong, said in (
        (("--who", "buyer:amn"), "there is no caller `buyer:amn`; did you mean `buyer:ann`?\n"),
        (("--id", "anne"), "there is no entry `anne`; did you mean `ann`?\n"),
        (("--kind", "order", "--id", "ann"), "there is no order `ann`; known: a\n"),
    ):
        refused = auction("audit", *wrong)
        assert (refused.exit_code, refused.stdout, refused.stderr) == (2, "", said)
