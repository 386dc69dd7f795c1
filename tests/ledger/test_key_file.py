"""The file of keys: made once, private, and changed whole under a house that runs."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from auction.errors import OperatorError
from auction.ledger.key_file import KeyFile
from auction.ledger.sealing import KEY_BYTES, keys_from_text


def test_a_key_is_made_once_and_kept_private(tmp_path: Path) -> None:
    path = tmp_path / "secret.key"
    keys = KeyFile(path).load_or_make()
    assert [len(key) for key in keys] == [KEY_BYTES]
    assert KeyFile(path).load_or_make() == keys
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]
    assert keys_from_text(path.read_text().strip()) == keys


def test_workers_that_start_at_once_have_the_same_key(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from auction.ledger.key_file import KeyFile;"
        "sys.stdin.read(); print(KeyFile(Path(sys.argv[1])).load_or_make())"
    )
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", code, tmp_path / "secret.key"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    for worker in workers:  # all wait at the line
        assert worker.stdin is not None
        worker.stdin.close()
        worker.stdin = None
    assert len({worker.communicate(timeout=60)[0] for worker in workers}) == 1
    assert all(worker.returncode == 0 for worker in workers)


def test_a_key_that_others_may_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "secret.key"
    KeyFile(path).load_or_make()
    path.chmod(0o640)
    with pytest.raises(OperatorError, match=f"chmod 600 {path}") as caught:
        KeyFile(path).load_or_make()
    assert caught.value.code == "key_readable"


@pytest.mark.parametrize("content", [b"", b"half a k", b"\xff\xfe"])
def test_a_file_that_holds_no_key_is_not_replaced(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "secret.key"
    os.close(os.open(path, os.O_CREAT, 0o600))
    path.write_bytes(content)
    with pytest.raises(OperatorError) as caught:
        KeyFile(path).load_or_make()
    assert caught.value.code == "bad_key_file"
    assert path.read_bytes() == content


def test_a_new_key_stands_in_front_and_the_others_can_be_dropped(tmp_path: Path) -> None:
    file, other = KeyFile(tmp_path / "secret.key"), KeyFile(tmp_path / "secret.key")
    (first,) = file.load_or_make()
    assert other.load_or_make() == (first,)
    assert not other.changed()
    file.add()
    assert other.changed()
    second, *older = other.load()
    assert (older, other.changed()) == ([first], False)
    file.add()
    third, *older = file.load()
    assert older == [second, first]
    assert file.keep_newest() == 2
    assert file.keep_newest() == 0
    assert other.load() == (third,)
    assert stat.S_IMODE(file.path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [file.path], "nothing is left beside"


def test_lines_for_people_are_no_keys(tmp_path: Path) -> None:
    file = KeyFile(tmp_path / "secret.key")
    keys = file.load_or_make()
    file.path.write_text(f"# made in spring\n\n  {file.path.read_text()}\n")
    assert file.load() == keys
    file.path.unlink()
    assert not file.changed(), "a file that is gone changes nothing"
    with pytest.raises(OperatorError):
        file.load()


def test_keys_that_somebody_left_half_way_are_dropped_too(tmp_path: Path) -> None:
    """Killed between the file beside and its new name: old keys would lie there for good."""
    file = KeyFile(tmp_path / "secret.key")
    (first,) = file.load_or_make()
    left = file._written_beside([b"n" * KEY_BYTES, first])
    others = [tmp_path / "secret.key.old", tmp_path / "ledger.sqlite3"]
    for other in others:
        other.touch()
    file.add()
    assert left.exists(), "it may be another's, who is not done yet"
    assert file.keep_newest() == 1
    assert sorted(tmp_path.iterdir()) == sorted([file.path, *others])
    assert first not in file.load()
