"""Sealed files: written a chunk at a time, read from anywhere in them, with one chunk in memory."""

from __future__ import annotations

import io
import os
from typing import IO, BinaryIO

from faces.sealing import (
    CHUNK,
    FILE_HEADER,
    PREFIX_BYTES,
    SEALED_CHUNK,
    TAG_BYTES,
    Secret,
    Unreadable,
    file_header,
    seal_chunk,
    unseal_chunk,
)


class SealedWriter:
    """Seals what is written to it into a file that is empty; it is whole once `finish` was called."""

    def __init__(self, file: IO[bytes], secret: Secret) -> None:
        self._file = file
        self._secret = secret
        self._header = file_header(secret, os.urandom(PREFIX_BYTES))
        self._number = 0
        self._waiting = bytearray()
        file.write(self._header)

    def write(self, data: bytes) -> None:
        self._waiting += data
        # The last chunk is sealed as the last, so one is always kept back.
        while len(self._waiting) > CHUNK:
            self._seal(bytes(self._waiting[:CHUNK]), last=False)
            del self._waiting[:CHUNK]

    def finish(self) -> None:
        self._seal(bytes(self._waiting), last=True)
        self._waiting.clear()

    def _seal(self, data: bytes, *, last: bool) -> None:
        self._file.write(seal_chunk(self._secret, self._header, self._number, data, last=last))
        self._number += 1


def opened(file: BinaryIO, secret: Secret) -> BinaryIO:
    """The plain bytes of a sealed file, to be read and sought in; it closes the file. Raises Unreadable where it was
    changed, as soon as that place is read."""
    return io.BufferedReader(_Plain(file, secret), CHUNK)


class _Plain(io.RawIOBase):
    def __init__(self, file: BinaryIO, secret: Secret) -> None:
        self._file = file
        self._secret = secret
        self._header = file.read(FILE_HEADER)
        body = file.seek(0, os.SEEK_END) - FILE_HEADER
        self._last = max(0, (body - 1) // SEALED_CHUNK)
        self._size = body - (self._last + 1) * TAG_BYTES
        if self._size < 0:
            raise Unreadable("a sealed file was cut short")
        self._at = 0
        self._chunk = (-1, b"")

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        if base + offset < 0:
            raise ValueError("before the file's beginning")
        self._at = base + offset
        return self._at

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        number, start = divmod(self._at, CHUNK)
        if self._at >= self._size and number != self._last:
            return 0
        found = self._plain(min(number, self._last))[start : start + len(buffer)]
        buffer[: len(found)] = found
        self._at += len(found)
        return len(found)

    def close(self) -> None:
        self._file.close()
        super().close()

    def _plain(self, number: int) -> bytes:
        if self._chunk[0] != number:
            self._file.seek(FILE_HEADER + number * SEALED_CHUNK)
            sealed = self._file.read(SEALED_CHUNK)
            self._chunk = (
                number,
                unseal_chunk(self._secret, self._header, number, sealed, last=number == self._last),
            )
        return self._chunk[1]
