"""What a crowd on the live view costs: `python -m bench.live --json`.

A real control plane, one edge that sends 10 frames a second of 40 kB, 400 watchers of which a tenth never reads, and
events all the while; watchers are cut off 500 times and come back by cursor. With `--replicas 2 --bus redis://...` the
edge is linked to one control plane, and the watchers are spread over both, each time to another one.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import msgspec
import requests
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect
from websockets.typing import Subprotocol

from bench.machine import describe, rss_mb
from edge.link import link_url
from faces import wire
from faces.encoding import SFACE
from faces.events import Event, Status
from faces.wire import EventBatch, FrameHeader, Hello, pack_frame
from rollcall.up import free_port

WATCHERS = 400
STALLED = 40
RECONNECTS = 500
MINUTES = 5.0
FRAMES_PER_S = 10
FRAME_BYTES = 40_000
EVENTS_PER_S = 2
SETTLE_S = 15.0
"""Before memory is compared: until those who stall have been cut off for the first time."""

CAMERA = "door"
PATIENCE_S = 60.0


class Site:
    """The edge's side of HTTP and of the link, made by hand; it speaks to the first of the control planes."""

    def __init__(self, port: int) -> None:
        self.id = f"edge-{uuid4().hex[:8]}"
        self.frames = 0
        self._url = f"http://127.0.0.1:{port}"
        self._http = requests.Session()
        self._headers = {wire.EDGE_HEADER: self.id, wire.WIRE_HEADER: str(wire.WIRE)}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._send_frames)

    def start(self) -> None:
        hello = Hello(name="bench", version="1", engine=SFACE, cameras=[CAMERA])
        self._call("PUT", f"/v1/edges/{self.id}", hello)
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()
        self._http.close()

    def event(self) -> None:
        made = Event(
            id=uuid4(), camera=CAMERA, captured_at=datetime.now(UTC), status=Status.REJECT, name=None, box=(1, 2, 3, 4)
        )
        self._call("POST", "/v1/events", EventBatch([msgspec.Raw(wire.encode(made))]))

    def position(self) -> int:
        """The event log's end."""
        (newest,) = self._http.get(f"{self._url}/v1/events?limit=1&order=newest").json()["items"]
        return int(newest["position"])

    def _call(self, method: str, path: str, value: object) -> None:
        headers = {**self._headers, "Content-Type": wire.MSGPACK}
        self._http.request(method, self._url + path, data=wire.encode(value), headers=headers).raise_for_status()

    def _send_frames(self) -> None:
        picture = os.urandom(FRAME_BYTES)
        protocol = Subprotocol(wire.LINK_PROTOCOL)
        with connect(
            link_url(self._url), subprotocols=[protocol], additional_headers=self._headers, compression=None
        ) as link:
            listener = threading.Thread(target=_drain, args=(link,))
            listener.start()
            next_at = time.monotonic()
            while not self._stop.wait(max(0.0, next_at - time.monotonic())):
                header = FrameHeader(camera=CAMERA, captured_at=datetime.now(UTC), width=1280, height=720, faces=[])
                link.send(pack_frame(header, picture))
                self.frames += 1
                next_at += 1 / FRAMES_PER_S
            link.close()
            listener.join()


def _drain(link: Any) -> None:
    with contextlib.suppress(ConnectionClosed):
        for _ in link:
            pass


class Memory:
    """The most that the control planes have held beyond what they held at first, looked at each second."""

    def __init__(self, pids: list[int]) -> None:
        self._pids = pids
        self._first = [rss_mb(pid) for pid in pids]
        self.grown_mb = 0.0

    def look(self) -> None:
        grown = (rss_mb(pid) - first for pid, first in zip(self._pids, self._first, strict=True))
        self.grown_mb = max(self.grown_mb, *grown)


