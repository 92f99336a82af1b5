"""How the control plane fares, for Prometheus: what it has answered, and what the database says waits."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from threading import Thread
from wsgiref.simple_server import WSGIServer

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, start_http_server
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from control_plane.store.db import Database, Unavailable
from control_plane.store.figures import Figures, figures
from faces.errors import SettingError

BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class Metrics:
    """One a process. Routes are named by their templates, so that no id of anybody is in a figure."""

    def __init__(self, database: Database, clock: Callable[[], datetime]) -> None:
        self.registry = CollectorRegistry()
        self.registry.register(StoreCollector(database, clock))
        ProcessCollector(registry=self.registry)
        names = ["method", "route", "status"]
        self._requests = Counter("rollcall_requests", "Requests that were answered.", names, registry=self.registry)
        self._took = Histogram(
            "rollcall_request_seconds", "What answers took.", ["route"], buckets=BUCKETS, registry=self.registry
        )
        self._sockets = Gauge("rollcall_sockets", "WebSockets that are open.", ["route"], registry=self.registry)

    def answered(self, method: str, route: str, status: int, seconds: float) -> None:
        self._requests.labels(method, route, str(status)).inc()
        self._took.labels(route).observe(seconds)

    @contextmanager
    def open_socket(self, route: str) -> Iterator[None]:
        """Counts a WebSocket as open while the block runs."""
        with self._sockets.labels(route).track_inprogress():
            yield

    def serve(self, host: str, port: int) -> tuple[WSGIServer, Thread]:
        """Answer Prometheus on a port of its own; raises SettingError if it cannot be had."""
        try:
            return start_http_server(port, host, self.registry)
        except OSError as error:
            raise SettingError(
                f"METRICS_PORT: port {port} cannot be had: {error.strerror}", remedy="Set another METRICS_PORT."
            ) from error


class StoreCollector(Collector):
    """Asks the database whenever somebody asks; `rollcall_database_up` is 0 while it does not answer."""

    def __init__(self, database: Database, clock: Callable[[], datetime]) -> None:
        self._database = database
        self._clock = clock

    def collect(self) -> Iterator[Metric]:
        found: Figures | None = None
        try:
            with self._database.read() as connection:
                found = figures(connection, self._clock())
        except Unavailable:
            pass
        yield GaugeMetricFamily("rollcall_database_up", "1 while it answers.", value=float(found is not None))
        if found is not None:
            yield from _of(found)

    def describe(self) -> Iterator[Metric]:
        """Nothing: the database is not asked before somebody wants to know."""
        return iter(())


def _of(found: Figures) -> Iterator[Metric]:
    waiting = GaugeMetricFamily("rollcall_jobs_waiting", "Rows that wait for a worker.", labels=["kind"])
    oldest = GaugeMetricFamily("rollcall_jobs_oldest_seconds", "How long the oldest has been due.", labels=["kind"])
    for kind, rows in found.waiting.items():
        waiting.add_metric([kind], rows.count)
        oldest.add_metric([kind], rows.oldest_s)
    yield waiting
    yield oldest
    for name, told, value in (
        ("events", "Position of the newest event in the log.", found.events),
        ("edges", "Edges that are known.", found.edges),
        ("edges_silent", "Edges that have not been heard of for two minutes.", found.silent),
        ("sync_lag_revisions", "Revisions that the edge furthest behind lacks.", found.lag),
        ("sync_lag_seconds", "For how long it has been behind.", found.lag_s),
        ("webhooks_failing", "Webhooks that have only failed for ten minutes.", found.failing),
    ):
        yield GaugeMetricFamily(f"rollcall_{name}", told, value=float(value))
