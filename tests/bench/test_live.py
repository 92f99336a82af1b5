"""The live bench measures what it says, on a crowd of few."""

from __future__ import annotations

from bench import live


def test_a_small_crowd_sees_every_event_once_and_nobody_waits_for_who_stalls() -> None:
    figures = live.measure(20, 2, 10, 3.0, settle_s=1.0)
    assert (figures["events_missed"], figures["events_doubled"]) == (0, 0)
    assert figures["reconnects"] == 10
    assert 0 < figures["healthy_p50_ms"] <= figures["healthy_p99_ms"]
    assert 0.5 < figures["delivered"] <= 1.1
