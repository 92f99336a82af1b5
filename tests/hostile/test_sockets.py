"""Hostile WebSocket clients, against the running product: whatever they do costs them their connection and nobody
else anything."""

from __future__ import annotations

import json
import select
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest
from websockets.sync.client import connect
from websockets.typing import Subprotocol

from faces.wire import WATCH_PROTOCOL
from tests.hostile.conftest import Product

TEXT, CONTINUED, PING, CLOSE = 0x1, 0x0, 0x9, 0x8
FLOOD_S = 3.0
ONE_MILLION = 100
"""Pieces of ten thousand frames."""


def frame(opcode: int, payload: bytes = b"", *, last: bool = True, length: int | None = None) -> bytes:
    """A client's frame, masked with zeros; `length` is what it says of its payload."""
    size = len(payload) if length is None else length
    head = bytes([opcode | 0x80 * last])
    if size < 126:
        return head + bytes([0x80 | size]) + bytes(4) + payload
    return head + b"\xff" + struct.pack("!Q", size) + bytes(4) + payload


@contextmanager
def opened(product: Product) -> Iterator[socket.socket]:
    """A client that has shaken hands."""
    with socket.socket() as raw:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        raw.connect(("127.0.0.1", product.place.port))
        raw.settimeout(10)
        raw.sendall(
            f"GET /ws/face-stream HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
            f"Sec-WebSocket-Protocol: {WATCH_PROTOCOL}\r\n\r\n".encode()
        )
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += raw.recv(1)
        assert b" 101 " in head
        yield raw


def flood(raw: socket.socket, piece: bytes, times: int) -> None:
    """Send as much as is taken, without reading."""
    raw.setblocking(False)
    deadline = time.monotonic() + FLOOD_S
    with suppress(ConnectionError):
        while times and (left_s := deadline - time.monotonic()) > 0:
            if select.select([], [raw], [], left_s)[1]:
                raw.send(piece)
                times -= 1


def ended(raw: socket.socket) -> int:
    """The close code, or 1006 if the connection is cut."""
    raw.settimeout(10)
    found = bytearray()
    with suppress(ConnectionError):
        while piece := raw.recv(65536):
            found += piece
            if (at := found.find(bytes([0x80 | CLOSE]))) >= 0 and len(found) >= at + 4:
                return int.from_bytes(found[at + 2 : at + 4], "big")
    return 1006


def watch_beside(product: Product) -> None:
    """Somebody else is served meanwhile."""
    url = f"{product.place.url}/ws/face-stream".replace("http", "ws")
    with connect(url, subprotocols=[Subprotocol(WATCH_PROTOCOL)], compression=None) as client:
        assert json.loads(client.recv(timeout=5))["type"] == "cameras"


def test_hostile_32_a_frame_of_100_mb(product: Product) -> None:
    with product.bounds(), opened(product) as raw:
        with suppress(ConnectionError):
            raw.sendall(frame(TEXT, b"x" * 1024, length=100 << 20))
        assert ended(raw) in (1009, 1006)
        watch_beside(product)


@pytest.mark.parametrize("piece", [b"", b"x"])
def test_hostile_32_a_million_fragments(product: Product, piece: bytes) -> None:
    with product.bounds(), opened(product) as raw:
        raw.sendall(frame(TEXT, b"{", last=False))
        flood(raw, frame(CONTINUED, piece, last=False) * 10_000, ONE_MILLION)
        watch_beside(product)
        assert ended(raw) in (1008, 1006)


def test_hostile_32_a_ping_flood_by_one_that_never_reads(product: Product) -> None:
    with product.bounds(), opened(product) as raw:
        flood(raw, frame(PING, b"x" * 125) * 10_000, ONE_MILLION)
        watch_beside(product)
        assert ended(raw) in (1008, 1006)


def test_hostile_32_fragments_without_end(product: Product) -> None:
    """However slowly they come: a message of nothing but beginnings is no message."""
    with product.bounds(), opened(product) as raw:
        raw.sendall(frame(TEXT, b"{", last=False))
        with suppress(ConnectionError):
            for _ in range(3):
                raw.sendall(frame(CONTINUED, last=False) * 500)
                time.sleep(0.4)
        assert ended(raw) in (1008, 1006)


def test_hostile_32_one_byte_a_second(product: Product) -> None:
    with product.bounds(), opened(product) as raw:
        for byte in frame(TEXT, b'{"type":"watch"')[:4]:
            raw.sendall(bytes([byte]))
            watch_beside(product)
            time.sleep(0.2)
