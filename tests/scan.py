"""Looking for secrets in files: whole blocks of them, wherever they stand."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

BLOCK = 16
"""Any 31 bytes of a secret hold one of its blocks of this size whole."""

PICTURES = (b"JFIF\0", b"Exif\0\0", b"\xff\xdb\0\x43\0", b"\x89PNG\r\n", b"WEBPVP8")
"""What pictures have in their first bytes: long enough that no random bytes hold it."""


def blocks_of(secrets: Iterable[bytes]) -> set[bytes]:
    """The blocks of these secrets, but for those that say nothing, being one byte over and over."""
    found = {data[i : i + BLOCK] for data in secrets for i in range(0, len(data) - BLOCK + 1, BLOCK)}
    return {block for block in found if len(set(block)) > 4}


def holds(data: bytes, blocks: set[bytes]) -> bool:
    """Whether any of the blocks stands anywhere in the data: found by its first half, then compared."""
    halves = np.unique(np.frombuffer(b"".join(block[:8] for block in blocks), "<u8"))
    ends = np.zeros(1 << 16, bool)
    ends[halves.astype("<u2")] = True
    for shift in range(min(8, len(data))):
        words = np.frombuffer(data, "<u8", (len(data) - shift) // 8, shift)
        likely = np.flatnonzero(ends[words.astype("<u2")])
        for at in likely[np.isin(words[likely], halves)]:
            start = shift + 8 * int(at)
            if data[start : start + BLOCK] in blocks:
                return True
    return False


def found_in(folder: Path, blocks: set[bytes]) -> set[str]:
    """The files of a folder that hold a picture or one of the blocks, by their paths in it."""
    found = set()
    for path in folder.rglob("*"):
        try:
            data = path.read_bytes() if path.is_file() else b""
        except FileNotFoundError:
            continue
        if any(marker in data for marker in PICTURES) or holds(data, blocks):
            found.add(str(path.relative_to(folder)))
    return found
