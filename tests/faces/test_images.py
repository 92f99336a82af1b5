"""One loader: upright RGB of 8 bits, or a refusal, within bounds of time and memory."""

from __future__ import annotations

import io
import os
import resource
import subprocess
import sys
import zlib
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from faces.encoding import distances
from faces.engine import Engine, images
from faces.engine.enroll import enroll
from faces.errors import Reason, Refused

TURNED_BACK = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}
"""How pixels are stored that each EXIF orientation turns upright again."""


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def refusal(data: bytes, **limits: int) -> Refused:
    with pytest.raises(Refused) as caught:
        images.load(data, **limits)
    assert caught.value.remedy
    return caught.value


@pytest.fixture(scope="module")
def obama(data: Path) -> Image.Image:
    return Image.open(data / "portraits" / "obama2.jpg").convert("RGB")


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("orientation", [*TURNED_BACK, 9])
def test_hostile_15_a_photo_of_any_exif_orientation_is_turned_upright(
    obama: Image.Image, kind: str, orientation: int
) -> None:
    upright = obama.resize((300, 576))
    back = TURNED_BACK.get(orientation)
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = upright.transpose(back) if back is not None else upright
    picture = images.load(saved(stored, kind, exif=exif))
    assert picture.shape == (576, 300, 3)
    assert np.abs(picture.astype(int) - np.asarray(upright)).mean() < 4


def test_hostile_15_one_face_in_eight_orientations_is_the_same_person_eight_times(
    engine: Engine, obama: Image.Image, data: Path
) -> None:
    known = enroll(engine, (data / "portraits" / "obama.jpg").read_bytes()).encoding[None]
    for orientation, back in TURNED_BACK.items():
        exif = Image.Exif()
        exif[0x0112] = orientation
        photo = saved(obama.transpose(back) if back is not None else obama, "JPEG", exif=exif)
        assert distances(engine.model, enroll(engine, photo).encoding[None], known)[0, 0] < engine.th_accept


def alpha(image: Image.Image) -> Image.Image:
    image = image.copy()
    image.putalpha(128)
    return image


MODES = {
    "grey JPEG": lambda image: saved(image.convert("L"), "JPEG"),
    "CMYK JPEG": lambda image: saved(image.convert("CMYK"), "JPEG"),
    "progressive JPEG": lambda image: saved(image, "JPEG", progressive=True),
    "16-bit PNG": lambda image: saved(Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257), "PNG"),
    "palette PNG": lambda image: saved(image.quantize(256), "PNG"),
    "palette PNG with alpha": lambda image: saved(image.quantize(255), "PNG", transparency=7),
    "PNG with alpha": lambda image: saved(alpha(image), "PNG"),
    "grey PNG with alpha": lambda image: saved(alpha(image.convert("L")), "PNG"),
    "1-bit PNG": lambda image: saved(image.convert("1"), "PNG"),
    "WebP with alpha": lambda image: saved(alpha(image), "WEBP"),
    "lossless WebP": lambda image: saved(image, "WEBP", lossless=True),
}


@pytest.mark.parametrize("make", MODES.values(), ids=MODES)
def test_hostile_19_every_kind_of_pixel_becomes_rgb_of_8_bits(obama: Image.Image, make: object) -> None:
    small = obama.resize((313, 600))
    picture = images.load(make(small))  # type: ignore[operator]
    assert (picture.shape, picture.dtype) == ((600, 313, 3), np.uint8)
    coarse, wanted = images.resized(picture, 31, 60), images.resized(np.asarray(small), 31, 60)
    assert np.abs(coarse.mean(axis=2) - wanted.mean(axis=2)).mean() < 12


def test_red_comes_first() -> None:
    red = Image.new("RGB", (64, 64), (250, 10, 20))
    for kind in ("JPEG", "PNG", "WEBP"):
        assert np.abs(images.load(saved(red, kind))[30, 30].astype(int) - [250, 10, 20]).max() < 6


@pytest.mark.parametrize("shape", [(1, 1), (1, 20_000), (20_000, 1)])
def test_hostile_19_pictures_of_extreme_shape_are_loaded(shape: tuple[int, int]) -> None:
    assert images.load(saved(Image.new("RGB", shape), "PNG")).shape == (shape[1], shape[0], 3)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.99])
def test_hostile_20_a_truncated_file_is_refused(obama: Image.Image, kind: str, share: float) -> None:
    photo = saved(obama, kind)
    assert refusal(photo[: int(len(photo) * share)]).reason is Reason.NOT_AN_IMAGE


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_hostile_20_a_file_with_flipped_bits_is_loaded_or_refused(obama: Image.Image, kind: str) -> None:
    photo = saved(obama.resize((100, 190)), kind)
    random = np.random.default_rng(3)
    for _ in range(200):
        damaged = bytearray(photo)
        for place in random.integers(0, len(photo), 5):
            damaged[place] ^= 1 << random.integers(8)
        with suppress(Refused):
            assert images.load(bytes(damaged)).ndim == 3


