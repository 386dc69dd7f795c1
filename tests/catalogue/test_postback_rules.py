"""The postbacks of sellers are checked with everything else, each mistake at its place."""

from __future__ import annotations

import pytest

from auction.catalogue.reading import CatalogueMistakes, Source, read_catalogue
from auction.catalogue.writing import write_catalogue

HEAD = "sellers:\n  - id: acme\n    postbacks:\n"
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def mistakes_of(*lines: str) -> list[str]:
    with pytest.raises(CatalogueMistakes) as caught:
        read_catalogue([Source("c.yaml", HEAD + "\n".join(f"      - {line}" for line in lines))])
    return [str(mistake) for mistake in caught.value.mistakes]


def test_good_ones_are_read_and_written_again() -> None:
    text = (
        HEAD
        + '      - {url: "https://t.example/p?id={lead_id}&s={status}", statuses: [sold, returned]}\n'
        + f'      - {{url: "https://t.example/hook", secret: {SECRET}}}\n'
        + '      - {url: "http://t.example:81/{sub_id}", secret: "env:ACME_SECRET"}\n'
    )
    catalogue = read_catalogue([Source("c.yaml", text)])
    assert len(catalogue.sellers[0].postbacks) == 3
    assert read_catalogue([Source("w.yaml", write_catalogue(catalogue))]) == catalogue


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ('{url: "https://t.example/?l={lead}"}', "url: there is no macro `{lead}`; did you mean `lead_id`?"),
        ('{url: "https://t.example/?l={zzz}"}', "url: there is no macro `{zzz}`; there are lead_id, ping_id"),
        ('{url: "https://t.example/?l={lead_id"}', "url: a `{` or `}` stands alone"),
        ('{url: "https://{sub_id}.example/"}', "url: macros may stand only behind the host"),
        ('{url: "ftp://t.example/"}', "url: expected a URL such as https://"),
        ('{url: "https://user:pw@t.example/"}', "url: a URL may not hold a user or a password"),
        ('{url: "https://t.example/#{lead_id}"}', "url: a URL's part after `#` is never sent"),
        ('{url: "https://127.0.1/"}', "url: "),
        ('{url: "https://t.example/", secret: hush}', "secret: expected `env:NAME`, or `whsec_`"),
        ('{url: "https://t.example/", secret: whsec_c2hvcnQ=}', "secret: expected `env:NAME`, or `whsec_`"),
        (
            '{url: "https://t.example/", secret: "env:AUCTION_SECRET_KEY"}',
            "secret: AUCTION_… are the settings",
        ),
        ('{url: "https://t.example/", statuses: [sold, sold]}', "statuses: a status stands twice"),
        ('{url: "https://t.example/", statuses: [bought]}', "statuses[0]: "),
    ],
)
def test_a_mistake_is_told_at_its_place(line: str, told: str) -> None:
    (mistake,) = mistakes_of(line)
    assert mistake.startswith("c.yaml:4: sellers[0].postbacks[0].")
    assert told in mistake
    assert "hush" not in mistake


def test_there_are_bounds() -> None:
    (twice,) = mistakes_of('{url: "https://t.example/"}', f'{{url: "https://t.example/", secret: {SECRET}}}')
    assert "this URL stands twice" in twice
    (many,) = mistakes_of(*(f'{{url: "https://t.example/{number}"}}' for number in range(11)))
    assert "expected at most 10" in many
    (long,) = mistakes_of(f'{{url: "https://t.example/{"x" * 3_000}"}}')
    assert "at most 2048 characters" in long
