from __future__ import annotations

from datetime import UTC, datetime

import pytest

from edge.journal import line
from faces.events import Event, EventKind, Status, uuid7

NOON = datetime(2025, 6, 1, 12, 0, tzinfo=UTC)
ID = uuid7(NOON, bytes(10))


@pytest.mark.parametrize(
    ("event", "written"),
    [
        (
            Event(
                id=ID,
                camera="front door",
                captured_at=NOON,
                track=3,
                status=Status.PASS,
                identity_id="i1",
                name="Ada Lovelace",
                distance=0.41234,
                runner_up_distance=0.8,
                threshold=0.45,
                thumbnail=b"jpeg",
            ),
            'PASS camera="front door" at=2025-06-01T12:00:00.000+00:00 name="Ada Lovelace" identity=i1 track=3 '
            f"distance=0.4123 runner_up=0.8000 threshold=0.4500 event={ID}",
        ),
        (
            Event(id=ID, camera="door", captured_at=NOON, status=Status.REJECT, name='a"b\x1b[2J\u202e\n'),
            rf'REJECT camera=door at=2025-06-01T12:00:00.000+00:00 name="a\u0022b\u001b[2J\u202e\u000a" event={ID}',
        ),
        (
            Event(id=ID, kind=EventKind.SIGHTING, camera="door", captured_at=NOON, name="Ada", reason="watch"),
            f"sighting camera=door at=2025-06-01T12:00:00.000+00:00 name=Ada reason=watch event={ID}",
        ),
        (
            Event(id=ID, kind=EventKind.CAMERA_LOST, camera="door", captured_at=NOON, reason="it stopped"),
            f'camera_lost camera=door at=2025-06-01T12:00:00.000+00:00 reason="it stopped" event={ID}',
        ),
    ],
)
def test_an_event_is_one_line_that_no_name_can_break(event: Event, written: str) -> None:
    assert line(event) == written