def flat_png(side: int) -> bytes:
    """A PNG of `side` x `side` black pixels: half a megabyte for 25,000 x 25,000."""
    head = saved(Image.new("L", (1, 1)), "PNG")[:8]

    def chunk(kind: bytes, body: bytes) -> bytes:
        return len(body).to_bytes(4, "big") + kind + body + zlib.crc32(kind + body).to_bytes(4, "big")

    size = side.to_bytes(4, "big") * 2
    compressor = zlib.compressobj(9)
    row = bytes(side + 1)
    pixels = b"".join(compressor.compress(row) for _ in range(side)) + compressor.flush()
    return head + chunk(b"IHDR", size + b"\x08\0\0\0\0") + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def test_hostile_13_a_huge_picture_in_a_small_file_is_refused_before_it_is_decoded() -> None:
    bomb = flat_png(25_000)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    refused = refusal(bomb)
    assert refused.reason is Reason.TOO_LARGE
    assert "25000 x 25000" in refused.message
    assert refused.detail == {"pixels": 625_000_000, "max_pixels": images.MAX_PIXELS}
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 10_000


def test_hostile_14_a_jpeg_header_of_65535_squared_is_refused() -> None:
    jpeg = bytearray(saved(Image.new("RGB", (40, 40)), "JPEG"))
    at = jpeg.index(b"\xff\xc0") + 5
    jpeg[at : at + 4] = b"\xff\xff\xff\xff"
    assert refusal(bytes(jpeg)).reason is Reason.TOO_LARGE


def test_limits_are_the_callers(obama: Image.Image) -> None:
    photo = saved(obama, "JPEG")
    assert refusal(photo, max_bytes=len(photo) - 1).detail["bytes"] == len(photo)
    pixels = obama.width * obama.height
    assert refusal(photo, max_pixels=pixels - 1).reason is Reason.TOO_LARGE
    assert images.load(photo, max_pixels=pixels, max_bytes=len(photo)).shape[:2] == (obama.height, obama.width)


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_a_photo_of_many_megapixels_is_read_at_half_its_size(obama: Image.Image, kind: str) -> None:
    large = obama.resize((4000, 4100))
    exif = Image.Exif()
    exif[0x0112] = 6
    picture = images.load(saved(large.transpose(Image.Transpose.ROTATE_90), kind, exif=exif, compress_level=1))
    assert picture.shape == (2050, 2000, 3)
    assert np.abs(picture.astype(int) - np.asarray(large.resize((2000, 2050)))).mean() < 6


def test_the_largest_photo_taken_stays_within_300_megabytes_and_5_seconds(tmp_path: Path) -> None:
    path = tmp_path / "large.jpg"
    Image.new("RGB", (6320, 6320), (120, 90, 60)).save(path, progressive=True, subsampling=0)
    code = (
        "import resource, sys, time; from pathlib import Path; from faces.engine import images\n"
        "def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024\n"
        f"data = Path({str(path)!r}).read_bytes(); before = peak(); begin = time.process_time()\n"
        "images.load(data); print(peak() - before, time.process_time() - begin)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    megabytes, seconds = map(float, done.stdout.split())
    assert megabytes < 300
    assert seconds < 5


def test_opencv_itself_refuses_more_pixels_than_any_photo_has() -> None:
    assert int(os.environ["OPENCV_IO_MAX_IMAGE_PIXELS"]) <= 100_000_000


def test_jpeg_and_back_is_the_same_picture(obama: Image.Image) -> None:
    picture = np.asarray(obama)
    again = images.load(images.jpeg(picture, 95))
    assert np.abs(again.astype(int) - picture).mean() < 2
    assert len(images.jpeg(picture, 40)) < len(images.jpeg(picture, 95))


@pytest.mark.parametrize(("shape", "smaller"), [((600, 300), (100, 50)), ((50, 80), (50, 80)), ((5000, 1), (100, 1))])
def test_shrink_bounds_the_longer_side_and_never_enlarges(shape: tuple[int, int], smaller: tuple[int, int]) -> None:
    assert images.shrink(np.zeros((*shape, 3), np.uint8), 100).shape == (*smaller, 3)


def test_reducing_averages_fine_patterns_instead_of_picking_pixels() -> None:
    stripes = np.zeros((512, 512, 3), np.uint8)
    stripes[:, ::2] = 200
    reduced = images.resized(stripes, 100, 100)
    assert np.abs(reduced.astype(int) - 100).max() < 10
