"""Photos and archives as files: written whole or not at all, named by ids of ours and never by a client.

Each is sealed by a key of its own, which goes with it. What was written plain is read as it is.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import IO, BinaryIO
from uuid import uuid4

from control_plane.store.sealed_files import SealedWriter, opened
from control_plane.store.vault import Vault, new_secret
from faces.errors import Invalid, SettingError
from faces.sealing import CHUNK, FILE_HEADER, Secret, Unreadable, key_id

_NAME = re.compile(r"[a-z]+/[0-9a-f-]{2,64}")


SYNC_EVERY = 16 << 20


class Steady:
    """Writes a large file a piece at a time onto the disk, and counts and hashes what is written meanwhile.

    A disk that is handed gigabytes at once holds up everybody who commits. With a `secret` it is sealed by that.
    """

    def __init__(self, file: IO[bytes], secret: Secret | None = None) -> None:
        self.file = file
        self.secret = secret
        self.size = 0
        self._into = SealedWriter(file, secret) if secret else file
        self._digest = sha256()
        self._unsynced = 0

    def write(self, data: bytes) -> None:
        self._into.write(data)
        self._digest.update(data)
        self.size += len(data)
        self._unsynced += len(data)
        if self._unsynced >= SYNC_EVERY:
            self._sync()

    def finish(self) -> None:
        """All is written; returns when it is on the disk."""
        if isinstance(self._into, SealedWriter):
            self._into.finish()
        self._sync()

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()

    def _sync(self) -> None:
        self.file.flush()
        os.fsync(self.file.fileno())
        self._unsynced = 0


class BlobStore:
    """A folder of blobs named `kind/id`, shared by the control plane and the workers. `vault` None: they stay plain."""

    def __init__(self, root: Path, vault: Vault | None = None) -> None:
        self._root = root
        self._vault = vault

    def put(self, name: str, data: bytes, secrets: Mapping[str, Secret] | None = None) -> None:
        """Store durably under `name`; returns when the bytes are on disk. `secrets` is what `expect` gave, where it was
        asked for several at once."""
        path = self.path(name)
        secret = (self.expect([name]) if secrets is None else secrets).get(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial")
        try:
            with partial.open("wb") as file:
                written = Steady(file, secret)
                written.write(data)
                written.finish()
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)

    def expect(self, names: Iterable[str]) -> dict[str, Secret]:
        """Have the keys of blobs that are about to be put: of many at once takes as long as of one."""
        return self._vault.fresh(names) if self._vault is not None and self._vault.sealing else {}

    @contextlib.contextmanager
    def receiving(self) -> Iterator[Steady]:
        """A file to write into while it is not yet known what becomes of it (`adopt`); else it is gone at the end."""
        self._root.mkdir(parents=True, exist_ok=True)
        with NamedTemporaryFile(dir=self._root, suffix=".partial") as file:
            yield Steady(file, new_secret() if self._vault is not None and self._vault.sealing else None)

    def adopt(self, name: str, received: Steady) -> None:
        """Make a received file the blob `name`; returns when its bytes are on disk."""
        received.finish()
        path = self.path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        if self._vault is not None and received.secret is not None:
            self._vault.add(name, received.secret)
        os.link(received.file.name, path)

    def get(self, name: str) -> bytes:
        with self.open(name) as file:
            return file.read()

    def open(self, name: str) -> BinaryIO:
        """Its plain bytes, to be read and sought in. Raises FileNotFoundError, also where its key is gone, and
        Unreadable, which reading it may raise too."""
        file = self.path(name).open("rb")
        try:
            sealed_by = key_id(file.read(FILE_HEADER))
            file.seek(0)
            return file if sealed_by is None else opened(file, self._secret(name, sealed_by))
        except BaseException:
            file.close()
            raise

    def seal(self, name: str, wanted: Callable[[], bool]) -> None:
        """Seal a blob that was written plain; nothing if it is gone. One that is not `wanted` any more when that is
        done has been deleted meanwhile, and is once more."""
        path = self.path(name)
        # A name of its own: others may be at it, too.
        partial = path.with_suffix(f".{uuid4().hex}.sealing")
        with contextlib.suppress(FileNotFoundError), path.open("rb") as file:
            if key_id(file.read(FILE_HEADER)) is not None:
                return
            file.seek(0)
            secret = self.expect([name])[name]
            try:
                with partial.open("wb") as sealed:
                    written = Steady(sealed, secret)
                    while data := file.read(CHUNK):
                        written.write(data)
                    written.finish()
                partial.replace(path)
            finally:
                partial.unlink(missing_ok=True)
            if not wanted():
                self.delete([name])

    def forget_sealing(self) -> None:
        """Remove what was left of `seal` when it was broken off; whoever is at it finds it gone, and another's done."""
        for path in self._root.glob("*/*/*.sealing"):
            path.unlink(missing_ok=True)

    def delete(self, names: Iterable[str | None]) -> None:
        """Remove blobs and their keys; one that is gone already is no error."""
        gone = [name for name in names if name is not None]
        if self._vault is not None and gone:
            self._vault.destroy(gone)
        for name in gone:
            self.path(name).unlink(missing_ok=True)

    def names(self) -> Iterator[str]:
        """All that are there, whether or not anybody names them."""
        for path in self._root.glob("*/*/*"):
            name = f"{path.parent.parent.name}/{path.name}"
            if _NAME.fullmatch(name) and self.path(name) == path and path.is_file():
                yield name

    def path(self, name: str) -> Path:
        """Where a blob lies. Ids are spread over 256 folders by their last digits, as UUIDv7 share their first."""
        if not _NAME.fullmatch(name):
            raise Invalid(f"{name[:40]!r} names no blob")
        kind, blob_id = name.split("/")
        return self._root / kind / blob_id[-2:] / blob_id

    def _secret(self, name: str, sealed_by: bytes) -> Secret:
        if self._vault is None:
            raise SettingError(
                "what is stored is sealed, and this process has no key", remedy="Set the same key for all."
            )
        secret = self._vault.known([name]).get(name)
        if secret is None or secret.id != sealed_by:
            # It may have gone and come again.
            secret = self._vault.looked_up([name]).get(name)
        if secret is None:
            raise FileNotFoundError(f"the key of {name} is gone, and with it what it says")
        if secret.id != sealed_by:
            raise Unreadable(f"another file lies in the place of {name}")
        return secret
