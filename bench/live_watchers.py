"""The watchers of `bench.live`, a process of its own: so many that read, and a few that never do.

They read as cheaply as Python can, so that what is measured is the server. Commands come as lines on standard input
(`mark`, `reconnect`, `end POSITION`); what was seen is told on standard output as JSON, once.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import random
import socket
import struct
import sys
import time
from collections import Counter
from collections.abc import Iterable
from typing import Any, cast

import msgspec
import numpy as np
import uvloop

from faces.wire import WATCH_PROTOCOL, FrameHeader, decode_text

KEPT = 600
"""The bytes of a binary message that are looked at: its header is in them."""

CHUNK = memoryview(bytearray(1 << 18))
"""Where whatever comes is read to: one thread reads all sockets, one after the other."""

TEXT, BINARY, PING, PONG = 1, 2, 9, 10
ESTABLISHED = 1
LOOK_EVERY_S = 1.0
PATIENCE_S = 30.0


class Position(msgspec.Struct):
    """Of an event's message no more than is counted."""

    position: int


class Seen:
    """What all watchers of this process have seen since `clear`."""

    def __init__(self) -> None:
        self.latencies_ms: list[float] = []
        self.reconnects = self.stalls = 0

    def clear(self) -> None:
        self.latencies_ms = []


class Watcher(asyncio.BufferedProtocol):
    """One that watches a camera and follows events by cursor, from one connection to the next."""

    def __init__(self, seen: Seen, lens: tuple[str, str]) -> None:
        self.cursor = 0
        self.events: Counter[int] = Counter()
        self.connected = False
        self._seen = seen
        self._lens = lens
        self._transport: asyncio.Transport | None = None
        self._again = asyncio.Event()
        self._reset()

    def _reset(self) -> None:
        self._pending = bytearray()
        self._left = 0
        self._opcode = 0
        self._open = False

    async def run(self, ports: list[int]) -> None:
        """Stay connected, each time to another of the ports."""
        loop = asyncio.get_running_loop()
        for number in range(1_000_000):
            self._again.clear()
            self._reset()
            with contextlib.suppress(OSError):
                await loop.create_connection(lambda: self, "127.0.0.1", ports[number % len(ports)])
                await self._again.wait()
            await asyncio.sleep(random.uniform(0.05, 0.2))

    def cut(self) -> None:
        """As a line that is cut: at once, in the middle of whatever it is."""
        self._seen.reconnects += 1
        if self._transport:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.write(handshake())

    def connection_lost(self, _error: Exception | None) -> None:
        self.connected = False
        self._again.set()

    def get_buffer(self, _hint: int) -> memoryview:
        return CHUNK

    def buffer_updated(self, count: int) -> None:
        at = 0
        while at < count:
            at = self._body(at, count) if self._left else self._head(at, count)

    def _head(self, at: int, count: int) -> int:
        """Read on until a message's length is known, or the answer to the handshake is over."""
        self._pending += CHUNK[at : at + 1]
        head = self._pending
        if not self._open:
            if head.endswith(b"\r\n\r\n"):
                assert head.startswith(b"HTTP/1.1 101"), bytes(head[:200])
                self._opened()
            return at + 1
        more = {126: 2, 127: 8}.get(head[1] & 0x7F, 0) if len(head) > 1 else 8
        if len(head) == 2 + more:
            self._left = int.from_bytes(head[2:]) if more else head[1] & 0x7F
            self._opcode = head[0] & 0x0F
            self._pending = bytearray()
        return at + 1

    def _opened(self) -> None:
        assert self._transport
        self._open = self.connected = True
        self._pending = bytearray()
        self._transport.write(asking(self._lens, self.cursor))

    def _body(self, at: int, count: int) -> int:
        taken = min(self._left, count - at)
        if self._opcode != BINARY or len(self._pending) < KEPT:
            self._pending += CHUNK[at : at + (taken if self._opcode != BINARY else min(taken, KEPT))]
        self._left -= taken
        if not self._left:
            self._message(bytes(self._pending))
            self._pending = bytearray()
        return at + taken

    def _message(self, message: bytes) -> None:
        if self._opcode == BINARY:
            size = struct.unpack_from(">I", message)[0]
            sent = decode_text(message[4 : 4 + size], FrameHeader).captured_at
            self._seen.latencies_ms.append((time.time() - sent.timestamp()) * 1000)
        elif self._opcode == PING and self._transport:
            self._transport.write(masked(PONG, message))
        elif message.startswith(b'{"type":"event"'):
            self.cursor = msgspec.json.decode(message, type=Position).position
            self.events[self.cursor] += 1


