"""The one image loader, and the way back to JPEG. Everything that reads a photo reads it here."""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np

from faces.engine import headers
from faces.errors import Reason, Refused
from faces.face import Picture

MAX_BYTES: Final = 25_000_000
"""A larger file is not even looked at."""

MAX_PIXELS: Final = 40_000_000
"""Decoding the worst file of this size (a progressive JPEG without subsampling) takes about 260 MB."""

HALVED_FROM_PIXELS: Final = 16_000_000
"""Pictures from here on are read at half their width and height: a quarter of the memory, and enough of any face."""


def load(data: bytes, *, max_pixels: int = MAX_PIXELS, max_bytes: int = MAX_BYTES) -> Picture:
    """The picture in a JPEG, PNG or WebP file: RGB, 8 bits, turned upright as EXIF says.

    Transparency is dropped, grey and CMYK become RGB. Raises Refused: NOT_AN_IMAGE for another format, a damaged
    file or an animation, TOO_LARGE by the file's size or by the header's, before anything is decoded.
    """
    if len(data) > max_bytes:
        raise _too_large(f"the file has {len(data)} bytes", f"{max_bytes} bytes", bytes=len(data), max_bytes=max_bytes)
    header = headers.read(data)
    pixels = header.width * header.height
    if pixels > max_pixels:
        size = f"the picture has {header.width} x {header.height} pixels"
        raise _too_large(size, f"{max_pixels} pixels", pixels=pixels, max_pixels=max_pixels)
    return _decode(data, header, halved=pixels >= HALVED_FROM_PIXELS)


def jpeg(picture: Picture, quality: int = 85) -> bytes:
    """The picture as a JPEG file; `quality` is 1 to 100."""
    done, content = cv2.imencode(".jpg", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not done:
        raise ValueError(f"a picture of shape {picture.shape} cannot be written as JPEG")
    return bytes(content)


def shrink(picture: Picture, max_side: int) -> Picture:
    """The picture with its longer side at most `max_side` pixels; never enlarged."""
    scale = max_side / max(picture.shape)
    return picture if scale >= 1 else scaled(picture, scale)


def scaled(picture: Picture, scale: float) -> Picture:
    """The picture `scale` times as wide and high, at least 1 pixel."""
    height, width = picture.shape[:2]
    return resized(picture, max(1, round(width * scale)), max(1, round(height * scale)))


def resized(picture: Picture, width: int, height: int) -> Picture:
    """The picture at another size. It is halved as often as needed first, which averages what bilinear
    interpolation alone would skip, in a tenth of the time that OpenCV's INTER_AREA takes."""
    while picture.shape[1] >= 2 * width and picture.shape[0] >= 2 * height:
        half = picture.shape[1] // 2, picture.shape[0] // 2
        picture = cv2.resize(picture, half, interpolation=cv2.INTER_LINEAR)
    return np.asarray(cv2.resize(picture, (width, height), interpolation=cv2.INTER_LINEAR))


def _decode(data: bytes, header: headers.Header, *, halved: bool) -> Picture:
    flags = cv2.IMREAD_REDUCED_COLOR_2 if halved else cv2.IMREAD_COLOR_BGR
    try:
        picture: Picture | None = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error:
        picture = None
    if picture is None:
        message = f"the {header.format} file is damaged"
        raise Refused(Reason.NOT_AN_IMAGE, message, remedy="Send the photo again, or another one.")
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB, dst=picture))


def _too_large(what: str, limit: str, **detail: int) -> Refused:
    remedy = "Send a smaller version: a photo of 12 megapixels is more than enough."
    return Refused(Reason.TOO_LARGE, f"{what}; at most {limit} are taken", remedy=remedy, detail=detail)
