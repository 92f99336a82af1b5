"""How the worker fares, for Prometheus: what its jobs and its engine took."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, start_http_server

from control_plane.store.deliveries import DeliveryState
from faces.encoding import Matrix
from faces.engine import Engine
from faces.errors import SettingError
from faces.face import Face, Picture

JOB_BUCKETS = (0.005, 0.025, 0.1, 0.5, 1.0, 5.0, 30.0, 120.0, 600.0)
OUTCOMES = {
    DeliveryState.DELIVERED: "delivered",
    DeliveryState.FAILED: "failed",
    DeliveryState.PENDING: "retried",
}
ENGINE_BUCKETS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)


class Metrics:
    """One a process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._jobs = Histogram(
            "rollcall_job_seconds", "What jobs took.", ["job"], buckets=JOB_BUCKETS, registry=self.registry
        )
        self._failed = Counter("rollcall_jobs_failed", "Jobs that ended in an error.", ["job"], registry=self.registry)
        self._engine = Histogram(
            "rollcall_engine_seconds", "What its steps took.", ["step"], buckets=ENGINE_BUCKETS, registry=self.registry
        )
        self._deliveries = Counter(
            "rollcall_deliveries", "Posts to webhooks, by what came of them.", ["outcome"], registry=self.registry
        )
        for outcome in OUTCOMES.values():
            self._deliveries.labels(outcome)
        self._swept = Gauge(
            "rollcall_swept_timestamp_seconds", "When it last looked for what is due.", registry=self.registry
        )

    def posted(self, state: DeliveryState) -> None:
        """Count a webhook's post by the state that it leaves its delivery in."""
        self._deliveries.labels(OUTCOMES[state]).inc()

    def timed(self, job: str, run: Callable[[str], None]) -> Callable[[str], None]:
        """A job that is counted and timed."""
        # Known before the first one ends: who sees a counter begin at 1 takes it for no increase.
        took, failed = self._jobs.labels(job), self._failed.labels(job)

        def observed(row_id: str) -> None:
            with took.time(), failed.count_exceptions():
                run(row_id)

        return observed

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        began = time.perf_counter()
        yield
        self._engine.labels(name).observe(time.perf_counter() - began)

    def swept(self, now: datetime) -> None:
        self._swept.set(now.timestamp())

    def serve(self, host: str, port: int) -> None:
        """Answer Prometheus on a port; raises SettingError if it cannot be had."""
        try:
            start_http_server(port, host, self.registry)
        except OSError as error:
            raise SettingError(
                f"METRICS_PORT: port {port} cannot be had: {error.strerror}", remedy="Set another METRICS_PORT."
            ) from error


class TimedEngine:
    """An engine whose steps are timed."""

    def __init__(self, engine: Engine, metrics: Metrics) -> None:
        self._engine, self._metrics = engine, metrics
        self.name, self.model, self.th_accept = engine.name, engine.model, engine.th_accept

    def detect(self, picture: Picture, scale: float = 1.0) -> list[Face]:
        with self._metrics.step("detect"):
            return self._engine.detect(picture, scale)

    def refine(self, picture: Picture, face: Face) -> Face | None:
        with self._metrics.step("refine"):
            return self._engine.refine(picture, face)

    def encode(self, picture: Picture, faces: Sequence[Face], *, mirror: bool = False) -> Matrix:
        with self._metrics.step("encode"):
            return self._engine.encode(picture, faces, mirror=mirror)

    def sharpness(self, picture: Picture, face: Face) -> float:
        return self._engine.sharpness(picture, face)