class Stalled:
    """One that shakes hands, asks for everything, and never reads; when it has been cut off it comes back."""

    def __init__(self, seen: Seen, lens: tuple[str, str]) -> None:
        self._seen = seen
        self._lens = lens

    async def run(self, ports: list[int]) -> None:
        for number in range(1_000_000):
            with socket.socket() as raw, contextlib.suppress(OSError):
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
                raw.connect(("127.0.0.1", ports[number % len(ports)]))
                raw.sendall(handshake())
                # What comes with the handshake is not read.
                await asyncio.sleep(LOOK_EVERY_S)
                raw.sendall(asking(self._lens, 0))
                while raw.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] == ESTABLISHED:
                    await asyncio.sleep(LOOK_EVERY_S)
                self._seen.stalls += 1
            await asyncio.sleep(LOOK_EVERY_S)


def handshake() -> bytes:
    return (
        "GET /ws/face-stream HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
        f"Sec-WebSocket-Protocol: {WATCH_PROTOCOL}\r\n\r\n"
    ).encode()


def asking(lens: tuple[str, str], cursor: int) -> bytes:
    """What a watcher says first: which camera, and events from where on."""
    watch = {"type": "watch", "edge": lens[0], "camera": lens[1]}
    events = {"type": "events", "after": cursor}
    return b"".join(masked(TEXT, json.dumps(message).encode()) for message in (watch, events))


def masked(opcode: int, message: bytes) -> bytes:
    """A short frame, masked with zeros."""
    return bytes([0x80 | opcode, 0x80 | len(message), 0, 0, 0, 0]) + message


async def watch(ports: list[int], lens: tuple[str, str], healthy: int, stalled: int) -> None:
    seen = Seen()
    watchers = [Watcher(seen, lens) for _ in range(healthy)]
    parties: Iterable[Watcher | Stalled] = [*watchers, *(Stalled(seen, lens) for _ in range(stalled))]
    tasks = []
    for number, party in enumerate(parties):
        tasks.append(asyncio.create_task(party.run(ports[number % len(ports) :] + ports[: number % len(ports)])))
        await asyncio.sleep(0.002)
    async with asyncio.timeout(PATIENCE_S):
        while not all(w.connected for w in watchers):
            await asyncio.sleep(0.05)
    print("watching", flush=True)
    lines = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    while line := (await lines.readline()).decode().split():
        if line[0] == "mark":
            seen.clear()
        elif line[0] == "reconnect":
            random.choice([w for w in watchers if w.connected]).cut()
        else:
            await _until(watchers, int(line[1]))
            print(json.dumps(_figures(seen, watchers, int(line[1]))), flush=True)
    for task in tasks:
        task.cancel()


async def _until(watchers: list[Watcher], position: int, within_s: float = PATIENCE_S) -> None:
    """Wait until all stand at the log's end, but not for ever: what is missing then is told."""
    deadline = time.monotonic() + within_s
    while any(w.cursor < position for w in watchers) and time.monotonic() < deadline:
        await asyncio.sleep(0.05)


def _figures(seen: Seen, watchers: list[Watcher], position: int) -> dict[str, Any]:
    p50, p99 = np.percentile(seen.latencies_ms or [float("nan")], (50, 99))
    return {
        "frames_received": len(seen.latencies_ms),
        "healthy_p50_ms": round(float(p50), 1),
        "healthy_p99_ms": round(float(p99), 1),
        "reconnects": seen.reconnects,
        "stalled_cut_off": seen.stalls,
        "events_missed": sum(position - sum(1 for at in w.events if at <= position) for w in watchers),
        "events_doubled": sum(times - 1 for w in watchers for times in w.events.values()),
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("ports", help="of the control planes, by comma")
    parser.add_argument("edge")
    parser.add_argument("camera")
    parser.add_argument("--healthy", type=int, required=True)
    parser.add_argument("--stalled", type=int, required=True)
    given = parser.parse_args()
    uvloop.run(
        watch([int(p) for p in given.ports.split(",")], (given.edge, given.camera), given.healthy, given.stalled)
    )
