"""Whatever bytes come in: what reads them gives a value, or an error of the one error tree."""

from __future__ import annotations

import io
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from control_plane.api.ingest import received
from edge.config_file import ConfigFile
from faces import wire
from faces.errors import RollcallError
from faces.settings import read_dotenv
from jobs import directory, manifest
from tests.hostile.zips import Raw, build

GOOD_ZIP = build([Raw(b"katya.jpg", b"one"), Raw(b"ann/1.jpg", b"two")])
GOOD_FRAME = b"\0\0\0\2{}jpeg"
GOOD_BATCH = msgspec.msgpack.encode({"events": [{"id": "x", "camera": "door"}], "clock_offset_s": 1.5})
GOOD_TOML = b'scale = 0.5\n[[camera]]\nname = "door"\nsource = "rtsp://host/"\n'
GOOD_CSV = b"file,name,valid_until\nkatya.jpg,Katya,2026-01-01\n"


def frame(data: bytes) -> None:
    wire.unpack_frame(data)


def texts(data: bytes) -> None:
    for kind in (wire.LinkDown, wire.LinkStatus, wire.Hello):
        with suppress(RollcallError):
            wire.decode_text(data, kind)  # type: ignore[arg-type]


def values(data: bytes) -> None:
    for kind in (wire.Page, wire.Welcome, wire.Verdicts, wire.Report, list[str]):
        with suppress(RollcallError):
            wire.decode(data, kind)


def snapshot(data: bytes) -> None:
    _, rows = wire.read_snapshot([data[:7], data[7:]])
    list(rows)


def batch(data: bytes) -> None:
    for kind in (wire.MSGPACK, "application/json"):
        for coding in ("", "gzip"):
            with suppress(RollcallError):
                received(data, kind, coding)


def archive(data: bytes) -> None:
    file, limits = io.BytesIO(data), directory.Limits()
    for entry in directory.entries(file, limits):
        if not entry.fault:
            with suppress(RollcallError):
                directory.read(file, entry.place, limits.max_entry_bytes)


def lines(data: bytes) -> None:
    manifest.read(data, {"default": "default"}, 100)


PURE: list[tuple[Callable[[bytes], None], bytes]] = [
    (frame, GOOD_FRAME),
    (texts, b'{"type":"watch","camera":"door","lease_s":10}'),
    (values, GOOD_BATCH),
    (snapshot, b"\0\0\0\1\x80"),
    (batch, GOOD_BATCH),
    (archive, GOOD_ZIP),
    (lines, GOOD_CSV),
]


def mangled(data: st.DataObject, good: bytes) -> bytes:
    """Any bytes, or good ones in which some are others, or missing."""
    if data.draw(st.booleans()):
        return data.draw(st.binary(max_size=300))
    found = bytearray(good)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, max(0, len(found) - 1)))
        found[at : at + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=4))
    return bytes(found)


@pytest.mark.parametrize(("read", "good"), PURE, ids=[read.__name__ for read, _ in PURE])
@settings(max_examples=100, database=None, derandomize=True)
@given(data=st.data())
def test_no_bytes_raise_anything_else(read: Any, good: bytes, data: st.DataObject) -> None:
    with suppress(RollcallError):
        read(mangled(data, good))


@settings(
    max_examples=100,
    database=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_no_file_of_settings_raises_anything_else(tmp_path: Path, data: st.DataObject) -> None:
    path = tmp_path / "settings"
    path.write_bytes(mangled(data, GOOD_TOML))
    with suppress(RollcallError):
        ConfigFile.read(path, must=True)
    path.write_bytes(mangled(data, b"PORT=5000\nNAME='a b'\n"))
    with suppress(RollcallError):
        read_dotenv(path)
