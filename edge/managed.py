"""The cameras that the control plane has given to this edge, as they are kept beside its own data: sealed, as a source
may hold a password."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec

from edge.kept import keep
from edge.seal import PLAIN, Opener, Seal, plain
from faces.errors import SettingError
from faces.sealing import Unreadable, about, key_id

Settings = dict[str, str]
"""Keys of a `[[camera]]` beside its name, as texts."""

NAME = "cameras.json"
_WHAT = about("cameras")


def load(folder: Path, opener: Opener = plain) -> dict[str, Settings]:
    """The cameras by name; raises SettingError."""
    path = folder / NAME
    try:
        data = path.read_bytes()
        opened = data if key_id(data) is None else opener().unseal(data, _WHAT)
        return msgspec.json.decode(opened, type=dict[str, Settings])
    except FileNotFoundError:
        return {}
    except (OSError, msgspec.MsgspecError, Unreadable) as error:
        remedy = "Remove it, and give the edge its cameras anew."
        raise SettingError(f"{path} cannot be read ({type(error).__name__})", remedy=remedy) from error


def seal_plain(folder: Path, seal: Seal) -> None:
    """Seal what was kept plain, before or without sealing; raises SettingError and OSError."""
    path = folder / NAME
    if seal.sealing and path.exists() and key_id(path.read_bytes()) is None:
        save(folder, load(folder), seal)


def save(folder: Path, cameras: Mapping[str, Settings], seal: Seal = PLAIN) -> None:
    """Keep these cameras, through a power cut too. Only the edge's user may read the file."""
    keep(folder / NAME, seal.seal(msgspec.json.encode(cameras), _WHAT))
