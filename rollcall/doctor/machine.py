"""The machine itself: its user, its memory, its warmth."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from pathlib import Path

from edge.config import cores
from rollcall.doctor.finding import Finding, fault, good, warning

LEAST_MB, ENOUGH_MB = 400.0, 800.0
HOT_C = 80.0


def machine() -> Iterator[Finding]:
    """Look at it."""
    yield good("machine", f"{platform.machine()}, {cores()} core(s), Python {platform.python_version()}")
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        yield warning("machine: user", "this runs as root", "Run it as an ordinary user of its own.")
    if (available := available_mb()) is not None:
        yield memory(available)
    if (warmest := warmest_c()) is not None:
        yield warmth(warmest)


def memory(available_mb: float) -> Finding:
    told = f"{available_mb:.0f} MB of memory are available"
    if available_mb < LEAST_MB:
        return fault("machine: memory", told, "Stop what else runs here.", available_mb=available_mb)
    if available_mb < ENOUGH_MB:
        return warning("machine: memory", told, "Watch fewer cameras here.", available_mb=available_mb)
    return good("machine: memory", told, available_mb=available_mb)


def warmth(celsius: float) -> Finding:
    told = f"it is {celsius:.0f} degrees warm"
    if celsius >= HOT_C:
        return warning("machine: warmth", told, "Cool it: a hot processor slows itself down.", celsius=celsius)
    return good("machine: warmth", told, celsius=celsius)


def available_mb(path: Path = Path("/proc/meminfo")) -> float | None:
    """What programs may still take; None where the system does not tell."""
    if not path.is_file():
        return None
    lines = dict(line.split(":", 1) for line in path.read_text().splitlines())
    return int(lines["MemAvailable"].split()[0]) / 1024


def warmest_c(folder: Path = Path("/sys/class/thermal")) -> float | None:
    """The warmest of its sensors; None if there is none."""
    found = [int(path.read_text()) / 1000 for path in folder.glob("thermal_zone*/temp")]
    return max(found, default=None)
