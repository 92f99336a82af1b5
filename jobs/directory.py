"""A ZIP archive's directory, read without trusting it: what is where, and which entries say something impossible.

Our own reader, as the standard library's takes what must not be taken: entries that overlap (one kernel of data counted
a thousand times), sizes that the data does not have, and two headers of an entry that do not agree.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, Final, NamedTuple

from faces.errors import Reason, Refused

MIB: Final = 1 << 20
STORED, DEFLATED = 0, 8
LONGEST_END: Final = 22 + 0xFFFF
"""The end record and the longest comment behind it."""

BLOCK: Final = 1 << 16

_END: Final = struct.Struct("<4s4H2LH")
_END64: Final = struct.Struct("<4sQ2H2L4Q")
_LOCATOR64: Final = struct.Struct("<4sLQL")
_CENTRAL: Final = struct.Struct("<4s6H3L5H2L")
_LOCAL: Final = struct.Struct("<4s5H3L2H")

_FULL16: Final = 0xFFFF
_FULL32: Final = 0xFFFFFFFF
_ENCRYPTED: Final = 0x1 | 0x40 | 0x2000
_DESCRIPTOR: Final = 0x8
_LINK: Final = 0o120000


@dataclass(frozen=True, slots=True)
class Limits:
    """What an archive may ask of us."""

    max_entries: int = 100_000
    max_directory_bytes: int = 32 * MIB
    max_entry_bytes: int = 20 * MIB


class Place(NamedTuple):
    """Where an entry's data lies: offset of its local header, bytes there, bytes inflated, method, CRC-32."""

    offset: int
    packed: int
    size: int
    method: int
    crc: int


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry as the directory has it. `fault` is why it cannot be read, if so."""

    name: str
    place: Place
    link: bool
    fault: str = ""


class _Central(NamedTuple):
    raw: bytes
    flags: int
    place: Place
    link: bool


class _End(NamedTuple):
    """What the end of the archive says: how many entries, in how many bytes from where, and where that has to end."""

    entries: int
    size: int
    offset: int
    at: int


def entries(file: BinaryIO, limits: Limits) -> list[Entry]:
    """All entries in the directory's order; raises Refused for an archive that is none, too large or lies."""
    end = _end(file)
    if end.entries > limits.max_entries:
        raise Refused(
            Reason.TOO_LARGE,
            f"the archive has {end.entries} entries; at most {limits.max_entries} are taken",
            remedy="Split it into several archives.",
        )
    if end.size > limits.max_directory_bytes:
        raise Refused(Reason.TOO_LARGE, f"the archive's directory has {end.size} bytes", remedy="Shorten the names.")
    if end.offset + end.size != end.at:
        raise _unreadable("its directory is not where it says")
    file.seek(end.offset)
    found = list(_centrals(file.read(end.size), end.entries))
    faults, ends = [], []
    for central in found:
        fault, until = _compare(file, central, limits)
        faults.append(fault)
        ends.append(until)
    _check_overlap(found, ends, end.offset)
    return [Entry(_text(c), c.place, c.link, fault) for c, fault in zip(found, faults, strict=True)]


def read(file: BinaryIO, place: Place, max_bytes: int) -> bytes:
    """An entry's bytes, counted while they are inflated, and checked. Raises Refused."""
    if place.size > max_bytes:
        raise Refused(Reason.TOO_LARGE, f"this entry has {place.size} bytes; at most {max_bytes} are taken")
    file.seek(place.offset)
    local = file.read(_LOCAL.size)
    if len(local) < _LOCAL.size or local[:4] != b"PK\x03\x04":
        raise _damaged()
    *_, name_length, extra_length = _LOCAL.unpack(local)
    file.seek(name_length + extra_length, 1)
    data = _inflated(file, place)
    if len(data) != place.size or zlib.crc32(data) != place.crc:
        raise _damaged()
    return data


def _inflated(file: BinaryIO, place: Place) -> bytes:
    """At most one byte more than the entry is said to have."""
    if place.method == STORED:
        return file.read(min(place.packed, place.size + 1))
    inflater, left = zlib.decompressobj(-zlib.MAX_WBITS), place.packed
    parts: list[bytes] = []
    wanted = place.size + 1
    try:
        while left and wanted and not inflater.eof:
            block = file.read(min(left, BLOCK))
            if not block:
                break
            left -= len(block)
            parts.append(inflater.decompress(block, wanted))
            wanted -= len(parts[-1])
    except zlib.error as error:
        raise _damaged() from error
    return b"".join(parts)


def _end(file: BinaryIO) -> _End:
    size = file.seek(0, 2)
    tail_at = max(0, size - LONGEST_END)
    file.seek(tail_at)
    tail = file.read(LONGEST_END)
    at = len(tail)
    while (at := tail.rfind(b"PK\x05\x06", 0, at)) >= 0:
        if len(tail) - at >= _END.size:
            _, disk, first_disk, here, entries, length, offset, comment = _END.unpack_from(tail, at)
            if at + _END.size + comment == len(tail):
                if disk or first_disk or here != entries:
                    raise _unreadable("it is one part of several")
                return _end64(file, _End(entries, length, offset, tail_at + at))
    raise _unreadable("it does not end as one")


