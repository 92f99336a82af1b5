"""Whether an edge at full load stays as it is: its memory, threads and file handles over an hour.

`python -m bench.soak_edge --json`. The edge is a process of its own, control plane and worker beside it. Eight cameras
play the film; a ninth is a real RTSP server, which is stalled, killed and started again with another size all the time.
Somebody watches the first camera live.
"""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import cycle
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from websockets.exceptions import WebSocketException
from websockets.sync.client import connect

from bench.cameras import CAMERAS, film_cameras
from bench.edge import PORTRAITS
from bench.machine import describe, rss_mb
from bench.river import DATA, register
from rollcall.supervisor import Supervisor
from rollcall.up import HOST, Place, free_port, start_centre, start_edge

SYSTEM_PYTHON = "/usr/bin/python3"
SERVER = Path(__file__).resolve().parents[1] / "tests" / "edge" / "rtsp_server.py"

HOUR_S, WARM_UP_S, SAMPLE_S = 3600.0, 300.0, 5.0
FAULT_S = 20.0
"""The RTSP server is well for so long between two faults."""

STALL_S, GONE_S = 5.0, 2.0
"""It stalls for longer than makes a loss, and is gone for a moment."""

SIZES = ((640, 360), (320, 240))


class Sample(NamedTuple):
    """What a process holds at a moment, in seconds."""

    at: float
    rss_mb: float
    threads: int
    handles: int

    @classmethod
    def of(cls, pid: int, at: float) -> Sample:
        process = Path(f"/proc/{pid}")
        threads = sum(1 for _ in (process / "task").iterdir())
        return cls(at, rss_mb(pid), threads, sum(1 for _ in (process / "fd").iterdir()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--cameras", type=int, default=CAMERAS, help="how many play the film")
    parser.add_argument("--seconds", type=float, default=HOUR_S, help="how long is measured")
    parser.add_argument("--warm-up", type=float, default=WARM_UP_S, help="seconds before that")
    parser.add_argument("--samples", type=Path, help="a file for every sample, as CSV")
    arguments = parser.parse_args()
    # What it has started ends with it.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with tempfile.TemporaryDirectory() as folder:
        samples = measure(Path(folder), arguments.cameras, arguments.warm_up, arguments.seconds)
    if arguments.samples:
        arguments.samples.write_text("".join(",".join(map(str, sample)) + "\n" for sample in samples))
    figures = {**describe(), "cameras": arguments.cameras, **judged(samples)}
    print(json.dumps(figures, indent=2) if arguments.json else "\n".join(f"{k}: {v}" for k, v in figures.items()))


def measure(folder: Path, cameras: int, warm_up_s: float, seconds: float, every_s: float = SAMPLE_S) -> list[Sample]:
    """Run the edge and take samples after the warm-up; raises RuntimeError if it ends meanwhile."""
    place = Place(data=folder, port=free_port(), stream_port=0)
    with Supervisor(logs=folder / "logs") as supervisor:
        start_centre(supervisor, place)
        for file, name in PORTRAITS.items():
            register(place, name, (DATA / "portraits" / file).read_bytes())
        with faulty_camera() as url:
            config = folder / "rollcall-edge.toml"
            config.write_text(f'{film_cameras(cameras)}[[camera]]\nname = "rtsp"\nsource = "{url}"\n')
            start_edge(supervisor, place, {"EDGE_CONFIG": str(config)}, restart=False)
            with a_watcher(place):
                return sampled(supervisor, warm_up_s, seconds, every_s)


def sampled(supervisor: Supervisor, warm_up_s: float, seconds: float, every_s: float) -> list[Sample]:
    pid, began = supervisor.pid("edge"), time.monotonic()
    samples: list[Sample] = []
    while (at := time.monotonic() - began) < warm_up_s + seconds:
        if supervisor.ended("edge"):
            raise RuntimeError(f"the edge ended after {at:.0f} s")
        sample = Sample.of(pid, at)
        samples += [sample] if at >= warm_up_s else []
        told = f"{at:6.0f} s  {sample.rss_mb:7.1f} MB  {sample.threads} threads  {sample.handles} handles"
        print(told, file=sys.stderr, flush=True)
        time.sleep(every_s)
    return samples


def judged(samples: Sequence[Sample]) -> dict[str, Any]:
    """What grew: memory by the slope of a line through all samples, the rest by the most in the first and last
    quarter, as a camera that is opened again needs a thread and a handle for a moment."""
    at = np.array([sample.at for sample in samples])
    memory = np.array([sample.rss_mb for sample in samples])
    slope = float(np.polyfit(at, memory, 1)[0])
    quarter = max(1, len(samples) // 4)
    first, last = samples[:quarter], samples[-quarter:]
    return {
        "seconds": round(float(at[-1] - at[0])),
        "slope_mb_an_hour": round(slope * 3600, 3),
        "rss_mb_first": round(float(memory[:quarter].mean()), 1),
        "rss_mb_last": round(float(memory[-quarter:].mean()), 1),
        "rss_mb_most": round(float(memory.max()), 1),
        "threads_first": max(sample.threads for sample in first),
        "threads_last": max(sample.threads for sample in last),
        "handles_first": max(sample.handles for sample in first),
        "handles_last": max(sample.handles for sample in last),
    }


@contextmanager
def faulty_camera() -> Iterator[str]:
    """The URL of an RTSP camera that stalls, and is replaced by one of another size, in turn."""
    port, over = free_port(), threading.Event()
    sizes = cycle(SIZES)
    servers = [_server(port, *next(sizes))]

    def trouble() -> None:
        while not over.wait(FAULT_S):
            servers[-1].send_signal(signal.SIGSTOP)
            over.wait(STALL_S)
            servers[-1].send_signal(signal.SIGCONT)
            if over.wait(FAULT_S):
                return
            _end(servers.pop())
            over.wait(GONE_S)
            servers.append(_server(port, *next(sizes)))

    troubling = threading.Thread(target=trouble)
    troubling.start()
    try:
        yield f"rtsp://user:word@{HOST}:{port}/live"
    finally:
        over.set()
        troubling.join()
        _end(servers.pop())


def _server(port: int, width: int, height: int) -> subprocess.Popen[bytes]:
    command = [SYSTEM_PYTHON, str(SERVER), str(port), str(width), str(height), "user", "word"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert server.stdout is not None
    if server.stdout.readline() != b"ready\n":
        raise RuntimeError("GStreamer's RTSP server does not start (apt: gir1.2-gst-rtsp-server-1.0 python3-gi)")
    return server


def _end(server: subprocess.Popen[bytes]) -> None:
    server.kill()
    server.communicate()


@contextmanager
def a_watcher(place: Place) -> Iterator[None]:
    """Somebody who watches the first camera, as a client of the original does, and takes all that comes."""
    with connect(f"ws://{HOST}:{place.port}/ws/face-stream?camera=camera 1".replace(" ", "%20"), max_size=None) as live:
        watching = threading.Thread(target=_take_all, args=(live,))
        watching.start()
        try:
            yield
        finally:
            live.close()
            watching.join()


def _take_all(live: Any) -> None:
    try:
        for _ in live:
            pass
    except WebSocketException:
        return


if __name__ == "__main__":
    main()
