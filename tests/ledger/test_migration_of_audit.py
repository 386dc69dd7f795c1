"""An audit in which secrets of webhooks were written down knows them no more."""

from __future__ import annotations

from pathlib import Path

import msgspec
from alembic import command
from alembic.config import Config
from sqlalchemy import text

import auction.ledger.migrations as migrations
from auction.catalogue.changes import key_changes
from auction.catalogue.writing import write_line
from auction.ledger.engine import open_engine, transaction
from auction.ledger.migrations import upgrade
from auction.market.model import Postback, Seller

BEFORE = "0015"
SECRET, TOKEN = "whsec_c2VjcmV0LXNlY3JldC1zZWNyZXQtMTIz", "t0k3n"
ROW = (
    "INSERT INTO audit (id, at_ms, who, action, kind, entry, version, changes)"
    " VALUES (:id, 1, 'cli', 'change', :kind, 'acme', 2, :changes)"
)


def as_it_was(url: str, secret: str | None) -> str:
    """A change of a seller's postbacks as it was once written."""
    postback = {"url": url} | ({"secret": secret} if secret else {})
    line = write_line([postback])
    return f"postbacks: [] -> {line if len(line) <= 120 else line[:120] + '...'}"


def as_it_is(url: str, secret: str | None) -> str:
    """The same as it is written now."""
    before, after = Seller(id="acme"), Seller(id="acme", postbacks=(Postback(url=url, secret=secret),))
    (change,) = key_changes(before, after)
    return str(change)


def test_what_was_written_with_secrets_is_written_without(empty_url: str) -> None:
    good = [
        as_it_is("https://x.test/p", SECRET),
        as_it_is("https://x.test/p?key=" + TOKEN, None),
        as_it_is("https://x.test/p", None),
    ]
    assert all("(secret)" in line or "?..." in line or "secret" not in line for line in good)
    bad = [
        as_it_was("https://x.test/p", SECRET),
        as_it_was("https://x.test/p", "env:ACME"),
        as_it_was(f"https://x.test/{'p' * 80}", SECRET),  # cut off in the middle of it
        as_it_was(f"https://x.test/p?key={TOKEN}&id={{lead_id}}", None),
        f"{as_it_is('https://x.test/p', SECRET)} -> [{{url: 'https://x.test/p', secret: {SECRET}}}]",
    ]
    others = ["name: '' -> 'Zoë, secret'", "paused: false -> true"]
    rows = {f"{at}": ("seller", [others[0], line, others[1]]) for at, line in enumerate([*good, *bad])}
    rows["other"] = ("suppression_list", ["postbacks: secret"])

    engine = open_engine(empty_url)
    with transaction(engine) as conn:
        config = Config()
        config.set_main_option("script_location", str(Path(migrations.__file__).parent))
        config.set_main_option("path_separator", "os")
        config.attributes["connection"] = conn
        command.upgrade(config, BEFORE)
    with transaction(engine) as conn:
        for id_, (kind, changes) in rows.items():
            known = {"id": id_, "kind": kind, "changes": msgspec.json.encode(changes).decode()}
            conn.execute(text(ROW), known)
    upgrade(engine)
    with engine.connect() as conn:
        found: dict[str, str] = {row.id: row.changes for row in conn.execute(text("SELECT * FROM audit"))}
    engine.dispose()

    assert all(planted not in str(found) for planted in (SECRET, SECRET[:16], TOKEN, "env:ACME"))
    for at, line in enumerate([*good, *bad]):
        expected = line if line in good else "postbacks: (changed)"
        assert msgspec.json.decode(found[f"{at}"]) == [others[0], expected, others[1]]
    assert msgspec.json.decode(found["other"]) == rows["other"][1]
