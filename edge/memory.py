"""The C library's memory: kept from growing by being shared out to ever more threads."""

from __future__ import annotations

import ctypes
from contextlib import suppress

ARENA_MAX = -8
"""M_ARENA_MAX of glibc's mallopt."""

ARENAS = 2
"""A picture is taken in one thread's memory and given back by another: of sixteen arenas, glibc's own bound on two
cores, each keeps the holes that it once had, and the whole grows for hours."""


def bound_arenas() -> bool:
    """Bound them, before there are threads; False where the C library is none that can."""
    with suppress(OSError, AttributeError):
        return bool(ctypes.CDLL(None).mallopt(ARENA_MAX, ARENAS))
    return False
