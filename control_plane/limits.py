"""How often somebody may do what costs much: token buckets, with no clock in here and bounded memory.

Each process counts for itself: behind several, a caller may do as much at each of them.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv6Address, ip_address

from control_plane.problems import TooManyRequests

MOST_KNOWN = 10_000
"""Callers that are remembered for each cost; of more, the one that asked longest ago is forgotten."""

UNITS = {"second": 1, "minute": 60, "hour": 3600}


class Cost(StrEnum):
    """What is limited."""

    SIGN_IN = "sign_in"
    ENROLL = "enroll"
    IDENTIFY = "identify"
    UPLOAD = "upload"
    JOIN = "join"


@dataclass(frozen=True, slots=True)
class Rate:
    """`count` at once, and then one more each `every_s` seconds."""

    count: int
    every_s: float


def rate(text: str) -> Rate | None:
    """From `30/minute`, or `off` for no limit; raises ValueError."""
    if text == "off":
        return None
    count, _, unit = text.partition("/")
    if unit not in UNITS or not (count.isascii() and count.isdigit() and 1 <= len(count) <= 6 and int(count)):
        raise ValueError("is neither off nor like 30/minute (second, minute or hour)")
    return Rate(int(count), UNITS[unit] / int(count))


class Buckets:
    """A bucket each caller, kept as the time at which it will be full again."""

    def __init__(self, rate: Rate, most: int = MOST_KNOWN) -> None:
        self._rate = rate
        self._most = most
        self._full_at: OrderedDict[str, float] = OrderedDict()

    def take(self, who: str, now: float) -> float:
        """Take one at `now` (seconds); returns 0, or the seconds until there will be one, and then nothing is taken."""
        wait = self.wait(who, now)
        full_at = max(self._full_at.pop(who, now), now)
        self._full_at[who] = full_at if wait else full_at + self._rate.every_s
        if len(self._full_at) > self._most:
            self._full_at.popitem(last=False)
        return wait

    def wait(self, who: str, now: float) -> float:
        """0 if there is one to take at `now` (seconds), or the seconds until there will be one."""
        wait = max(self._full_at.get(who, now), now) - now - (self._rate.count - 1) * self._rate.every_s
        # A full bucket is not one part in a million short of a token.
        return wait if wait > self._rate.every_s * 1e-6 else 0.0


class Limits:
    """The buckets of everything that is limited."""

    def __init__(self, rates: Mapping[Cost, Rate | None]) -> None:
        self._buckets = {cost: Buckets(rate) for cost, rate in rates.items() if rate is not None}

    def take(self, cost: Cost, who: str, now: float) -> None:
        """Raises TooManyRequests if this caller has had as much as is allowed by `now` (seconds)."""
        if (buckets := self._buckets.get(cost)) is not None:
            _check(cost, buckets.take(who, now))

    def check(self, cost: Cost, who: str, now: float) -> None:
        """The same, and nothing is taken: for what is counted only when it fails."""
        if (buckets := self._buckets.get(cost)) is not None:
            _check(cost, buckets.wait(who, now))


def _check(cost: Cost, wait_s: float) -> None:
    if wait_s:
        raise TooManyRequests(f"more than LIMIT_{cost.upper()} allows", retry_after_s=wait_s)


def network(address: str) -> str:
    """Whose an address is: of IPv6, where one machine has as many as it likes, the first half."""
    try:
        found = ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(found, IPv6Address):
        return str(found.ipv4_mapped or IPv6Address(int(found) >> 64 << 64))
    return str(found)
