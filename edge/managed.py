"""The cameras that the control plane has given to this edge, as they are kept beside its own data."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import msgspec

from faces.errors import SettingError

Settings = dict[str, str]
"""Keys of a `[[camera]]` beside its name, as texts."""

NAME = "cameras.json"


def load(folder: Path) -> dict[str, Settings]:
    """The cameras by name; raises SettingError."""
    path = folder / NAME
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, Settings])
    except FileNotFoundError:
        return {}
    except (OSError, msgspec.MsgspecError) as error:
        remedy = "Remove it, and give the edge its cameras anew."
        raise SettingError(f"{path} cannot be read ({type(error).__name__})", remedy=remedy) from error


def save(folder: Path, cameras: Mapping[str, Settings]) -> None:
    """Keep these cameras, through a power cut too. Only the edge's user may read the file: a source may hold a
    password."""
    beside = folder / f"{NAME}.new"
    beside.unlink(missing_ok=True)
    with os.fdopen(os.open(beside, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as file:
        file.write(msgspec.json.encode(cameras))
        file.flush()
        os.fsync(file.fileno())
    beside.replace(folder / NAME)
