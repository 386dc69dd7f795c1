from __future__ import annotations

import socket

import pytest

from auction.buyers.address import Address, is_public, resolve


@pytest.mark.parametrize(
    "ip",
    [
        "127.0.0.1", "127.9.9.9", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1",
        "0.0.0.0", "224.0.0.1", "239.1.1.1", "240.0.0.1", "255.255.255.255", "192.0.2.1", "198.18.0.1",
        "::1", "::", "fe80::1", "fe80::1%eth0", "fc00::1", "fd12::1", "ff02::1", "2001:db8::1",
        "::ffff:127.0.0.1", "::ffff:10.0.0.1", "2002:7f00:1::", "64:ff9b::a00:1", "64:ff9b::7f00:1",
    ],
)  # fmt: skip
def test_not_public(ip: str) -> None:
    assert not is_public(ip)


@pytest.mark.parametrize(
    "ip", ["1.1.1.1", "93.184.216.34", "172.15.0.1", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"]
)
def test_public(ip: str) -> None:
    assert is_public(ip)


async def test_a_private_name_is_refused_by_its_addresses() -> None:
    refused = await resolve("localhost", 80, allow_private=False, timeout_s=5)
    assert refused.addresses == ()
    assert refused.refused > 0
    allowed = await resolve("127.0.0.1", 80, allow_private=True, timeout_s=5)
    assert [address.sockaddr for address in allowed.addresses] == [("127.0.0.1", 80)]


@pytest.mark.parametrize("spelled", ["127.1", "0x7f.0.0.1", "2130706433", "0177.0.0.1", "::ffff:7f00:1"])
async def test_no_spelling_of_loopback_gets_through(spelled: str) -> None:
    found = await resolve(spelled, 80, allow_private=False, timeout_s=5)
    assert found.addresses == ()
    assert found.refused > 0


async def test_a_name_that_is_none() -> None:
    with pytest.raises(socket.gaierror):
        await resolve("nowhere.invalid", 80, allow_private=True, timeout_s=5)


def test_addresses_can_be_told_apart() -> None:
    assert Address(2, ("127.0.0.1", 80)) == Address(2, ("127.0.0.1", 80)) != Address(2, ("127.0.0.1", 81))
