"""Photos and archives as files: written whole or not at all, named by ids of ours and never by a client."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterable, Iterator
from hashlib import sha256
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import IO, BinaryIO

from faces.errors import Invalid

_NAME = re.compile(r"[a-z]+/[0-9a-f-]{2,64}")


SYNC_EVERY = 16 << 20


class Steady:
    """Writes a large file a piece at a time onto the disk, and counts and hashes it meanwhile.

    A disk that is handed gigabytes at once holds up everybody who commits.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self.file = file
        self.size = 0
        self._digest = sha256()
        self._unsynced = 0

    def write(self, data: bytes) -> None:
        self.file.write(data)
        self._digest.update(data)
        self.size += len(data)
        self._unsynced += len(data)
        if self._unsynced >= SYNC_EVERY:
            self.sync()

    def sync(self) -> None:
        self.file.flush()
        os.fsync(self.file.fileno())
        self._unsynced = 0

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()


class BlobStore:
    """A folder of blobs named `kind/id`, shared by the control plane and the workers."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def put(self, name: str, data: bytes) -> None:
        """Store durably under `name`; returns when the bytes are on disk."""
        with self.writing(name) as file:
            file.write(data)

    @contextlib.contextmanager
    def writing(self, name: str) -> Iterator[IO[bytes]]:
        """A file to write `name` into; it appears under its name when the block ends well, else not at all."""
        path = self.path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial")
        try:
            with partial.open("wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)

    @contextlib.contextmanager
    def receiving(self) -> Iterator[Steady]:
        """A file to write into while it is not yet known what becomes of it (`adopt`); else it is gone at the end."""
        self._root.mkdir(parents=True, exist_ok=True)
        with NamedTemporaryFile(dir=self._root, suffix=".partial") as file:
            yield Steady(file)

    def adopt(self, name: str, received: Steady) -> None:
        """Make a received file the blob `name`; returns when its bytes are on disk."""
        received.sync()
        path = self.path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        os.link(received.file.name, path)

    def get(self, name: str) -> bytes:
        return self.path(name).read_bytes()

    def open(self, name: str) -> BinaryIO:
        return self.path(name).open("rb")

    def delete(self, names: Iterable[str | None]) -> None:
        """Remove blobs; one that is gone already is no error."""
        for name in names:
            if name is not None:
                self.path(name).unlink(missing_ok=True)

    def path(self, name: str) -> Path:
        """Where a blob lies. Ids are spread over 256 folders by their last digits, as UUIDv7 share their first."""
        if not _NAME.fullmatch(name):
            raise Invalid(f"{name[:40]!r} names no blob")
        kind, blob_id = name.split("/")
        return self._root / kind / blob_id[-2:] / blob_id
