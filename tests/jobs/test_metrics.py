from __future__ import annotations

from datetime import UTC, datetime

import pytest
from prometheus_client import generate_latest

from control_plane.store.deliveries import DeliveryState
from jobs.metrics import Metrics


def told(metrics: Metrics) -> set[str]:
    return set(generate_latest(metrics.registry).decode().splitlines())


def test_a_job_s_failures_are_counted_and_known_as_none_before_the_first() -> None:
    metrics = Metrics()

    def fail(row_id: str) -> None:
        raise ValueError(row_id)

    job = metrics.timed("enroll", fail)
    assert 'rollcall_jobs_failed_total{job="enroll"} 0.0' in told(metrics)
    with pytest.raises(ValueError, match="row-1"):
        job("row-1")
    assert {
        'rollcall_jobs_failed_total{job="enroll"} 1.0',
        'rollcall_job_seconds_count{job="enroll"} 1.0',
    } <= told(metrics)


def test_posts_to_webhooks_are_counted_by_what_came_of_them() -> None:
    metrics = Metrics()
    for state in (DeliveryState.DELIVERED, DeliveryState.PENDING, DeliveryState.PENDING):
        metrics.posted(state)
    assert {
        'rollcall_deliveries_total{outcome="delivered"} 1.0',
        'rollcall_deliveries_total{outcome="retried"} 2.0',
        'rollcall_deliveries_total{outcome="failed"} 0.0',
    } <= told(metrics)


def test_when_it_last_looked_for_what_is_due_is_told() -> None:
    metrics = Metrics()
    metrics.swept(datetime.fromtimestamp(1e9, UTC))
    assert "rollcall_swept_timestamp_seconds 1e+09" in told(metrics)
