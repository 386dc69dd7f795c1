"""`INFO` as a server writes it."""

from __future__ import annotations

from auction.counters.info import read_info
from auction.counters.link import Link


def test_lines_are_read_by_name() -> None:
    told = b"# Server\r\nrun_id:a1\r\nexecutable:/a:b\r\n\r\nodd\r\nempty:\r\nnot_text:\xff\r\n"
    assert read_info(told) == {"run_id": "a1", "executable": "/a:b", "empty": "", "not_text": "\ufffd"}


async def test_a_real_server_says_who_it_is_and_whether_it_keeps_a_file(link: Link) -> None:
    known = read_info(await link.call("INFO"))
    assert known["run_id"]
    assert known["role"] == "master"
    assert known["aof_enabled"] in ("0", "1")
    assert read_info(await link.call("INFO", "persistence")).keys() < known.keys()
