"""What an image file says of itself, read without decoding it: its format and size in pixels.

A decoder allocates what the header announces, so the header is checked first. What is hostile or unfit is refused
here as well: animations, and progressive JPEGs of so many scans that decoding them would take hours.
"""

from __future__ import annotations

import re
import struct
from typing import Final, NamedTuple

from faces.errors import Reason, Refused

MAX_SCANS: Final = 64
"""Scans of a JPEG. Cameras and editors write 1 to about 12; each costs a pass over the whole picture."""

MAX_SEGMENTS: Final = 10_000
"""Segments of a JPEG or chunks of a PNG before its pixels: a bound on our own work."""

_MARKER: Final = re.compile(rb"\xff+([^\x00\xd0-\xd7\xff])")
"""The next marker in compressed data, where 0xff is followed by 0 or is a restart marker."""

_START_OF_FRAME: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_START_OF_SCAN: Final = 0xDA
_END_OF_IMAGE: Final = 0xD9


class Header(NamedTuple):
    """A file's format (JPEG, PNG or WebP) and its size in pixels, before any turning by EXIF."""

    format: str
    width: int
    height: int


def read(data: bytes) -> Header:
    """The header of a JPEG, PNG or WebP file; raises Refused(NOT_AN_IMAGE) for anything else."""
    try:
        if data.startswith(b"\xff\xd8\xff"):
            header = _jpeg(data)
        elif data.startswith(b"\x89PNG\r\n\x1a\n"):
            header = _png(data)
        elif data.startswith(b"RIFF") and data[8:12] == b"WEBP":
            header = _webp(data)
        else:
            raise _refused("this is no JPEG, PNG or WebP file")
    except (struct.error, IndexError) as error:
        raise _refused("the image file is cut off") from error
    if header.width < 1 or header.height < 1:
        raise _refused("the image file announces an empty picture")
    return header


def _jpeg(data: bytes) -> Header:
    """Walks the segments to the end of the image and counts its scans."""
    header: Header | None = None
    scans, position = 0, 2
    for _ in range(MAX_SEGMENTS):
        marker = _MARKER.search(data, position)
        if marker is None:
            raise _refused("the JPEG file is cut off")
        kind, position = marker[1][0], marker.end()
        if kind == _END_OF_IMAGE and header is not None and scans:
            return header
        if kind in _START_OF_FRAME:
            height, width = struct.unpack_from(">HH", data, position + 3)
            header = Header("JPEG", width, height)
        scans += kind == _START_OF_SCAN
        if scans > MAX_SCANS:
            raise _refused(f"the JPEG file has more than {MAX_SCANS} scans")
        position += struct.unpack_from(">H", data, position)[0]
    raise _refused("the JPEG file has too many segments")


def _png(data: bytes) -> Header:
    """Walks the chunks to the first pixels; an acTL chunk before them makes it an animation (APNG)."""
    length, kind, width, height = struct.unpack_from(">I4sII", data, 8)
    position = 8
    for _ in range(MAX_SEGMENTS):
        length, kind = struct.unpack_from(">I4s", data, position)
        if kind == b"acTL":
            raise _animation()
        if kind == b"IDAT":
            return Header("PNG", width, height)
        position += 12 + length
    raise _refused("the PNG file has too many chunks")


def _webp(data: bytes) -> Header:
    """The first chunk tells: lossy (VP8), lossless (VP8L) or extended (VP8X: a canvas, and flags)."""
    kind, body = data[12:16], data[20:30]
    if len(data) < 8 + struct.unpack_from("<I", data, 4)[0]:
        raise _refused("the WebP file is cut off")
    if kind == b"VP8 " and body[3:6] == b"\x9d\x01\x2a":
        width, height = struct.unpack_from("<HH", body, 6)
        return Header("WebP", width & 0x3FFF, height & 0x3FFF)
    if kind == b"VP8L" and body[0] == 0x2F:
        (bits,) = struct.unpack_from("<I", body, 1)
        return Header("WebP", (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1)
    if kind == b"VP8X":
        if body[0] & 0x02:
            raise _animation()
        width, height = (int.from_bytes(body[start : start + 3], "little") + 1 for start in (4, 7))
        return Header("WebP", width, height)
    raise _refused("the WebP file does not begin with a picture")


def _animation() -> Refused:
    return Refused(Reason.NOT_AN_IMAGE, "this is an animation, not a photo", remedy="Send a single picture.")


def _refused(message: str) -> Refused:
    return Refused(Reason.NOT_AN_IMAGE, message, remedy="Send the photo as a JPEG, PNG or WebP file.")
