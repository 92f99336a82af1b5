"""The edges' side of `bench.sync`, a process of its own: many light edges, or one real replica.

Light edges speak the real protocol over real sockets, decode and check every page; they keep rows' hashes in memory.
They follow `edge.uplink` and `edge.link`: a hint asks for that gallery's changes, and each SYNC_EVERY_S all is asked.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import TypeVar
from uuid import UUID, uuid5

import requests.utils
from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException
from websockets.typing import Subprotocol

from bench.machine import peak_mb, rss_mb
from edge.plane import ControlPlane, headers
from edge.repeat import Backoff
from edge.replica import Replica
from edge.uplink import SYNC_EVERY_S, Syncer
from faces import wire
from faces.encoding import SFACE
from faces.errors import Compacted, Diverged, RollcallError
from faces.gallery import Key, checksum, key, row_hash
from faces.replica import advance
from faces.wire import START, Followed, Hello, Hint, LinkDown, LinkStatus, Page, Position, Report, Welcome

STATUS_EVERY_S = 5.0
TIMEOUT_S = 10.0
EDGES = UUID("01a20385-69a6-79a7-a658-6892c91e52d2")

T = TypeVar("T")


class Http:
    """One kept connection. Counts the bytes of all requests and answers."""

    def __init__(self, port: int, edge: UUID) -> None:
        self.bytes = 0
        self._port = port
        given = {**requests.utils.default_headers(), **headers(edge), "Content-Type": wire.MSGPACK}
        self._headers = "".join(f"{name}: {value}\r\n" for name, value in given.items())
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, method: str, path: str, body: bytes = b"") -> bytes:
        async with asyncio.timeout(TIMEOUT_S):
            try:
                status, data = await self._exchange(method, path, body)
            except BaseException:
                self.close()
                raise
        if status == 410:
            raise Compacted("compacted")
        if status >= 300:
            raise ConnectionError(f"{method} {path}: {status}")
        return data

    def close(self) -> None:
        if self._streams:
            self._streams[1].close()
        self._streams = None

    async def _exchange(self, method: str, path: str, body: bytes) -> tuple[int, bytes]:
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self._port)
        reader, writer = self._streams
        typed = f"Content-Length: {len(body)}\r\n" if body else ""
        request = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{self._port}\r\n{self._headers}{typed}\r\n"
        writer.write(request.encode() + body)
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        answer = await self._body(reader, head)
        self.bytes += len(request) + len(body) + len(head) + len(answer)
        return int(head.split(b" ", 2)[1]), answer

    async def _body(self, reader: asyncio.StreamReader, head: bytes) -> bytes:
        if b"transfer-encoding: chunked" not in head:
            found = head.partition(b"content-length: ")[2].partition(b"\r")[0]
            return await reader.readexactly(int(found or 0))
        whole = bytearray()
        while size := int(await reader.readline(), 16):
            whole += await reader.readexactly(size)
            await reader.readline()
        await reader.readline()
        return bytes(whole)


class LightEdge:
    """One edge. What it does is told in lines: `linked <number> <time>`, `applied <number> <revision> <time>`."""

    def __init__(self, port: int, number: int) -> None:
        self.number = number
        self.id = uuid5(EDGES, str(number))
        self.http = Http(port, self.id)
        self.hint_bytes = 0
        self._url = f"ws://127.0.0.1:{port}/v1/edge/link"
        self._positions: dict[str, Position] = {}
        self._hashes: dict[str, dict[Key, int]] = defaultdict(dict)
        self._hints: dict[str, int] = {}
        self._wake = asyncio.Event()
        self._whole = True

    async def sync(self) -> None:
        backoff, welcome, due = Backoff(0.5, 5.0), False, 0.0
        while True:
            self._wake.clear()
            hints, self._hints = self._hints, {}
            whole, self._whole = self._whole or not hints or time.monotonic() >= due, False
            try:
                if not welcome:
                    await self._hello()
                    welcome = True
                if whole:
                    await self._round()
                    due = time.monotonic() + SYNC_EVERY_S
                else:
                    for gallery, revision in hints.items():
                        await self._hinted(gallery, revision)
                backoff.reset()
                wait = max(0.0, due - time.monotonic())
            except (OSError, EOFError, RollcallError):
                welcome, self._whole = False, True
                wait = backoff.wait_s()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), wait)

    async def link(self) -> None:
        backoff = Backoff(0.25, 4.0)
        while True:
            with contextlib.suppress(OSError, WebSocketException, TimeoutError):
                async with connect(
                    self._url,
                    subprotocols=[Subprotocol(wire.LINK_PROTOCOL)],
                    additional_headers=headers(self.id),
                    compression=None,
                    open_timeout=5,
                    close_timeout=1,
                ) as link:
                    backoff.reset()
                    told("linked", self.number)
                    self._whole = True
                    self._wake.set()
                    status = asyncio.create_task(self._status(link.send))
                    try:
                        async for message in link:
                            self._received(message)
                    finally:
                        status.cancel()
            await asyncio.sleep(backoff.wait_s())

    def _received(self, message: str | bytes) -> None:
        value: LinkDown = wire.decode_text(message, LinkDown)  # type: ignore[arg-type]
        if isinstance(value, Hint):
            self.hint_bytes += len(message)
            self._hints[value.gallery] = value.revision
            self._wake.set()

    async def _status(self, send: object) -> None:
        while True:
            await send(wire.encode_text(LinkStatus(cameras=[], spooled=0)))  # type: ignore[operator]
            await asyncio.sleep(STATUS_EVERY_S)

    async def _hello(self) -> None:
        hello = Hello(name=f"edge {self.number}", version="bench", engine=SFACE, cameras=["door"])
        wire.decode(await self.http.ask("PUT", f"/v1/edges/{self.id}", wire.encode(hello)), Welcome)

    async def _round(self) -> None:
        for gallery in wire.decode(await self.http.ask("GET", "/v1/edge/galleries"), list[Followed]):
            here = self._positions.get(gallery.id, START)
            try:
                if here == START or here.revision > gallery.position.revision:
                    await self._start_over(gallery.id)
                elif here != gallery.position:
                    await self._catch_up(gallery.id)
            except (Diverged, Compacted):
                await self._start_over(gallery.id)
            await self._report(gallery.id)

    async def _hinted(self, gallery: str, revision: int) -> None:
        here = self._positions.get(gallery, START)
        if here.revision == revision:
            return
        if here == START or revision < here.revision:
            self._whole = True
            self._wake.set()
            return
        await self._catch_up(gallery)
        await self._report(gallery)

    async def _catch_up(self, gallery: str) -> None:
        more = True
        while more:
            here, hashes = self._positions[gallery], self._hashes[gallery]
            answer = await self.http.ask("GET", f"/v1/galleries/{gallery}/changes?after={here.revision}")
            page = wire.decode(answer, Page)
            put = advance(here, page, hashes)
            for removed in page.removed:
                hashes.pop(Key(*removed), None)
            hashes |= put
            self._positions[gallery] = page.position
            more = page.more
        told("applied", self.number, self._positions[gallery].revision)

    async def _start_over(self, gallery: str) -> None:
        head, rows = wire.read_snapshot([await self.http.ask("GET", f"/v1/galleries/{gallery}/snapshot")])
        hashes = {key(row): row_hash(row) for row in rows}
        if checksum(hashes.values()) != head.position.checksum:
            raise Diverged("the snapshot does not come out")
        self._hashes[gallery], self._positions[gallery] = hashes, head.position
        told("applied", self.number, head.position.revision)

    async def _report(self, gallery: str) -> None:
        report = Report(position=self._positions[gallery])
        await self.http.ask("PUT", f"/v1/edge/galleries/{gallery}", wire.encode(report))


def told(*words: object) -> None:
    print(*words, time.monotonic())


async def run_light(port: int, count: int) -> None:
    """Run light edges until standard input ends; each line of it asks for the bytes so far."""
    edges = [LightEdge(port, number) for number in range(count)]
    tasks = [asyncio.create_task(work) for edge in edges for work in (edge.sync(), edge.link())]
    lines = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    while await lines.readline():
        told("bytes", sum(edge.http.bytes + edge.hint_bytes for edge in edges))
    for task in tasks:
        task.cancel()


def run_snapshot(port: int) -> None:
    """Bring one real replica, on disk, from nothing to its galleries."""
    with tempfile.TemporaryDirectory() as folder:
        replica = Replica(Path(folder) / "galleries.db", SFACE)
        plane = ControlPlane(f"http://127.0.0.1:{port}", EDGES)
        hello = Hello(name="one", version="bench", engine=SFACE, cameras=["door"])
        syncer = Syncer(plane, replica, hello, lambda: None)
        before, began = rss_mb(), time.monotonic()
        syncer.step()
        took = time.monotonic() - began
        print("snapshot", len(replica.held[0].gallery.encodings), took, peak_mb() - before)
        replica.close()
        plane.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("port", type=int)
    parser.add_argument("--light", type=int, help="so many light edges; else one real replica")
    arguments = parser.parse_args()
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    if arguments.light:
        asyncio.run(run_light(arguments.port, arguments.light))
    else:
        run_snapshot(arguments.port)


if __name__ == "__main__":
    main()
