from __future__ import annotations

from datetime import UTC, datetime
from uuid import RFC_4122

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from faces.events import Event, Status, original_message, uuid7

MOMENT = datetime(2026, 1, 8, 18, 40, 0, 123456, tzinfo=UTC)


@given(st.binary(min_size=10, max_size=10))
def test_a_uuid7_has_the_standards_version_variant_and_time(randomness: bytes) -> None:
    made = uuid7(MOMENT, randomness)
    assert (made.version, made.variant) == (7, RFC_4122)
    assert made.int >> 80 == int(MOMENT.timestamp() * 1000)


@given(st.binary(min_size=10, max_size=10), st.binary(min_size=10, max_size=10))
def test_uuid7s_sort_by_time(early: bytes, late: bytes) -> None:
    later = MOMENT.replace(second=1)
    assert str(uuid7(MOMENT, early)) < str(uuid7(later, late))


def test_an_unset_count_leaves_no_trace_in_an_events_bytes() -> None:
    made = Event(id=uuid7(MOMENT, bytes(10)), camera="door", captured_at=MOMENT)
    assert b"dropped" not in msgspec.msgpack.encode(made)
    notice = msgspec.structs.replace(made, dropped={"pass": 1})
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(notice), type=Event) == notice


def test_randomness_keeps_uuid7s_of_one_instant_apart() -> None:
    assert uuid7(MOMENT, bytes(10)) != uuid7(MOMENT, bytes(9) + b"\x01")


def test_the_originals_webhook_has_three_fields_in_its_own_form() -> None:
    event = Event(
        id=uuid7(MOMENT, bytes(10)),
        camera="door",
        captured_at=MOMENT,
        status=Status.PASS,
        name="katya",
        distance=0.412345,
    )
    assert original_message(event) == {"name": "katya", "distance": 0.4123, "timestamp": 1767897600}


def test_an_event_survives_msgpack_and_json() -> None:
    event = Event(
        id=uuid7(MOMENT, bytes(10)), camera="door", captured_at=MOMENT, box=(1, 2, 3, 4), thumbnail=b"\xff\xd8"
    )
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(event), type=Event) == event
    assert msgspec.json.decode(msgspec.json.encode(event), type=Event) == event
