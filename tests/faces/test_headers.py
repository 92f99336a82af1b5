"""The header is read right or the file is refused, within bounds on our own work."""

from __future__ import annotations

import io
import struct
import time
import zlib

import pytest
from PIL import Image

from faces.engine import headers
from faces.errors import Reason, Refused


def file(kind: str, width: int = 37, height: int = 21, **options: object) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (width, height), (120, 90, 60)).save(stream, kind, **options)
    return stream.getvalue()


def png(width: int, height: int, *chunks: tuple[bytes, bytes]) -> bytes:
    head = (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    packed = (
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in (head, *chunks)
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)


def refusal(data: bytes) -> str:
    with pytest.raises(Refused) as caught:
        headers.read(data)
    assert caught.value.reason is Reason.NOT_AN_IMAGE
    assert caught.value.remedy
    return caught.value.message


FILES = {
    "jpeg": ("JPEG", file("JPEG")),
    "jpeg, progressive": ("JPEG", file("JPEG", progressive=True)),
    "jpeg with a thumbnail in EXIF": ("JPEG", file("JPEG", exif=b"Exif\0\0" + file("JPEG", 8, 8))),
    "png": ("PNG", file("PNG")),
    "webp, lossy": ("WebP", file("WEBP")),
    "webp, lossless": ("WebP", file("WEBP", lossless=True)),
    "webp, extended": ("WebP", file("WEBP", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\0")),
}


@pytest.mark.parametrize(("kind", "data"), FILES.values(), ids=FILES)
def test_the_three_formats_tell_their_size(kind: str, data: bytes) -> None:
    assert headers.read(data) == (kind, 37, 21)


@pytest.mark.parametrize("data", [data for _, data in FILES.values()], ids=FILES)
def test_a_file_cut_anywhere_in_its_header_is_refused(data: bytes) -> None:
    for length in range(2, 30):
        refusal(data[:length])


@pytest.mark.parametrize("data", [data for kind, data in FILES.values() if kind == "JPEG"])
def test_a_jpeg_cut_before_its_end_is_refused(data: bytes) -> None:
    assert "cut off" in refusal(data[:-2])


@pytest.mark.parametrize("tail", [b"PK\x03\x04" + b"\xff\xda\xff\xd9" * 9, b"<html><script>alert(1)</script></html>"])
def test_what_follows_the_end_of_a_jpeg_is_not_looked_at(tail: bytes) -> None:
    assert headers.read(file("JPEG") + tail) == ("JPEG", 37, 21)


OTHERS = {
    "nothing": b"",
    "text": b"hello",
    "gif": file("GIF"),
    "tiff": file("TIFF"),
    "bmp": file("BMP"),
    "avif": b"\0\0\0\x1cftypavif\0\0\0\0avifmif1miaf" + bytes(99),
    "heic": b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(99),
    "jp2": b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(99),
    "hdr": b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y 1 +X 1\n" + bytes(99),
    "svg": b"<svg xmlns='http://www.w3.org/2000/svg'/>",
    "pdf": b"%PDF-1.7\n",
    "riff that is not webp": b"RIFF\x24\0\0\0WAVEfmt " + bytes(99),
    "webp with an unknown first chunk": b"RIFF\x24\0\0\0WEBPVP9 " + bytes(99),
}


@pytest.mark.parametrize("data", OTHERS.values(), ids=OTHERS)
def test_every_other_format_is_refused_by_its_first_bytes(data: bytes) -> None:
    refusal(data)


@pytest.mark.parametrize("kind", ["WEBP", "PNG"])
def test_an_animation_is_refused_as_one(kind: str) -> None:
    frames = [Image.new("RGB", (20, 20), (i * 40, 0, 0)) for i in range(5)]
    stream = io.BytesIO()
    frames[0].save(stream, kind, save_all=True, append_images=frames[1:])
    assert "animation" in refusal(stream.getvalue())


def test_an_announced_size_of_zero_is_refused() -> None:
    assert "empty" in refusal(png(0, 10, (b"IDAT", b"")))


def test_a_huge_size_is_told_as_announced() -> None:
    assert headers.read(png(25_000, 25_000, (b"IDAT", b""))) == ("PNG", 25_000, 25_000)
    jpeg = bytearray(file("JPEG"))
    at = jpeg.index(b"\xff\xc0") + 5
    jpeg[at : at + 4] = b"\xff\xff\xff\xff"
    assert headers.read(bytes(jpeg)) == ("JPEG", 65_535, 65_535)


def test_a_progressive_jpeg_of_endless_scans_is_refused() -> None:
    data = file("JPEG", progressive=True)
    last = data.rindex(b"\xff\xda")
    scan = data[last:-2]
    assert headers.read(data[:-2] + scan * 20 + b"\xff\xd9").format == "JPEG"
    assert "scans" in refusal(data[:-2] + scan * headers.MAX_SCANS + b"\xff\xd9")


def test_millions_of_tiny_segments_cost_no_time() -> None:
    comments = b"\xff\xfe\0\x02" * 2_000_000
    chunk = png(5, 5, (b"tEXt", b"a\0b"))[33:]
    begin = time.thread_time()
    assert "segments" in refusal(b"\xff\xd8" + comments)
    assert "chunks" in refusal(png(5, 5) + chunk * 500_000)
    assert "cut off" in refusal(b"\xff\xd8\xff" + bytes(25_000_000))
    assert time.thread_time() - begin < 1


def test_segments_of_length_zero_end() -> None:
    refusal(b"\xff\xd8" + b"\xff\xe0\0\0" * 5)
    refusal(png(5, 5) + bytes(200_000))