def _end64(file: BinaryIO, end: _End) -> _End:
    """The 64-bit end, where there is one: it has to lie right before its locator, and to agree with the other."""
    at = end.at - _LOCATOR64.size
    if at >= 0:
        file.seek(at)
        signature, disk, offset, disks = _LOCATOR64.unpack(file.read(_LOCATOR64.size))
        if signature == b"PK\x06\x07":
            if disk or disks > 1 or offset + _END64.size != at:
                raise _unreadable("its 64-bit end is not where it says")
            return _read_end64(file, end, offset)
    if end.entries == _FULL16 or _FULL32 in (end.size, end.offset):
        raise _unreadable("its 64-bit end is missing")
    return end


def _read_end64(file: BinaryIO, end: _End, offset: int) -> _End:
    file.seek(offset)
    signature, length, _, _, disk, first_disk, here, entries, size, start = _END64.unpack(file.read(_END64.size))
    if signature != b"PK\x06\x06" or length != _END64.size - 12 or disk or first_disk or here != entries:
        raise _unreadable("its 64-bit end is damaged")
    for short, long, full in (
        (end.entries, entries, _FULL16),
        (end.size, size, _FULL32),
        (end.offset, start, _FULL32),
    ):
        if short not in (long, full):
            raise _unreadable("its two ends do not agree")
    return _End(entries, size, start, offset)


def _centrals(data: bytes, count: int) -> Iterator[_Central]:
    at = 0
    for _ in range(count):
        if len(data) - at < _CENTRAL.size:
            raise _unreadable("its directory is cut off")
        fields = _CENTRAL.unpack_from(data, at)
        signature, _, _, flags, method, _, _, crc, packed, size, n, e, c, _, _, mode, offset = fields
        at += _CENTRAL.size
        if signature != b"PK\x01\x02" or at + n + e + c > len(data):
            raise _unreadable("its directory is damaged")
        raw, extra = data[at : at + n], data[at + n : at + n + e]
        size, packed, offset = _wide(extra, size, packed, offset)
        yield _Central(raw, flags, Place(offset, packed, size, method, crc), (mode >> 16) & 0o170000 == _LINK)
        at += n + e + c
    if at != len(data):
        raise _unreadable("its directory holds more than its entries")


def _wide(extra: bytes, *values: int) -> tuple[int, ...]:
    """The values, those that are full replaced by their 64-bit ones."""
    wide = _wides(extra) if _FULL32 in values else []
    if len(wide) < values.count(_FULL32):
        raise _unreadable("a 64-bit size is missing")
    following = iter(wide)
    return tuple(next(following) if value == _FULL32 else value for value in values)


def _wides(extra: bytes) -> list[int]:
    at = 0
    while at + 4 <= len(extra):
        kind, length = struct.unpack_from("<2H", extra, at)
        at += 4
        if kind == 1:
            count = min(length, len(extra) - at) // 8
            return list(struct.unpack_from(f"<{count}Q", extra, at))
        at += length
    return []


def _compare(file: BinaryIO, central: _Central, limits: Limits) -> tuple[str, int]:
    """Why an entry cannot be read (empty: it can), by its two headers, and where its data ends."""
    place = central.place
    file.seek(place.offset)
    header = file.read(_LOCAL.size)
    if len(header) < _LOCAL.size or header[:4] != b"PK\x03\x04":
        return "it is not where the directory says", place.offset + _LOCAL.size
    _, _, flags, method, _, _, crc, packed, size, n, e = _LOCAL.unpack(header)
    until = place.offset + _LOCAL.size + n + e + place.packed
    raw, extra = file.read(n), file.read(e)
    try:
        size, packed = _wide(extra, size, packed)
    except Refused:
        return "its two headers do not agree", until
    known = not flags & _DESCRIPTOR or any((crc, packed, size))
    if (raw, method) != (central.raw, place.method) or (flags ^ central.flags) & (_ENCRYPTED | _DESCRIPTOR):
        return "its two headers do not agree", until
    if known and (crc, packed, size) != (place.crc, place.packed, place.size):
        return "its two headers do not agree", until
    return _unfit(central), until


def _unfit(central: _Central) -> str:
    if central.flags & _ENCRYPTED:
        return "it is encrypted"
    if central.place.method not in (STORED, DEFLATED):
        return "it is packed by a method that is not read here"
    return ""


def _check_overlap(found: list[_Central], ends: list[int], directory: int) -> None:
    """Raises Refused if two entries share data, one shares the directory's, or something else comes before them all."""
    spans = sorted((c.place.offset, end) for c, end in zip(found, ends, strict=True))
    if min((start for start, _ in spans), default=directory):
        raise _unreadable("it begins as something else")
    reached = 0
    for start, end in spans:
        if start < reached:
            raise _unreadable("its entries overlap")
        reached = end
    if reached > directory:
        raise _unreadable("its entries overlap")


def _text(central: _Central) -> str:
    """An entry's name. macOS writes UTF-8 without saying so; what is not UTF-8 is the DOS code page."""
    try:
        return central.raw.decode()
    except UnicodeDecodeError:
        return central.raw.decode("cp437")


def _unreadable(why: str) -> Refused:
    return Refused(
        Reason.UNREADABLE_ARCHIVE,
        f"This is no ZIP archive that can be read: {why}.",
        remedy="Make the archive anew with an ordinary program.",
    )


def _damaged() -> Refused:
    return Refused(
        Reason.UNREADABLE_ENTRY,
        "this entry of the archive is damaged",
        remedy="Make the archive anew, or send the photo.",
    )
