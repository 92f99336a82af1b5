"""How the edge fares, for Prometheus: on a port of this machine."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

import msgspec
from prometheus_client import CollectorRegistry, Histogram, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from edge.outlook import View
from edge.page import serves
from faces.errors import SettingError
from faces.wire import CameraStatus

BUCKETS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 5.0)
"""Seconds that stages take, on machines of all kinds."""


@dataclass(frozen=True, slots=True)
class CameraFigures:
    """A camera's status, and what has been counted of it since it is watched. `decoding_s`: of a processor's time."""

    status: CameraStatus
    captured: int
    looked: int
    losses: int
    decoding_s: float
    view: View


@dataclass(frozen=True, slots=True)
class Figures:
    """How the edge fares at a moment. `events`: those that have left the spool, by outcome. `unconfirmed_s`: since the
    last sync. `failing`: the parts whose work fails."""

    cameras: Sequence[CameraFigures]
    spooled: int
    events: Mapping[str, int]
    unconfirmed_s: float
    failing: Mapping[str, bool]
    hangs: int


class Metrics:
    """Serves the metrics at /metrics. `figures` is asked whenever somebody asks."""

    def __init__(self, figures: Callable[[], Figures]) -> None:
        self.registry = CollectorRegistry()
        self.registry.register(_Figures(figures))
        ProcessCollector(registry=self.registry)
        self._stages = Histogram(
            "rollcall_edge_stage_seconds",
            "What the stages of recognition take.",
            ["stage"],
            buckets=BUCKETS,
            registry=self.registry,
        )

    def took(self, stage: str, seconds: float) -> None:
        """Note what a stage took."""
        self._stages.labels(stage).observe(seconds)


class MetricsPage:
    """The page with the metrics, on a port."""

    def __init__(self, metrics: Metrics, host: str, port: int) -> None:
        request = type("Request", (_Request,), {"registry": metrics.registry, "host": host})
        try:
            self._server = ThreadingHTTPServer((host, port), request)
        except OSError as error:
            raise SettingError(
                f"METRICS_PORT {port} cannot be used: {error.strerror}", remedy="Name another."
            ) from error
        self._server.daemon_threads = True
        self.url = f"http://{host}:{self._server.server_port}/metrics"

    def run(self) -> None:
        self._server.serve_forever(poll_interval=0.5)
        self._server.server_close()

    def stop(self) -> None:
        self._server.shutdown()


class _Figures(Collector):
    def __init__(self, figures: Callable[[], Figures]) -> None:
        self._figures = figures

    def collect(self) -> Iterator[Metric]:
        figures = self._figures()
        yield from _of_cameras(figures.cameras)
        yield _gauge("spooled_events", "Events that wait to be delivered.", figures.spooled)
        yield _gauge("unconfirmed_seconds", "Since the last sync of the galleries.", figures.unconfirmed_s)
        yield _gauge("threads", "Threads of the edge.", threading.active_count())
        events = CounterMetricFamily("rollcall_edge_events", "What became of events.", labels=["outcome"])
        for outcome, count in figures.events.items():
            events.add_metric([outcome], count)
        yield events
        hangs = CounterMetricFamily("rollcall_edge_hangs", "How often the edge ended because a thread hung.")
        hangs.add_metric([], figures.hangs)
        yield hangs
        failing = GaugeMetricFamily("rollcall_edge_failing", "1 while the part's work fails.", labels=["part"])
        for part, fails in figures.failing.items():
            failing.add_metric([part], fails)
        yield failing


def _of_cameras(cameras: Sequence[CameraFigures]) -> Iterator[Metric]:
    def gauge(name: str, told: str, value: Callable[[CameraFigures], float]) -> Metric:
        family = GaugeMetricFamily(f"rollcall_edge_camera_{name}", told, labels=["camera"])
        for camera in cameras:
            family.add_metric([camera.status.name], value(camera))
        return family

    def counter(name: str, told: str, value: Callable[[CameraFigures], float]) -> Metric:
        family = CounterMetricFamily(f"rollcall_edge_camera_{name}", told, labels=["camera"])
        for camera in cameras:
            family.add_metric([camera.status.name], value(camera))
        return family

    yield gauge("up", "1 while it gives a picture.", lambda camera: camera.status.up)
    yield gauge("fps", "Frames a second that are looked at.", lambda camera: camera.status.fps)
    yield counter("captured_frames", "Frames that came.", lambda camera: camera.captured)
    yield counter("looked_frames", "Frames that were looked at.", lambda camera: camera.looked)
    yield counter("dropped_frames", "Frames that gave way to newer ones.", lambda camera: camera.status.dropped)
    yield counter("losses", "How often it was lost.", lambda camera: camera.losses)
    yield counter("decoding_seconds", "Processor's time for its decoding.", lambda camera: camera.decoding_s)
    views = GaugeMetricFamily("rollcall_edge_camera_view", "1 for how its picture is.", labels=["camera", "view"])
    for camera in cameras:
        for view in View:
            views.add_metric([camera.status.name, view], camera.view is view)
    yield views
    faces = CounterMetricFamily(
        "rollcall_edge_faces", "What became of the faces followed.", labels=["camera", "outcome"]
    )
    for camera in cameras:
        for outcome, count in msgspec.structs.asdict(camera.status.funnel).items() if camera.status.funnel else ():
            faces.add_metric([camera.status.name, outcome], count)
    yield faces


def _gauge(name: str, told: str, value: float) -> Metric:
    return GaugeMetricFamily(f"rollcall_edge_{name}", told, value=value)


class _Request(BaseHTTPRequestHandler):
    registry: ClassVar[CollectorRegistry]
    host: ClassVar[str]

    def do_GET(self) -> None:
        if not serves(self.host, self.headers.get("Host")):
            return self.send_error(403)
        if self.path.partition("?")[0] != "/metrics":
            return self.send_error(404)
        body = generate_latest(self.registry)
        self.send_response(200)
        self.send_header("Content-Type", CONTENT_TYPE_LATEST)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing: requests of this page are of no interest."""
