"""Files that an edge keeps through a power cut."""

from __future__ import annotations

import os
from pathlib import Path

from faces.masterkey import sync_folder


def keep(path: Path, data: bytes) -> None:
    """Have a file hold this, and be on the disk so under its name; whatever breaks off, it holds this or what it held
    before. Only its user may read it. Raises OSError."""
    beside = path.with_suffix(".new")
    beside.unlink(missing_ok=True)
    with os.fdopen(os.open(beside, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)
    sync_folder(path.parent)
