from __future__ import annotations

import ipaddress
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auction.buyers import address
from auction.buyers.address import Address, is_public, resolve


@pytest.mark.parametrize(
    "ip",
    [
        "127.0.0.1", "127.9.9.9", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1",
        "0.0.0.0", "224.0.0.1", "239.1.1.1", "240.0.0.1", "255.255.255.255", "192.0.2.1", "198.18.0.1",
        "::1", "::", "fe80::1", "fe80::1%eth0", "fc00::1", "fd12::1", "ff02::1", "2001:db8::1",
        "::ffff:127.0.0.1", "::ffff:10.0.0.1", "2002:7f00:1::", "64:ff9b::a00:1", "64:ff9b::7f00:1",
        "::ffff:169.254.169.254", "::ffff:100.64.0.1", "::ffff:0.0.0.0", "64:ff9b::a9fe:a9fe", "64:ff9b:1::a00:1",
        "64:ff9b:1::808:808", "2002:0a00:0001::1", "2002:808:808::1", "2001::1", "2001:0:4136:e378:8000:63bf:3fff:fdd2",
        "::127.0.0.1", "::8.8.8.8", "::ffff:0:127.0.0.1", "fec0::1", "feff::1", "fe90::1", "febf::1", "3fff::1",
        "5f00::1", "100::1", "2001:2::1", "2001:10::1", "2001:20::1", "ff0e::1", "4000::1", "fd00:ec2::254",
        "2606:4700::5efe:a00:1", "2606:4700::200:5efe:808:808", "100.127.255.255", "100.100.100.200", "168.63.129.16",
        "192.0.0.192", "192.0.0.9", "192.88.99.1", "198.19.255.255", "198.51.100.1", "203.0.113.1", "172.31.255.255",
        "169.254.0.1", "0.1.2.3", "127.255.255.255", "233.252.0.1", "255.255.255.254",
    ],
)  # fmt: skip
def test_not_public(ip: str) -> None:
    assert not is_public(ip)


@pytest.mark.parametrize(
    "ip",
    ["1.1.1.1", "93.184.216.34", "172.15.0.1", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808", "172.32.0.1",
     "100.63.255.255", "100.128.0.0", "9.255.255.255", "11.0.0.0", "168.63.129.17", "192.167.1.1", "223.255.255.255",
     "126.1.1.1", "128.0.0.1", "2a00:1450::1", "2001:4860:4860::8888", "2400:cb00::1"],
)  # fmt: skip
def test_public(ip: str) -> None:
    assert is_public(ip)


@given(st.integers(0, 2**32 - 1) | st.integers(0, 2**128 - 1))
def test_an_address_inside_an_address_is_no_way_round(number: int) -> None:
    """No IPv6 spelling of an IPv4 address is more public than itself; and what Python calls private never is."""
    inner = ipaddress.IPv4Address(number & 0xFFFFFFFF)
    for spelled in (f"::ffff:{inner}", f"64:ff9b::{inner}"):
        assert is_public(spelled) == is_public(str(inner))
    for spelled in (f"::{inner}", f"::ffff:0:{inner}", f"64:ff9b:1::{inner}", f"2002:{number & 0xFFFF:x}::1"):
        assert not is_public(spelled)
    for one in (inner, ipaddress.IPv6Address(number)):
        if is_public(str(one)) and getattr(one, "ipv4_mapped", None) is None:
            assert not one.is_private
            assert not one.is_link_local
            assert not one.is_multicast


async def test_a_private_name_is_refused_by_its_addresses() -> None:
    refused = await resolve("localhost", 80, allow_private=False, timeout_s=5)
    assert refused.addresses == ()
    assert refused.refused > 0
    allowed = await resolve("127.0.0.1", 80, allow_private=True, timeout_s=5)
    assert [one.sockaddr for one in allowed.addresses] == [("127.0.0.1", 80)]


@pytest.mark.parametrize("spelled", ["127.1", "0x7f.0.0.1", "2130706433", "0177.0.0.1", "::ffff:7f00:1"])
async def test_no_spelling_of_loopback_gets_through(spelled: str) -> None:
    found = await resolve(spelled, 80, allow_private=False, timeout_s=5)
    assert found.addresses == ()
    assert found.refused > 0


async def test_a_name_that_is_none() -> None:
    with pytest.raises(socket.gaierror):
        await resolve("nowhere.invalid", 80, allow_private=True, timeout_s=5)


@pytest.fixture
def hanging(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Names below `hangs.example` are not answered until the end of the test, others at once; which were asked for."""
    asked: list[str] = []
    over = threading.Event()

    def getaddrinfo(host: str, port: int, *_: Any, **__: Any) -> list[Any]:
        asked.append(host)
        if host.endswith("hangs.example"):
            over.wait(60)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.31.196.1", port))]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    monkeypatch.setattr(address, "_under_way", {})
    yield asked
    over.set()
    for thread in threading.enumerate():
        if thread.name == "name":
            thread.join()


async def test_a_name_that_hangs_keeps_no_other_from_being_found(hanging: list[str]) -> None:
    """However often, and by however many, it is asked for."""
    for name in ("hangs.example", "too.hangs.example"):
        for _ in range(20):
            with pytest.raises(TimeoutError):
                await resolve(name, 80, allow_private=False, timeout_s=0.001)
    found = await resolve("quick.example", 80, allow_private=False, timeout_s=30)
    assert [one.sockaddr for one in found.addresses] == [("192.31.196.1", 80)]
    assert len(hanging) == len(set(hanging)), "a name that was not answered yet is not asked for again"


async def test_so_many_names_are_asked_for_at_one_time(
    hanging: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(address, "MOST_LOOK_UPS", 3)
    for number in range(3):
        with pytest.raises(TimeoutError):
            await resolve(f"{number}.hangs.example", 80, allow_private=False, timeout_s=0.001)
    with pytest.raises(OSError, match="too many names"):
        await resolve("3.hangs.example", 80, allow_private=False, timeout_s=30)
    with pytest.raises(TimeoutError):
        await resolve("0.hangs.example", 80, allow_private=False, timeout_s=0.001)


def test_addresses_can_be_told_apart() -> None:
    assert Address(2, ("127.0.0.1", 80)) == Address(2, ("127.0.0.1", 80)) != Address(2, ("127.0.0.1", 81))
