from __future__ import annotations

import re
from pathlib import Path

import auction
from auction.api.document.openapi import document
from auction.market.model import Campaign, FieldSpec, House

SOLAR = Campaign(id="solar", fields=(FieldSpec(name="state", type="us_state", required="ping"),))
RAISED = re.compile(r'(?:SellerError|HouseError)\(\s*(?:(\d{3}),\s*)?"([a-z_]+)"')
NOT_ANSWERED = {"sealed_with_other_key", "seal_broken", "counters_busy", "counters_lost"}
"""Told to the operator when the house starts, reads what is sealed (a seller sees `internal_error`) or makes its
counters match the ledger (a seller sees `counters_rebuilding`)."""


def test_every_code_that_a_seller_can_get_is_told() -> None:
    (root,) = auction.__path__
    told = str(document(House()))
    raised = {
        code
        for path in Path(root).rglob("*.py")
        for _, code in RAISED.findall(path.read_text(encoding="utf-8"))
    }
    assert len(raised) > 15
    assert {code for code in raised - NOT_ANSWERED if f"`{code}`" not in told} == set()


def test_leads_are_written_out_for_those_who_sell_them() -> None:
    assert "us_state" not in str(document(House())["paths"])
    body = document(House(), [SOLAR])["paths"]["/ping"]["post"]["requestBody"]
    properties = body["content"]["application/json"]["schema"]["properties"]
    assert properties["campaign"] == {"const": "solar"}
    assert "state" in properties["lead"]["properties"]


def test_the_numbers_of_our_promises_are_not_told() -> None:
    assert re.search(r"\(P\d+\)", str(document(House(), [SOLAR]))) is None


def test_every_operation_has_a_name_of_its_own() -> None:
    names = [told["operationId"] for path in document(House())["paths"].values() for told in path.values()]
    assert len(names) == len(set(names)) > 90
