from __future__ import annotations

import pytest

from faces.addresses import ForbiddenAddress, allowed, is_public


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.0", "0.1.2.3", "10.0.0.1", "100.64.0.1", "100.127.255.255", "127.0.0.1", "127.255.255.254",
        "169.254.169.254", "172.16.0.1", "172.31.255.255", "192.0.0.8", "192.168.1.1", "198.18.0.1", "224.0.0.1",
        "239.255.255.250", "240.0.0.1", "255.255.255.255",
        "::", "::1", "fe80::1", "fe80::1%eth0", "fc00::1", "fd12:3456::1", "fec0::1", "ff02::1", "2001:db8::1",
        "::ffff:127.0.0.1", "::ffff:169.254.169.254", "::127.0.0.1", "::ffff:0:127.0.0.1", "64:ff9b::a9fe:a9fe",
        "64:ff9b::7f00:1", "64:ff9b:1::a00:1", "64:ff9b:1::808:808", "2002:7f00:1::1", "2002:a9fe:a9fe::",
        "2001:0:4136:e378:8000:63bf:3fff:fdd2", "100::1", "4000::1",
    ],
)  # fmt: skip
def test_this_machine_and_private_nets_are_not_public_in_any_spelling(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize(
    "address",
    ["1.1.1.1", "8.8.8.8", "100.63.255.255", "100.128.0.1", "172.15.0.1", "172.32.0.1", "223.255.255.254",
     "2606:4700:4700::1111", "2a00::1", "::ffff:8.8.8.8", "64:ff9b::808:808", "2002:808:808::1"],
)  # fmt: skip
def test_the_internet_is_public(address: str) -> None:
    assert is_public(address)


def test_one_private_address_among_public_ones_is_enough_to_refuse() -> None:
    nobody = allowed("")
    nobody.check("h", 80, ["1.1.1.1", "2606:4700:4700::1111"])
    with pytest.raises(ForbiddenAddress):
        nobody.check("h", 80, ["1.1.1.1", "10.0.0.1"])


def test_a_host_is_allowed_in_the_spelling_that_was_named_alone() -> None:
    hosts = allowed(" Gate.local , 127.0.0.1:8080,[::1]:90,[FD00::2] ")
    for host, port in (("gate.local", 1), ("GATE.local.", 2), ("127.0.0.1", 8080), ("[::1]", 90), ("fd00::2", 7)):
        assert hosts.names(host, port)
        hosts.check(host, port, ["127.0.0.1"])
    for host, port in (("gate", 1), ("127.0.0.1", 80), ("127.1", 8080), ("2130706433", 8080), ("::1", 91)):
        assert not hosts.names(host, port)


@pytest.mark.parametrize("text", ["http://h", "h:0", "h:65536", "h:x", "a b", "u@h", "::1"])
def test_what_is_no_host_is_no_setting(text: str) -> None:
    with pytest.raises(ValueError, match="is not a list"):
        allowed(text)
