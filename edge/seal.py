"""What the edge seals its rows by: a key of its own, which lies on its disk wrapped by the master key."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from edge.kept import keep
from faces.errors import SettingError
from faces.masterkey import Source
from faces.sealing import (
    ID_BYTES,
    KEY_BYTES,
    NONCE_BYTES,
    SEALED,
    Secret,
    Unreadable,
    key_id,
    named,
    seal,
    secret_of,
    unseal,
    unwrap,
    wrap,
)

FILE = "data.key"
_OWNER = "edge"


class Seal:
    """Seals rows by one key, and opens them. What was written plain is read as it is; without `sealing` all is."""

    def __init__(self, secret: Secret | None = None, *, sealing: bool = True) -> None:
        self._secret = secret
        self.sealing = sealing and secret is not None

    def seal(self, data: bytes, what: bytes) -> bytes:
        if self._secret is None or not self.sealing:
            return data
        return seal(self._secret, data, what, os.urandom(NONCE_BYTES))

    def unseal(self, data: bytes, what: bytes) -> bytes:
        """Raises Unreadable for what was changed, belongs elsewhere, or was sealed by a key that is gone."""
        if key_id(data) is None:
            return data
        if self._secret is None:
            raise Unreadable("the key of what is stored here is gone")
        return unseal(self._secret, data, what)


PLAIN = Seal()
"""Seals nothing."""

Opener = Callable[[], Seal]
"""Gives what opens a file, where it is sealed: to have the master key may cost a command."""


def plain() -> Seal:
    """Opens nothing."""
    return PLAIN


SEALED_ROW = f"substr(body, 1, {len(SEALED)}) = X'{SEALED.hex()}'"
"""In SQL: whether a row's body is sealed."""


def open_seal(folder: Path, source: Source, *, sealing: bool = True) -> Seal:
    """The key in this folder, made where there is none; raises SettingError where the master key is not to be had."""
    path = folder / FILE
    if not path.exists():
        if not sealing:
            return PLAIN
        masters = source.make(os.urandom(KEY_BYTES)) if source.is_file else source.read()
        _keep(path, masters[0], secret_of(os.urandom(ID_BYTES + KEY_BYTES)))
    return Seal(_read(path, source), sealing=sealing)


def rotate(folder: Path, source: Source) -> None:
    """Have a new master key, the first where several are given, wrap the key in this folder. May be broken off
    anywhere, and repeated; raises SettingError."""
    path = folder / FILE
    secret, masters = _read(path, source), source.read()
    if len(masters) == 1:
        masters = (named(os.urandom(KEY_BYTES)), *masters)
        source.replace(masters)
    _keep(path, masters[0], secret)
    source.keep_only(masters[0])


def _read(path: Path, source: Source) -> Secret:
    data = path.read_bytes()
    master_id, secret_id, wrapped = data[:ID_BYTES], data[ID_BYTES : 2 * ID_BYTES], data[2 * ID_BYTES :]
    for master in source.read():
        if master.id == master_id:
            return unwrap(master, wrapped, secret_id, _OWNER)
    raise SettingError(
        f"{source.name}: the master key {master_id.hex()} is not there, by which all is sealed",
        remedy=f"Put it back, or take {path}, the galleries and the spool away: events not yet delivered are lost.",
    )


def _keep(path: Path, master: Secret, secret: Secret) -> None:
    keep(path, master.id + secret.id + wrap(master, secret, _OWNER, os.urandom(NONCE_BYTES)))
