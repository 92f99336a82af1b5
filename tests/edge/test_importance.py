from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from edge.decide import LEASE_EXPIRED
from edge.importance import Importance, importance
from faces.events import Event, EventKind, Status, uuid7

NOON = datetime(2025, 6, 1, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("fields", "rank"),
    [
        ({"kind": EventKind.CAMERA_LOST, "reason": "watch"}, Importance.HEALTH),
        ({"kind": EventKind.CAMERA_BACK}, Importance.HEALTH),
        ({"status": Status.REJECT}, Importance.STRANGER),
        ({"status": Status.REJECT, "name": "the nearest"}, Importance.STRANGER),
        ({"status": Status.REJECT, "reason": LEASE_EXPIRED}, Importance.PASS),
        ({"status": Status.PASS}, Importance.PASS),
        ({"status": Status.REJECT, "reason": "watch"}, Importance.WATCH),
        ({"kind": EventKind.SIGHTING, "reason": "watch"}, Importance.WATCH),
        ({"status": Status.REJECT, "reason": "deny"}, Importance.DENY),
        ({"kind": EventKind.EVENTS_DROPPED, "dropped": {"pass": 1}}, Importance.NOTICE),
    ],
)
def test_a_strangers_reject_is_worth_less_than_a_pass_and_a_denied_person_most(
    fields: dict[str, Any], rank: Importance
) -> None:
    assert importance(Event(id=uuid7(NOON, bytes(10)), camera="door", captured_at=NOON, **fields)) is rank


def test_health_goes_before_strangers_and_those_before_everybody_known() -> None:
    assert [rank.word for rank in sorted(Importance)] == ["health", "stranger", "pass", "watch", "deny", "notice"]
