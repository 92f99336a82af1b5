"""Hostile photos, alone and in an archive: each costs one refusal, and its neighbours nothing."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from typing import Any

import pytest
import requests
from PIL import Image, ImageDraw, ImageFilter

from tests.hostile.zips import Raw, build


def saved(image: Image.Image, kind: str = "JPEG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data))


def flat_png(side: int) -> bytes:
    """A grey picture of side x side pixels in a small file."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    packer, rows = zlib.compressobj(9), bytes((side + 1) * 100)
    pixels = b"".join(packer.compress(rows) for _ in range(side // 100)) + packer.flush()
    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def refused(product: Any, photo: bytes) -> str:
    """The reason for which a photo is refused, the same alone and in an archive."""
    with product.bounds():
        answer = product.register(photo, "Mallory")
        assert (answer.status_code, answer.json()["success"]) == (422, False), answer.text
        reason = str(answer.json()["reason"])
        assert product.take_all({"mallory.jpg": photo}) == {"mallory.jpg": reason}
    product.nothing_stays()
    return reason


def test_hostile_13_a_png_of_25000_by_25000_pixels(product: Any) -> None:
    bomb = flat_png(25_000)
    assert len(bomb) < 700_000
    assert refused(product, bomb) == "too_large"


def test_hostile_14_a_jpeg_header_of_65535_by_65535(product: Any) -> None:
    body = saved(Image.new("RGB", (64, 64)))
    at = body.index(b"\xff\xc0") + 5
    assert refused(product, body[:at] + b"\xff\xff\xff\xff" + body[at + 4 :]) == "too_large"


def test_hostile_15_every_exif_orientation_is_one_person(product: Any, portrait: dict[str, bytes]) -> None:
    image = opened(portrait["biden"]).convert("RGB").resize((400, 500))
    undo = {
        1: None,
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
        9: None,
    }
    files = {}
    for orientation, turn in undo.items():
        exif = Image.Exif()
        exif[0x0112] = orientation
        files[f"joe/{orientation}.jpg"] = saved(image if turn is None else image.transpose(turn), exif=exif)
    with product.bounds():
        assert product.take_all(files) == dict.fromkeys(files, "accepted")
        assert requests.get(f"{product.place.url}/faces", timeout=10).json() == ["joe"]
        product.clean()


def frames(count: int) -> list[Image.Image]:
    return [Image.new("P", (16, 16), n % 255) for n in range(count)]


ANIMATIONS: dict[str, Callable[[], bytes]] = {
    "gif": lambda: saved(frames(1)[0], "GIF", save_all=True, append_images=frames(5000)[1:]),
    "webp": lambda: saved(
        Image.new("RGB", (64, 64)), "WEBP", save_all=True, append_images=[Image.new("RGB", (64, 64), "red")]
    ),
    "tiff": lambda: saved(Image.new("RGB", (64, 64)), "TIFF", save_all=True, append_images=[Image.new("L", (64, 64))]),
}


@pytest.mark.parametrize("kind", ANIMATIONS)
def test_hostile_16_animations_and_many_pages(product: Any, kind: str) -> None:
    assert refused(product, ANIMATIONS[kind]()) == "not_an_image"


OTHERS = {
    "avif": b"\0\0\0\x1cftypavif\0\0\0\0avifmif1miaf" + bytes(100),
    "heic": b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(100),
    "jp2": b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(100),
    "hdr": b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y 8 +X 8\n" + bytes(256),
    "svg": b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>',
    "pdf": b"%PDF-1.7\n1 0 obj<</Type/Catalog>>endobj\n",
    "empty": b"",
}


def test_hostile_17_other_formats_named_jpg(product: Any) -> None:
    for kind in ("avif", "svg"):
        assert refused(product, OTHERS[kind]) == "not_an_image"
    files = {f"{kind}.jpg": data for kind, data in OTHERS.items()}
    with product.bounds():
        assert product.take_all(files) == dict.fromkeys(files, "not_an_image")


def test_hostile_18_polyglots(product: Any, portrait: dict[str, bytes]) -> None:
    joe = portrait["biden"]
    archive = build([Raw(b"hidden.jpg", portrait["obama"])])
    with product.bounds():
        failed = product.take(joe + archive)
        assert (failed["state"], failed["error"]["code"]) == ("failed", "unreadable_archive")
        page = joe + b"<html><script>alert(1)</script></html>"
        assert product.take_all({"zip/1.jpg": joe + archive, "zip/2.jpg": page}) == {
            "zip/1.jpg": "accepted",
            "zip/2.jpg": "accepted",
        }
        (person,) = requests.get(f"{product.place.url}/v1/identities", timeout=10).json()["items"]
        photos = f"{product.place.url}/v1/identities/{person['id']}/photos"
        for photo in requests.get(photos, timeout=10).json()["items"]:
            shown = requests.get(f"{photos}/{photo['id']}", timeout=10)
            assert shown.headers["Content-Type"] == "image/jpeg"
            assert shown.headers["X-Content-Type-Options"] == "nosniff"
        product.clean()


def test_hostile_19_every_kind_of_pixel_and_extreme_shapes(product: Any, portrait: dict[str, bytes]) -> None:
    image = opened(portrait["biden"]).convert("RGB").resize((300, 375))
    deep = Image.new("I;16", (64, 64), 30_000)
    files = {
        "joe/cmyk.jpg": saved(image.convert("CMYK")),
        "joe/grey.jpg": saved(image.convert("L")),
        "joe/palette.png": saved(image.quantize(256), "PNG", transparency=0),
        "joe/alpha.png": saved(image.convert("RGBA"), "PNG"),
        "deep.png": saved(deep, "PNG"),
        "dot.jpg": saved(Image.new("RGB", (1, 1))),
        "line.jpg": saved(Image.new("RGB", (1, 20_000))),
        "wide.jpg": saved(Image.new("RGB", (20_000, 1))),
    }
    expected = {name: "accepted" if name.startswith("joe/") else "no_face" for name in files}
    with product.bounds():
        assert product.take_all(files) == expected
        product.clean()


def test_hostile_20_truncated_and_bit_flipped(product: Any, portrait: dict[str, bytes]) -> None:
    joe = portrait["biden"]
    files = {f"cut-{share}.jpg": joe[: len(joe) * share // 100] for share in (1, 30, 60, 99)}
    for number in range(12):
        damaged = bytearray(joe)
        damaged[600 + number * (len(joe) - 700) // 12] ^= 0x55
        files[f"joe/{number}.jpg"] = bytes(damaged)
    with product.bounds():
        outcomes = product.take_all(files)
        assert {outcomes[name] for name in files if name.startswith("cut")} == {"not_an_image"}
        assert "internal" not in outcomes.values()
        product.clean()


def cartoon() -> bytes:
    image = Image.new("RGB", (300, 300), "yellow")
    draw = ImageDraw.Draw(image)
    draw.ellipse((80, 90, 120, 130), fill="black")
    draw.ellipse((180, 90, 220, 130), fill="black")
    draw.arc((80, 140, 220, 230), 20, 160, fill="red", width=6)
    return saved(image)


def test_hostile_21_no_face_two_faces_and_faces_of_no_use(product: Any, portrait: dict[str, bytes]) -> None:
    joe = opened(portrait["biden"]).convert("RGB")
    width, height = joe.size
    small = Image.new("RGB", (400, 400), "grey")
    small.paste(joe.resize((40, 40 * height // width)), (180, 180))
    files = {
        "nobody.jpg": saved(Image.effect_noise((400, 400), 60).convert("RGB")),
        "two.jpg": portrait["two_people"],
        "behind.jpg": saved(joe.crop((0, 0, width, height // 12))),
        "cartoon.jpg": cartoon(),
        "far.jpg": saved(small),
        "fog.jpg": saved(joe.resize((400, 500)).filter(ImageFilter.GaussianBlur(9))),
    }
    with product.bounds():
        outcomes = product.take_all(files)
        assert outcomes["two.jpg"] == "several_faces"
        assert {outcomes[name] for name in ("nobody.jpg", "behind.jpg", "cartoon.jpg")} == {"no_face"}
        assert outcomes["far.jpg"] in ("no_face", "face_too_small")
        assert outcomes["fog.jpg"] in ("no_face", "too_blurred")


def test_hostile_22_photos_that_mix_people_up(product: Any, portrait: dict[str, bytes]) -> None:
    files = {
        "Joe.jpg": portrait["biden"],
        "Not Joe.jpg": portrait["biden"],
        "Barack/1.jpg": portrait["obama"],
        "Barack/2.jpg": portrait["lin-manuel-miranda"],
        "Barry.jpg": portrait["obama2"],
    }
    expected = ["accepted", "look_alike", "accepted", "not_same_person", "look_alike"]
    with product.bounds():
        assert list(product.take_all(files).values()) == expected
        answer = product.register(portrait["obama2"], "Somebody")
        assert answer.json()["reason"] == "look_alike"
        assert set(requests.get(f"{product.place.url}/faces", timeout=10).json()) == {"Joe", "Barack"}
        product.clean()
