"""Hostile archives: each costs at most itself."""

from __future__ import annotations

import io
import os
import socket
import struct
import zipfile
import zlib
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.hostile.zips import DEFLATED, LINK, Raw, build, deflated, end64, quoted_overlap_bomb


def fails(product: Any, archive: bytes) -> str:
    """The code with which a whole archive is refused; nothing of it stays."""
    with product.bounds():
        failed = product.take(archive)
        assert failed["state"] == "failed", failed
    product.nothing_stays()
    return str(failed["error"]["code"])


def test_hostile_01_a_quoted_overlap_bomb(product: Any) -> None:
    bomb = quoted_overlap_bomb(250, 10**6)
    with zipfile.ZipFile(io.BytesIO(bomb)) as opened:
        inflated = sum(i.file_size for i in opened.infolist())
    assert (len(bomb) < 50_000, inflated > 250 * 10**6) == (True, True)
    assert fails(product, bomb) == "unreadable_archive"


def test_hostile_02_a_zip64_bomb(product: Any, portrait: dict[str, bytes]) -> None:
    packed = deflated(bytes(10**6)) * 40
    sizes = struct.pack("<HH2Q", 1, 16, 1 << 42, len(packed))
    fields = {"packed": 0xFFFFFFFF, "size": 0xFFFFFFFF, "extra": sizes}
    bomb = Raw(b"bomb.jpg", method=DEFLATED, packed=packed, crc=1, local=fields, central=fields)
    with product.bounds():
        done = product.take(build([bomb, Raw(b"joe.jpg", portrait["biden"])], wide=True))
        assert product.outcomes(done["id"]) == {"bomb.jpg": "too_large", "joe.jpg": "accepted"}
        product.clean()


def test_hostile_03_zips_in_zips(product: Any) -> None:
    inner = build([Raw(b"a.jpg", bytes(10**6), method=DEFLATED)])
    for _ in range(5):
        inner = build([Raw(b"%d.zip" % n, inner, method=DEFLATED) for n in range(10)])
    with product.bounds():
        done = product.take(build([Raw(b"x.zip", inner), Raw(b"photo.jpg", inner)]))
        assert product.outcomes(done["id"]) == {"photo.jpg": "not_an_image"}
        assert done["skipped"] == {"other": 1}


def test_hostile_04_a_declared_size_of_1_kb_that_inflates_to_gigabytes(product: Any) -> None:
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    block = packer.compress(bytes(1 << 24)) + packer.flush(zlib.Z_FULL_FLUSH)
    packed = block * 128 + packer.flush()
    liar = Raw(b"liar.jpg", method=DEFLATED, packed=packed, size=1000, crc=0)
    with product.bounds():
        assert product.take_all([liar]) == {"liar.jpg": "unreadable_entry"}


@pytest.mark.parametrize("field", [{"name": b"other.jpg"}, {"size": 7}, {"packed": 7}, {"method": 8}, {"crc": 7}])
def test_hostile_05_two_headers_that_disagree(product: Any, portrait: dict[str, bytes], field: dict[str, Any]) -> None:
    with product.bounds():
        entries = [Raw(b"odd.jpg", portrait["obama"], local=field), Raw(b"joe.jpg", portrait["biden"])]
        assert product.take_all(entries) == {"odd.jpg": "unreadable_entry", "joe.jpg": "accepted"}
        product.clean()


@pytest.mark.parametrize("locator", [0, 10, 1 << 40, (1 << 64) - 1])
def test_hostile_06_a_zip64_locator_that_points_elsewhere(
    product: Any, portrait: dict[str, bytes], locator: int
) -> None:
    archive = build([Raw(b"joe.jpg", portrait["biden"])], wide=True, locator=locator)
    assert fails(product, archive) == "unreadable_archive"


def test_hostile_06_a_second_end_that_says_otherwise(product: Any, portrait: dict[str, bytes]) -> None:
    hidden = build([Raw(b"joe.jpg", portrait["biden"])])
    assert fails(product, hidden + end64(0, 0, len(hidden), len(hidden))) == "unreadable_archive"


UNSAFE = (
    "../../x.jpg",
    "/etc/x.jpg",
    "C:\\x.jpg",
    "C:/x.jpg",
    "a\\b.jpg",
    "a\0.jpg",
    "./x.jpg",
    "a//x.jpg",
    "a/../x.jpg",
    "x" * 4092 + ".jpg",
    "a/b/c/d.jpg",
    " .jpg",
)


def test_hostile_07_names_that_lead_elsewhere(product: Any, portrait: dict[str, bytes], tmp_path: Path) -> None:
    parent = product.place.data.parent
    before = {p for p in parent.rglob("*") if "blobs" not in p.parts}
    entries = [Raw(name.encode(), portrait["obama"]) for name in UNSAFE]
    with product.bounds():
        done = product.take(build([*entries, Raw(b"joe.jpg", portrait["biden"])]))
        assert (done["state"], done["refused"], done["accepted"]) == ("done", len(UNSAFE), 1)
        reasons = product.outcomes(done["id"]).values()
        assert set(reasons) == {"bad_entry_name", "accepted"}
        assert max(len(entry) for entry in product.outcomes(done["id"])) <= 200
        assert {p for p in parent.rglob("*") if "blobs" not in p.parts} == before
        assert all(p.name.startswith(done["id"]) for p in product.files())
        product.clean()


