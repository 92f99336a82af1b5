"""Whether a folder can hold what is to be kept in it: its rights, its room, and how long a commit takes."""

from __future__ import annotations

import os
import shutil
import stat
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from rollcall.doctor.finding import Finding, fault, good, warning

MB = 1 << 20
COMMITS = 20
PAGE = bytes(4096)

SLOW_S, TOO_SLOW_S = 0.05, 0.5
"""A commit that takes longer holds up events; one that takes much longer holds up cameras."""


def folder(path: Path, needed_mb: float, *, remedy: str) -> Iterator[Finding]:
    """Look at a folder in which so much more is to find room; `remedy` says what can be done if it does not. A folder
    that is not there yet is looked at where it would be made."""
    there = next(parent for parent in (path, *path.absolute().parents) if parent.exists())
    if not (there.is_dir() and os.access(there, os.W_OK | os.X_OK)):
        yield fault("disk: rights", f"{there} cannot be written to", "Give it to the user that this runs as.")
        return
    yield rights(path)
    yield room(shutil.disk_usage(there).free / MB, needed_mb, remedy)
    yield speed(statistics.median(_commits(there)))


def rights(path: Path) -> Finding:
    """Who else may read the folder: it holds biometric data."""
    if path.exists() and path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        return warning("disk: rights", f"others may read {path}", f"chmod 700 {path}")
    return good("disk: rights", f"{path} is for its user alone")


def room(free_mb: float, needed_mb: float, remedy: str) -> Finding:
    """Whether what may be kept finds room."""
    told = f"{free_mb:.0f} MB are free, {needed_mb:.0f} may be needed"
    if free_mb < needed_mb / 8:
        return fault("disk: room", told, remedy, free_mb=free_mb)
    if free_mb < needed_mb:
        return warning("disk: room", told, remedy, free_mb=free_mb)
    return good("disk: room", told, free_mb=free_mb)


def speed(commit_s: float) -> Finding:
    """What the median commit took."""
    told = f"a commit takes {1000 * commit_s:.1f} ms"
    if commit_s > TOO_SLOW_S:
        return fault("disk: speed", told, "Use another card or disk: this one is worn, or no disk at all.", s=commit_s)
    if commit_s > SLOW_S:
        return warning("disk: speed", told, "Use an industrial SD card, eMMC, or an SSD.", s=commit_s)
    return good("disk: speed", told, s=commit_s)


def _commits(where: Path) -> Iterator[float]:
    """The seconds that each of some small writes took to be on the disk."""
    with tempfile.TemporaryFile(dir=where) as file:
        for _ in range(COMMITS):
            began = time.perf_counter()
            file.write(PAGE)
            file.flush()
            os.fsync(file.fileno())
            yield time.perf_counter() - began
