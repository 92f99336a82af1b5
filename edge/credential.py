"""What an edge calls by: the key it was told, or the credential it was given when it joined, kept in a file. That is
sealed as soon as the edge runs: who has an edge join need not have its master key."""

from __future__ import annotations

from pathlib import Path

import msgspec

from edge.kept import keep
from edge.seal import PLAIN, Opener, Seal, plain
from faces.errors import SettingError
from faces.sealing import Unreadable, about, key_id

MEMBERSHIP = "membership.json"
"""The file in DATA_DIR that says where the edge has joined."""

_WHAT = about("membership")


class Credential:
    """The key that every request brings; None: none. May be asked for from any thread. `kept` says whether there is a
    file to keep another one in."""

    def __init__(self, key: str | None = None, path: Path | None = None, url: str = "") -> None:
        self.key = key
        self.kept = path is not None
        self._path = path
        self._url = url
        self._seal = PLAIN

    def keep_sealed(self, seal: Seal) -> None:
        """Have the file be sealed from now on; raises OSError."""
        self._seal = seal
        if self._path is not None and self.key is not None and seal.sealing and key_id(self._path.read_bytes()) is None:
            save(self._path, self._url, self.key, seal)

    def take(self, key: str) -> None:
        """Call by this key from now on; it is on disk before it is used. Raises OSError."""
        if self._path is not None:
            save(self._path, self._url, key, self._seal)
        self.key = key


NONE = Credential()


class _Kept(msgspec.Struct, frozen=True):
    url: str
    key: str


def read(path: Path, opener: Opener = plain) -> tuple[str, Credential] | None:
    """Where the edge has joined, and its credential; None if it has not. Raises SettingError."""
    try:
        data = path.read_bytes()
        kept = msgspec.json.decode(data if key_id(data) is None else opener().unseal(data, _WHAT), type=_Kept)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError, UnicodeError, Unreadable) as error:
        raise SettingError(f"{path} cannot be read", remedy="Remove it, and join again.") from error
    return kept.url, Credential(kept.key, path, kept.url)


def save(path: Path, url: str, key: str, seal: Seal = PLAIN) -> None:
    """Keep where the edge has joined, and its credential, in a file that only its user may read; whole or not at all.
    Raises OSError."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    keep(path, seal.seal(msgspec.json.encode(_Kept(url, key)), _WHAT))
