"""The sync bench measures what it says, on a fleet of few."""

from __future__ import annotations

from bench import sync


def test_a_small_fleet_applies_every_change_and_comes_back_after_a_kill() -> None:
    figures = sync.measure_fleet(5, 3, people=3)
    assert 0 < figures["apply_p50_s"] <= figures["apply_p99_s"] <= figures["apply_max_s"]
    assert figures["reconnect_s"] > 0
    assert 512 < figures["bytes_per_change"] < 4096, "an encoding has 512 bytes"


def test_a_small_snapshot_is_applied_whole() -> None:
    figures = sync.measure_snapshot(500)
    assert figures["snapshot_encodings"] == 500
    assert figures["snapshot_100k_s"] > 0
