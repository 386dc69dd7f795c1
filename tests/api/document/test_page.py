from __future__ import annotations

from html.parser import HTMLParser

from auction.api.document.openapi import document
from auction.api.document.page import page
from auction.market.model import Campaign, FieldSpec, House

NASTY = "<script>alert(1)</script>"


class Reader(HTMLParser):
    """What a page has in it: its tags, its links, its anchors, its text."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.links: set[str] = set()
        self.anchors: set[str] = set()
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        for name, value in attrs:
            if name in ("href", "src") and value:
                self.links.add(value)
            if name == "id" and value:
                self.anchors.add(value)

    def handle_data(self, data: str) -> None:
        self.text += data


def read(house: House, *campaigns: Campaign) -> Reader:
    reader = Reader()
    reader.feed(page(document(house, campaigns)))
    return reader


def test_all_operations_are_there_and_nothing_is_fetched() -> None:
    told = document(House())
    seen = read(House())
    for path, methods in told["paths"].items():
        assert path in seen.text
        for operation in methods.values():
            assert operation["summary"] in seen.text
            assert operation["operationId"] in seen.anchors
    assert set(told["components"]["schemas"]) <= seen.anchors
    assert {link for link in seen.links if not link.startswith("#")} == {"/openapi.json"}
    assert {link[1:] for link in seen.links if link.startswith("#")} <= seen.anchors
    assert not seen.tags & {"script", "img", "link", "iframe"}


def test_what_an_operator_wrote_is_text() -> None:
    spec = FieldSpec(name="credit", type="choice", choices=(NASTY,), required="ping")
    seen = read(House(name=NASTY), Campaign(id="solar", fields=(spec,)))
    assert "script" not in seen.tags
    assert seen.text.count(NASTY) > 1
