"""The page of the sale says what the table says."""

from __future__ import annotations

from auction.post.diagram import COMMAND, PAGE, page
from auction.post.sale import MOVE_MEANS, MOVES, STATE_MEANS, LeadState, Move


def test_the_page_is_made_from_the_table_of_now() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), f"the sale has changed: run {COMMAND}"


def test_every_move_and_state_is_explained_and_drawn() -> None:
    drawn = page()
    assert set(MOVE_MEANS) == set(Move)
    assert set(STATE_MEANS) == set(LeadState)
    for (source, move), target in MOVES.items():
        (arrow,) = [line for line in drawn.splitlines() if f" {source} --> {target}:" in line]
        assert move in arrow.partition(":")[2].strip().split(", ")
