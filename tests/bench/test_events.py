"""The bench of events measures what it says, on few of them."""

from __future__ import annotations

from pathlib import Path

from bench import events


def test_a_few_events_are_taken_in_and_a_short_backlog_drains(tmp_path: Path) -> None:
    with events.centre(tmp_path / "plane") as place:
        assert events.ingest_rate(place, 400) > 0
        drained_s, live_s = events.drain(place, tmp_path / "edge", 300)
        log = events._get(place, order="newest", limit=1)
    assert drained_s > 0
    assert 0 <= live_s < 30
    assert log[0]["position"] >= 700
