"""Which addresses a message may be posted to: public ones, and hosts that the administrator has allowed by name."""

from __future__ import annotations

import re
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

from faces.errors import RollcallError

# The IANA special-purpose registry, multicast and the reserved rest. A table of our own: what Python calls global has
# changed between versions, and lets NAT64 and multicast through.
_NOT_PUBLIC_4 = [
    IPv4Network(n)
    for n in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
    )
]
_GLOBAL_UNICAST = IPv6Network("2000::/3")
_NOT_PUBLIC_6 = [IPv6Network(n) for n in ("2001::/23", "2001:db8::/32", "3fff::/20")]
_NAT64 = IPv6Network("64:ff9b::/96")


class ForbiddenAddress(RollcallError):
    """A host leads to this machine or to a private net, and was not allowed by name."""

    code = "forbidden_address"


class Allowed:
    """Hosts that may be posted to wherever they lead: `host` for any port, or `host:port`."""

    def __init__(self, hosts: Iterable[tuple[str, int | None]] = ()) -> None:
        self._hosts = frozenset(hosts)

    def names(self, host: str, port: int) -> bool:
        """Whether exactly this spelling of the host is allowed: another name of the same address is not."""
        name = _plain(host)
        return (name, None) in self._hosts or (name, port) in self._hosts

    def check(self, host: str, port: int, addresses: Iterable[str]) -> None:
        """Raise ForbiddenAddress if any of the addresses that the host leads to may not be connected to."""
        if self.names(host, port):
            return
        for address in addresses:
            if not is_public(address):
                raise ForbiddenAddress(
                    f"{host} leads to this machine or to a private net",
                    remedy="The administrator can allow it by name in WEBHOOK_ALLOW.",
                )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Allowed) and other._hosts == self._hosts

    def __hash__(self) -> int:
        return hash(self._hosts)


def allowed(text: str) -> Allowed:
    """From `host,host:port,[v6]:port`; raises ValueError."""
    return Allowed(_host(part.strip()) for part in text.split(",") if part.strip())


def is_public(address: str) -> bool:
    """Whether an IP address is one of the public internet's; an IPv4 address inside an IPv6 one counts itself."""
    found = ip_address(address.partition("%")[0])
    if isinstance(found, IPv4Address):
        return not any(found in net for net in _NOT_PUBLIC_4)
    inner = _inner(found)
    if inner is not None:
        return is_public(str(inner))
    return found in _GLOBAL_UNICAST and not any(found in net for net in _NOT_PUBLIC_6)


def _inner(address: IPv6Address) -> IPv4Address | None:
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour


def _host(text: str) -> tuple[str, int | None]:
    found = re.fullmatch(r"(\[[0-9a-fA-F:.]+\]|[^\s:/@\[\]]+)(?::(\d{1,5}))?", text)
    if not found or (found[2] and not 0 < int(found[2]) < 1 << 16):
        raise ValueError("is not a list of host or host:port")
    return _plain(found[1]), int(found[2]) if found[2] else None


def _plain(host: str) -> str:
    return host.strip("[]").rstrip(".").lower()
