from __future__ import annotations

import ctypes
import subprocess
import sys

import pytest

from edge.memory import ARENAS

THREADS = """
import ctypes, threading
from edge.memory import bound_arenas
if {bound}:
    assert bound_arenas()
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
ready = threading.Barrier(9)
def take():
    libc.malloc(1000)
    ready.wait()
    ready.wait()
threads = [threading.Thread(target=take) for _ in range(8)]
[thread.start() for thread in threads]
ready.wait()
libc.malloc_stats()
ready.wait()
"""


def arenas(*, bound: bool) -> int:
    """How many of them eight threads take."""
    code = THREADS.format(bound=bound)
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stderr
    return told.count("Arena")


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_stats"), reason="the C library is not glibc")
def test_threads_share_a_few_arenas() -> None:
    assert arenas(bound=True) <= ARENAS < arenas(bound=False)
