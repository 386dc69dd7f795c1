from __future__ import annotations

import pytest
from sqlalchemy import Engine, select

from auction.errors import OperatorError
from auction.ledger import suppression_store as store
from auction.ledger.schema import suppression_runs
from auction.ledger.suppression_store import ListState, replace_runs, runs, state_of, states

ONE, TWO, THREE = (number.to_bytes(8, "little") for number in (1, 2, 3))


def held(engine: Engine, list_id: str = "dnc") -> dict[int, bytes]:
    with engine.connect() as conn:
        state = state_of(conn, list_id)
        assert state is not None
        return {bucket: run for bucket, run in enumerate(runs(conn, state)) if run}


def test_a_list_is_replaced_whole_or_run_by_run(engine: Engine) -> None:
    first = replace_runs(engine, "dnc", "sha256", {0: ONE + TWO, 9: THREE}, 5, keep_rest=False)
    assert first == ListState("dnc", 1, 1, "sha256", 3, 5)
    second = replace_runs(engine, "dnc", "sha256", {9: b"", 200: ONE}, 6, keep_rest=True, expected=first)
    assert (second.version, second.entries) == (2, 3)
    assert held(engine) == {0: ONE + TWO, 200: ONE}
    third = replace_runs(engine, "dnc", "md5", {7: ONE}, 7, keep_rest=False)
    assert (third.form, held(engine)) == ("md5", {7: ONE})
    with engine.connect() as conn:
        assert len(conn.execute(select(suppression_runs)).all()) == 1  # nothing is left of older versions


def test_lists_are_apart_and_one_without_entries_is_still_there(engine: Engine) -> None:
    replace_runs(engine, "a", "sha256", {0: ONE}, 1, keep_rest=False)
    replace_runs(engine, "b", "sha256", {}, 1, keep_rest=False)
    with engine.connect() as conn:
        assert {name: state.entries for name, state in states(conn).items()} == {"a": 1, "b": 0}
        assert state_of(conn, "c") is None


def test_a_change_that_was_cut_off_changed_nothing(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    replace_runs(engine, "dnc", "sha256", {0: ONE}, 1, keep_rest=False)

    class Killed(BaseException):
        pass

    def killed(*_: object) -> ListState:
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(store, "_end", killed)
        with pytest.raises(Killed):
            replace_runs(engine, "dnc", "sha256", {0: TWO, 3: TWO}, 2, keep_rest=False)
    assert held(engine) == {0: ONE}
    again = replace_runs(engine, "dnc", "sha256", {0: TWO}, 3, keep_rest=False)
    assert (again.entries, held(engine)) == (1, {0: TWO})


def test_of_two_changes_at_once_the_last_begun_holds(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    first = replace_runs(engine, "dnc", "sha256", {0: ONE}, 1, keep_rest=False)
    ends = store._end

    def overtaken(*arguments: object) -> ListState:
        monkeypatch.setattr(store, "_end", ends)
        replace_runs(engine, "dnc", "sha256", {0: THREE}, 2, keep_rest=False)
        return ends(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(store, "_end", overtaken)
    with pytest.raises(OperatorError) as caught:
        replace_runs(engine, "dnc", "sha256", {0: TWO}, 3, keep_rest=False)
    assert caught.value.code == "list_changed"
    assert held(engine) == {0: THREE}
    with pytest.raises(OperatorError) as caught:  # made from a version that is no more
        replace_runs(engine, "dnc", "sha256", {0: TWO}, 3, keep_rest=True, expected=first)
    assert caught.value.code == "list_changed"


def test_another_form_cannot_be_mixed_in(engine: Engine) -> None:
    first = replace_runs(engine, "dnc", "sha256", {0: ONE}, 1, keep_rest=False)
    with pytest.raises(OperatorError) as caught:
        replace_runs(engine, "dnc", "md5", {1: ONE}, 2, keep_rest=True, expected=first)
    assert caught.value.code == "other_form"
    assert held(engine) == {0: ONE}
