"""What a check finds, as a value."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from enum import StrEnum
from typing import TypeAlias

import msgspec


class Verdict(StrEnum):
    """How bad it is. What is `unknown` could not be looked at, for a reason that another finding tells."""

    GOOD = "good"
    WARNING = "warning"
    FAULT = "fault"
    UNKNOWN = "unknown"


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """What was looked at, how it is, what that is told by, and what helps; `figures` are for programs."""

    name: str
    verdict: Verdict
    told: str
    remedy: str = ""
    figures: dict[str, float] = {}


Check: TypeAlias = Callable[[], Iterable[Finding]]
"""May raise RollcallError and OSError: they become a fault."""


def good(name: str, told: str, **figures: float) -> Finding:
    return Finding(name=name, verdict=Verdict.GOOD, told=told, figures=figures)


def warning(name: str, told: str, remedy: str, **figures: float) -> Finding:
    return Finding(name=name, verdict=Verdict.WARNING, told=told, remedy=remedy, figures=figures)


def fault(name: str, told: str, remedy: str, **figures: float) -> Finding:
    return Finding(name=name, verdict=Verdict.FAULT, told=told, remedy=remedy, figures=figures)


def unknown(name: str, told: str) -> Finding:
    return Finding(name=name, verdict=Verdict.UNKNOWN, told=told)
