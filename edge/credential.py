"""What an edge calls by: the key it was told, or the credential it was given when it joined, kept in a file."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import msgspec

from faces.errors import SettingError

MEMBERSHIP = "membership.json"
"""The file in DATA_DIR that says where the edge has joined."""


class Credential:
    """The key that every request brings; None: none. May be asked for from any thread. `kept` says whether there is a
    file to keep another one in."""

    def __init__(self, key: str | None = None, path: Path | None = None, url: str = "") -> None:
        self.key = key
        self.kept = path is not None
        self._path = path
        self._url = url

    def take(self, key: str) -> None:
        """Call by this key from now on; it is on disk before it is used. Raises OSError."""
        if self._path is not None:
            save(self._path, self._url, key)
        self.key = key


NONE = Credential()


class _Kept(msgspec.Struct, frozen=True):
    url: str
    key: str


def read(path: Path) -> tuple[str, Credential] | None:
    """Where the edge has joined, and its credential; None if it has not. Raises SettingError."""
    try:
        kept = msgspec.json.decode(path.read_bytes(), type=_Kept)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError, UnicodeError) as error:
        raise SettingError(f"{path} cannot be read", remedy="Remove it, and join again.") from error
    return kept.url, Credential(kept.key, path, kept.url)


def save(path: Path, url: str, key: str) -> None:
    """Keep where the edge has joined, and its credential, in a file that only its user may read; whole or not at all.
    Raises OSError."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    beside = path.with_suffix(".new")
    with contextlib.suppress(FileNotFoundError):
        beside.unlink()
    with os.fdopen(os.open(beside, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as file:
        file.write(msgspec.json.encode(_Kept(url, key)))
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)