class Crowd:
    """The watchers' process."""

    def __init__(self, ports: list[int], edge: str, healthy: int, stalled: int) -> None:
        self._process = subprocess.Popen(
            [
                *(sys.executable, "-m", "bench.live_watchers", ",".join(map(str, ports)), edge, CAMERA),
                *(f"--healthy={healthy}", f"--stalled={stalled}"),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout
        if self._process.stdout.readline() != "watching\n":
            raise RuntimeError("the watchers did not connect")

    def say(self, line: str) -> None:
        assert self._process.stdin
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()

    def end(self, position: int) -> dict[str, Any]:
        """What they have seen, of the log up to this position."""
        assert self._process.stdout
        self.say(f"end {position}")
        figures: dict[str, Any] = json.loads(self._process.stdout.readline())
        return figures

    def stop(self) -> None:
        self._process.kill()
        self._process.communicate()


def measure(
    watchers: int,
    stalled: int,
    reconnects: int,
    seconds: float,
    *,
    replicas: int = 1,
    bus: str = "",
    settle_s: float = SETTLE_S,
) -> dict[str, Any]:
    with contextlib.ExitStack() as stack:
        planes = stack.enter_context(running(replicas, bus))
        site = Site(planes[0][0])
        site.start()
        stack.callback(site.stop)
        crowd = Crowd([port for port, _ in planes], site.id, watchers - stalled, stalled)
        stack.callback(crowd.stop)
        site.event()
        time.sleep(settle_s)
        memory, cpu = Memory([pid for _, pid in planes]), _cpu_s(planes)
        crowd.say("mark")
        frames = site.frames
        _drive(site, crowd, memory, reconnects, seconds)
        frames, cpu = site.frames - frames, _cpu_s(planes) - cpu
        seen = crowd.end(site.position())
    return {
        "watchers": watchers,
        "stalled": stalled,
        "replicas": replicas,
        "seconds": seconds,
        "frames_sent": frames,
        "delivered": round(seen.pop("frames_received") / max(1, frames * (watchers - stalled)), 4),
        "server_cpu": round(cpu / seconds, 2),
        "rss_growth_mb": round(memory.grown_mb, 1),
        **seen,
    }


def _drive(site: Site, crowd: Crowd, memory: Memory, reconnects: int, seconds: float) -> None:
    """Events, reconnects and looks at the memory, each evenly over the time."""
    began = time.monotonic()
    rounds = int(seconds * EVENTS_PER_S)
    cut = 0
    for number in range(1, rounds + 1):
        site.event()
        while cut < reconnects * number // rounds:
            crowd.say("reconnect")
            cut += 1
        memory.look()
        time.sleep(max(0.0, began + number / EVENTS_PER_S - time.monotonic()))


def _cpu_s(planes: list[tuple[int, int]]) -> float:
    ticks = [Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13] for _, pid in planes]
    return sum(int(t) for pair in ticks for t in pair) / os.sysconf("SC_CLK_TCK")


@contextlib.contextmanager
def running(replicas: int, bus: str) -> Iterator[list[tuple[int, int]]]:
    """Control planes on one database: the port and the process id of each."""
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        yield [stack.enter_context(_plane(Path(folder), bus)) for _ in range(replicas)]


@contextlib.contextmanager
def _plane(folder: Path, bus: str) -> Iterator[tuple[int, int]]:
    port = free_port()
    environment = {**os.environ, "DATA_DIR": str(folder), "PORT": str(port), "STREAM_PORT": "0", "BUS_URL": bus}
    with (folder / f"log-{port}").open("ab") as log:
        process = subprocess.Popen([sys.executable, "-m", "control_plane"], env=environment, stdout=log, stderr=log)
    try:
        _ready(port)
        yield port, process.pid
    finally:
        process.terminate()
        process.wait()


def _ready(port: int) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        with contextlib.suppress(requests.ConnectionError):
            requests.get(f"http://127.0.0.1:{port}/healthz", timeout=5).raise_for_status()
            return
        time.sleep(0.05)
    raise TimeoutError("the control plane does not answer")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--watchers", type=int, default=WATCHERS)
    parser.add_argument("--minutes", type=float, default=MINUTES)
    parser.add_argument("--replicas", type=int, default=1)
    parser.add_argument("--bus", default="", help="redis:// URL, for more than one replica")
    given = parser.parse_args()
    figures = {
        **describe(),
        "load_before": round(os.getloadavg()[0], 1),
        **measure(
            given.watchers,
            given.watchers // 10,
            RECONNECTS,
            given.minutes * 60,
            replicas=given.replicas,
            bus=given.bus,
        ),
    }
    print(json.dumps(figures, indent=2) if given.json else "\n".join(f"{k}: {v}" for k, v in figures.items()))


if __name__ == "__main__":
    main()
