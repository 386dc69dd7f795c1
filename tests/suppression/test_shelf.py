from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from hashlib import md5, sha256
from pathlib import Path

import pytest
from sqlalchemy import Engine

from auction.ledger.engine import open_engine
from auction.ledger.reader import Reader
from auction.market.fields import compile_field
from auction.market.model import FieldSpec, SuppressionList
from auction.suppression.loading import Way, gather, hash_reader, holds, store, value_reader
from auction.suppression.prints import Prints, one_spelling
from auction.suppression.shelf import Shelf

PRINTS = Prints(b"k" * 32)
DNC = SuppressionList(id="dnc", fields=("phone", "mobile"))
ANN, BOB, EVE = "+15125550101", "+15125550102", "+15125550103"
READ = value_reader(PRINTS, compile_field(FieldSpec(name="value", type="phone")), "sha256")


@pytest.fixture
def engine(ledger_url: str) -> Iterator[Engine]:
    opened = open_engine(ledger_url)
    yield opened
    opened.dispose()


@pytest.fixture
async def reader(engine: Engine) -> AsyncIterator[Reader]:
    opened = Reader(engine)
    yield opened
    await opened.close()


def load(engine: Engine, lines: list[str], way: Way = "replace", list_id: str = "dnc") -> int:
    return store(engine, list_id, "sha256", gather(lines, READ), way, 1).entries


def hits(shelf: Shelf, *phones: str) -> list[str]:
    return [phone for phone in phones if shelf.hit([DNC], {"phone": phone})]


async def test_a_shelf_follows_the_ledger(engine: Engine, reader: Reader, tmp_path: Path) -> None:
    shelf = Shelf(reader, tmp_path / "lists", PRINTS)
    assert not await shelf.refresh()
    assert hits(shelf, ANN, BOB, EVE) == []
    load(engine, ["(512) 555-0101", ""])
    assert await shelf.refresh()
    assert not await shelf.refresh()
    assert hits(shelf, ANN, BOB, EVE) == [ANN]
    assert load(engine, [BOB, ANN], "add") == 2
    await shelf.refresh()
    assert hits(shelf, ANN, BOB, EVE) == [ANN, BOB]
    assert load(engine, [ANN, EVE], "remove") == 1
    await shelf.refresh()
    assert hits(shelf, ANN, BOB, EVE) == [BOB]
    assert dict(shelf.entries) == {"dnc": 1}
    assert [path.name for path in (tmp_path / "lists").glob("dnc.[0-9]*")] == ["dnc.3"]
    shelf.close()


async def test_every_field_of_a_list_is_looked_up_and_no_other(
    engine: Engine, reader: Reader, tmp_path: Path
) -> None:
    shelf = Shelf(reader, tmp_path, PRINTS)
    load(engine, [ANN])
    await shelf.refresh()
    other = SuppressionList(id="other", fields=("phone",))
    assert shelf.hit([DNC], {"mobile": ANN}) is DNC
    assert shelf.hit([other, DNC], {"phone": ANN, "mobile": BOB}) is DNC
    assert shelf.hit([DNC], {"fax": ANN, "phone": BOB}) is None
    assert shelf.hit([DNC], {"phone": True}) is None
    assert shelf.hit([], {"phone": ANN}) is None
    assert shelf.hits == 2
    shelf.close()


async def test_several_workers_make_one_file(engine: Engine, reader: Reader, tmp_path: Path) -> None:
    load(engine, [f"512555{number:04d}" for number in range(5_000)])
    shelves = [Shelf(reader, tmp_path, PRINTS) for _ in range(4)]
    assert await asyncio.gather(*(shelf.refresh() for shelf in shelves)) == [True] * 4
    for shelf in shelves:
        assert shelf.entries["dnc"] == 5_000
        assert hits(shelf, "+15125554999", "+15125555000") == ["+15125554999"]
        shelf.close()


async def test_a_file_that_was_cut_short_is_made_again(
    engine: Engine, reader: Reader, tmp_path: Path
) -> None:
    load(engine, [ANN, BOB])
    (tmp_path / "dnc.1").write_bytes(b"12345678")
    shelf = Shelf(reader, tmp_path, PRINTS)
    await shelf.refresh()
    assert hits(shelf, ANN, BOB) == [ANN, BOB]
    shelf.close()