def test_hostile_08_a_link_and_a_file_through_it(product: Any, portrait: dict[str, bytes]) -> None:
    entries = [
        Raw(b"link", b"/tmp", attributes=LINK),
        Raw(b"photo.jpg", b"/etc/passwd", attributes=LINK),
        Raw(b"link/owned.jpg", portrait["biden"]),
    ]
    with product.bounds():
        expected = {"link": "bad_entry_name", "photo.jpg": "bad_entry_name", "link/owned.jpg": "accepted"}
        assert product.take_all(entries) == expected
        assert not Path("/tmp/owned.jpg").exists()
        product.clean()


def test_hostile_09_one_bad_crc_and_one_encrypted_entry_among_many(product: Any, portrait: dict[str, bytes]) -> None:
    others = [Raw(b"%03d.jpg" % n, b"no photo %d" % n) for n in range(997)]
    entries = [
        Raw(b"first.jpg", portrait["biden"]),
        *others[:500],
        Raw(b"crc.jpg", portrait["obama"], crc=1),
        Raw(b"secret.jpg", portrait["obama"], flags=0x801),
        *others[500:],
        Raw(b"last.jpg", portrait["obama"]),
    ]
    with product.bounds():
        done = product.take(build(entries))
        assert (done["total"], done["accepted"], done["refused"]) == (1001, 2, 999)
        product.clean()
    url = f"{product.place.url}/v1/imports/{done['id']}/items"
    for reason, entries in (("unreadable_entry", {"crc.jpg", "secret.jpg"}), ("internal", set())):
        items = requests.get(url, params={"reason": reason}, timeout=10).json()["items"]
        assert {i["entry"] for i in items} == entries


def test_hostile_10_two_entries_of_one_name(product: Any, portrait: dict[str, bytes]) -> None:
    joe, lin = portrait["biden"], portrait["lin-manuel-miranda"]
    entries = [
        Raw(b"joe.jpg", joe),
        Raw(b"joe.jpg", portrait["obama"]),
        Raw(b"JOE.JPG", portrait["obama"]),
        Raw("Zo\u00eb.jpg".encode(), lin),
        Raw("Zoe\u0308.jpg".encode(), portrait["obama"]),
    ]
    with product.bounds():
        done = product.take(build(entries))
        assert (done["accepted"], done["refused"]) == (2, 3)
        url = f"{product.place.url}/v1/imports/{done['id']}/items"
        items = requests.get(url, timeout=10).json()["items"]
        assert [i["reason"] for i in items] == [None, "duplicate_entry", "duplicate_entry", None, "duplicate_entry"]
        assert [i["detail"]["first"] for i in items if i["reason"]] == ["joe.jpg", "joe.jpg", "Zo\u00eb.jpg"]
        assert set(requests.get(f"{product.place.url}/faces", timeout=10).json()) == {"joe", "Zo\u00eb"}
        product.clean()


def test_hostile_11_a_million_empty_entries(product: Any) -> None:
    directory = build([Raw(b"0.jpg")])[len(b"PK\x03\x04") + 31 : -22] * 10**6
    body = build([Raw(b"0.jpg")])[:35]
    archive = body + directory + end64(10**6, len(directory), len(body), len(body) + len(directory))
    assert fails(product, archive) == "too_large"


def sent(product: Any, head: bytes, body: bytes) -> bytes:
    """What is answered to a request of which only so much arrives."""
    address = "127.0.0.1", product.place.port
    request = b"POST /v1/imports HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/zip\r\nPrefer: wait=4\r\n"
    with socket.create_connection(address, timeout=10) as connection:
        connection.sendall(request + head + b"\r\n\r\n" + body)
        answer = b""
        # Whoever is refused before the end of the body may find the connection reset, or closed.
        with suppress(OSError):
            connection.shutdown(socket.SHUT_WR)
        with suppress(ConnectionResetError):
            while part := connection.recv(1 << 16):
                answer += part
        return answer


def imports(product: Any) -> int:
    return len(requests.get(f"{product.place.url}/v1/imports", params={"limit": 500}, timeout=10).json()["items"])


def test_hostile_12_uploads_that_are_cut(product: Any, portrait: dict[str, bytes]) -> None:
    archive = build([Raw(b"joe.jpg", portrait["biden"])])
    before = imports(product)
    with product.bounds():
        for short in (archive[: len(archive) * 99 // 100], archive[:100], b""):
            assert b"202 Accepted" not in sent(product, b"Content-Length: %d" % len(archive), short)
            assert b"202 Accepted" not in sent(product, b"Transfer-Encoding: chunked", b"%x\r\n" % len(archive) + short)
        assert b"202 Accepted" not in sent(product, b"Content-Length: banana", archive)
    assert imports(product) == before
    product.nothing_stays()


@pytest.mark.parametrize("share", [0.99, 0.5, 0.01])
def test_hostile_12_an_archive_that_was_cut_before_it_was_sent(
    product: Any, portrait: dict[str, bytes], share: float
) -> None:
    archive = build([Raw(b"joe.jpg", portrait["biden"]), Raw(b"random.jpg", os.urandom(10**5))])
    assert fails(product, archive[: int(len(archive) * share)]) == "unreadable_archive"
