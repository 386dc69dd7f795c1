"""`docs/sale.md`, made from the table of moves: `python -m auction.post.diagram` writes it anew.

A test fails when the page says something else than the table, so the picture cannot grow old.
"""

from __future__ import annotations

from pathlib import Path

from auction.post.sale import MOVE_MEANS, MOVES, SALE_MOVES, STATE_MEANS, LeadState, Move

PAGE = Path(__file__).parents[2] / "docs" / "sale.md"
COMMAND = "python -m auction.post.diagram"

_INTRODUCTION = f"""# The sale of a lead

Where a lead can stand, and every move that it can make. Made from the table in `auction/post/sale.py` by
`{COMMAND}`; a move that is not here is impossible, and whoever asks for one is refused.

The rule behind it: a place counts as taken from the moment that an offer leaves the house until its buyer has
*certainly* refused it. An answer that nobody heard is a place taken. So an exclusive lead is sold at most once, and a
shared one at most N times and never twice to a buyer, whatever is lost on the way.
"""
_CLOSING = """
## When a worker ends in the middle

Each worker beats in the ledger once a second. One that is silent for `AUCTION_WORKER_LEASE_MS`, by the others' own
clocks, is fenced; its leads that are `offered` are taken over one by one, and from then on nothing that the old worker
writes of them is accepted. (One that ended well, or whose process is gone on the same machine, is not waited for.)

| what the ledger says of an offer | what the new worker does |
|---|---|
| accepted, rejected | so it is |
| sent, the buyer declared `idempotent: true` | sends it again with the same key and body; the buyer's word counts |
| sent, any other buyer | nothing: it stays unknown, and its place in the caps stays kept |
| sent, the buyer is gone or its place is full | nothing: it stays unknown |

Then the lead goes the way of any post: runners-up whose bids still stand where everybody refused, `pending` where
nobody knows. A worker that was only asleep sends nothing once it wakes, unless its lease stands. What a buyer clearly
answered it can still settle the very offer that was made, where that is unknown.

A post that was never offered to anybody, because a store failed first, is taken back: its lead leaves the table as if
it had never come.

An unknown offer is settled by a postback, or by `auction settle LEAD_ID [ORDER_ID] accepted|rejected`; `auction
pending` lists them. A post that was answered as pending is answered as sold or rejected from then on (but with an
`Idempotency-Key` as it was the first time, for a day); one that was answered as sold keeps its answer, and a buyer that
joins is told by `GET /leads/{lead_id}` and the seller's postback.

What the dead worker still owed to the counters (a place to be sold or given back), and a place that a worker takes as
it wakes, is found by a comparison with the ledger, a quarter of a minute after a worker was held for dead.

## How "any instant" is tested

Between two effects on the outside (a step on the counters, a write to the ledger, a read, bytes to a buyer, the answer
to the seller) a worker only computes. So `tests/instants/` runs a whole life of a lead with two workers on real stores
and buyers on sockets, counts the effects of the first worker, and then lives the same life again for each of them in
each manner: the worker dies before or after it, freezes there and wakes when another has finished, oversleeps until all
is settled, or the effect fails, done or not. The seller sends again until it is answered; unknown offers are settled by
what the buyers wrote down. Then answers, journals, ledger, counters and outbox must agree.

```
.venv/bin/python -m tests.instants sold --trace   every instant of one life, and its names
.venv/bin/python -m tests.instants sold "dies after" "ledger: settle"   that one alone; --on postgresql
.venv/bin/python -m tests.instants duel twins   one post at two workers, each overtaken everywhere
```

`tests/instants/lives.py` has the lives, `broken.py` houses with a step left out, `test_broken.py` where each is found.
"""


_LATER = """
## What buyers tell later

A shared lead has a sale for each of its buyers, and each sale has a life of its own:
"""
_RULES = """
The lead is as far as any of its buyers has told, and `returned` when the last of its sales was: while another buyer
has it, a return takes back the payout of that one sale, and the lead stays what it is.

A return is taken inside the order's window (`returns: {days: …}`, from the moment the lead was offered), and up to its
`share` of what the order bought in as many days. The buyer is credited the price, the payout is taken back, and the
house's margin with it. The sale keeps its place, so the lead is not sold into it again. With `frees_cap: true` the
place in the caps of the order and of its buyer is free again, in the windows in which it counted.

The same told twice is told once. What contradicts what is known, or comes in an impossible order, is refused, and kept:
`auction refused` lists it. An operator says the same by `auction return LEAD_ID --reason WORD`, with `--force` beyond
the window and the share.
"""


def page() -> str:
    """The whole page, as Markdown with a Mermaid diagram."""
    parts = [*_diagram(), "", *_states(), "", *_moves(), _CLOSING, _LATER, *_sale_moves(), _RULES]
    return "\n".join([_INTRODUCTION, *parts]).replace("\n\n\n", "\n\n")


def _diagram() -> list[str]:
    between: dict[tuple[LeadState, LeadState], list[str]] = {}
    for (source, move), target in MOVES.items():
        between.setdefault((source, target), []).append(move)
    arrows = [f"    {source} --> {target}: {', '.join(moves)}" for (source, target), moves in between.items()]
    last = [state for state in LeadState if all(target is state for target in _targets(state))]
    return [
        "```mermaid",
        "stateDiagram-v2",
        f"    [*] --> {LeadState.RECEIVED}",
        *arrows,
        *(f"    {state} --> [*]" for state in last),
        "```",
    ]


def _states() -> list[str]:
    rows = [f"| `{state}` | {STATE_MEANS[state]} |" for state in LeadState]
    return ["| state | means that |", "|---|---|", *rows]


def _moves() -> list[str]:
    rows = [f"| {move} | {_ways(move)} | {MOVE_MEANS[move]} |" for move in Move]
    return ["| move | from → to | what happens |", "|---|---|---|", *rows]


def _sale_moves() -> list[str]:
    rows = [
        f"| {source} | {move} | {'stays' if source is target else target} |"
        for (source, move), target in SALE_MOVES.items()
    ]
    return ["| a sale that is | can | and is then |", "|---|---|---|", *rows]


def _ways(move: Move) -> str:
    ways = [(source, target) for (source, one), target in MOVES.items() if one is move]
    return "<br>".join(
        f"{source} stays" if source is target else f"{source} → {target}" for source, target in ways
    )


def _targets(state: LeadState) -> list[LeadState]:
    return [target for (source, _), target in MOVES.items() if source is state]


if __name__ == "__main__":
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(page(), encoding="utf-8")