def test_bad_lines_are_told_by_number_and_hashes_are_taken(engine: Engine) -> None:
    gathered = gather(["5125550101", "  ", "nobody", "512555010", *["x"] * 40], READ)
    assert (gathered.lines, gathered.bad, gathered.bad_lines[:3]) == (43, 42, [3, 4, 5])
    assert len(gathered.bad_lines) == 20
    hashed = gather(["ab" * 16, "ab" * 32], hash_reader(PRINTS, "md5"))
    assert (hashed.bad, len(hashed.buckets)) == (1, 1)
    load(engine, [ANN])
    with engine.connect() as conn:
        assert holds(conn, "dnc", PRINTS, ANN)
        assert not holds(conn, "dnc", PRINTS, BOB)
        assert not holds(conn, "other", PRINTS, ANN)


async def test_an_email_is_found_by_the_hash_of_its_lower_case(
    engine: Engine, reader: Reader, tmp_path: Path
) -> None:
    """So the trade hashes them, whatever capitals a person writes."""
    shelf = Shelf(reader, tmp_path, PRINTS)
    mail = [SuppressionList(id="dnc", fields=("email",))]
    low, written = "ann.baker@example.com", "Ann.Baker@example.com"
    store(
        engine,
        "dnc",
        "md5",
        gather([md5(low.encode()).hexdigest()], hash_reader(PRINTS, "md5")),
        "replace",
        1,
    )
    await shelf.refresh()
    assert shelf.look(mail, {"email": written}) is not None
    assert shelf.look(mail, {"email": "Bob@example.com"}) is None
    digest = sha256(low.encode()).hexdigest()
    assert shelf.look_by_digest(mail, {"email": digest}) is None, "another kind of hash"
    store(engine, "dnc", "sha256", gather([digest], hash_reader(PRINTS, "sha256")), "replace", 2)
    await shelf.refresh()
    assert shelf.look_by_digest(mail, {"email": digest}) is not None
    assert shelf.look_by_digest(mail, {"phone": digest}) is None
    shelf.close()


@pytest.mark.parametrize("listed", ["Ann.Baker@Example.com", "ann.baker@example.com"])
@pytest.mark.parametrize("sent", ["ann.baker@example.com", "ANN.BAKER@example.com", "Ann.Baker@example.com"])
async def test_capitals_lead_nobody_past_a_list(
    engine: Engine, reader: Reader, tmp_path: Path, listed: str, sent: str
) -> None:
    """Neither those of whoever asked not to be written to, nor those of a seller."""
    shelf = Shelf(reader, tmp_path, PRINTS)
    mail = [SuppressionList(id="dnc", fields=("email",))]
    read = value_reader(PRINTS, compile_field(FieldSpec(name="value", type="email")), "sha256")
    store(engine, "dnc", "sha256", gather([listed], read), "replace", 1)
    await shelf.refresh()
    assert shelf.look(mail, {"email": sent}) is not None
    assert shelf.look(mail, {"email": "x" + sent}) is None
    digest = sha256(sent.lower().encode()).hexdigest()
    assert shelf.look_by_digest(mail, {"email": digest}) is not None
    with engine.connect() as conn:
        assert holds(conn, "dnc", PRINTS, sent)
    shelf.close()


def test_what_was_loaded_with_its_capitals_is_found_and_removed(engine: Engine) -> None:
    normal = compile_field(FieldSpec(name="value", type="email"))
    read = value_reader(PRINTS, normal, "sha256")
    written = value_reader(PRINTS, normal, "sha256", as_written=True)
    store(engine, "dnc", "sha256", gather(["Ann@example.com"], written), "replace", 1)
    with engine.connect() as conn:
        assert holds(conn, "dnc", PRINTS, "Ann@example.com")
    store(engine, "dnc", "sha256", gather(["Ann@example.com"], read, written), "remove", 2)
    with engine.connect() as conn:
        assert not holds(conn, "dnc", PRINTS, "Ann@example.com")


@pytest.mark.parametrize(
    ("value", "spelled"),
    [
        ("Ann@example.com", "ann@example.com"),
        ("Ann  Lee", "ann lee"),
        ("+15125550142", "+15125550142"),
        ("https://x.example/A", "https://x.example/A"),
    ],
)
def test_one_spelling(value: str, spelled: str) -> None:
    assert one_spelling(value) == spelled
