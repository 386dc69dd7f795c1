from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from auction.suppression.buckets import (
    Buckets,
    PrintFile,
    bucket_of,
    contains,
    joined,
    without,
    write_file,
)

prints = st.integers(0, 2**64 - 1)
near = prints | st.sampled_from([0, 1, 2**56 - 1, 2**56, 2**64 - 1])


@given(first=st.sets(near, max_size=40), then=st.sets(near, max_size=40), asked=st.lists(near, max_size=10))
def test_a_file_holds_what_was_put_into_its_runs(
    tmp_path_factory: object, first: set[int], then: set[int], asked: list[int]
) -> None:
    runs = dict.fromkeys(range(256), b"")
    for step, change in ((first, joined), (then, without)):
        gathered = Buckets()
        for one in step:
            gathered.add(one)
            gathered.add(one)
        assert len(gathered) == 2 * len(step)
        runs = {bucket: change(run, gathered.run(bucket)) for bucket, run in runs.items()}
    left = first - then
    path = Path(tmp_path_factory.mktemp("prints")) / "list.1"  # type: ignore[attr-defined]
    write_file(path, runs.values())
    held = PrintFile(path)
    assert len(held) == len(left)
    for one in {*first, *then, *asked}:
        assert (one in held) == (one in left)
        assert contains(runs[bucket_of(one)], one) == (one in left)
    held.close()


def test_an_empty_list_holds_nothing(tmp_path: Path) -> None:
    write_file(tmp_path / "empty.1", [])
    held = PrintFile(tmp_path / "empty.1")
    assert len(held) == 0
    assert 5 not in held
    held.close()
