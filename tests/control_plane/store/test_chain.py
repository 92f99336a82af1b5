from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from control_plane.store.chain import START, Entry, Head, Row, chained, fault
from faces.errors import Invalid

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ROWS = chained(
    START, [Entry(at=NOW + timedelta(seconds=n), actor="key:k", action="a.b", resource="a") for n in range(10_000)]
)
HEAD = Head(ROWS[-1].position, ROWS[-1].hash)


def edited(rows: list[Row], at: int) -> list[Row]:
    rows[at] = msgspec.structs.replace(rows[at], actor="key:other")
    return rows


def removed(rows: list[Row], at: int) -> list[Row]:
    del rows[at]
    return rows


def swapped(rows: list[Row], at: int) -> list[Row]:
    """The row and another one behind it, each with the other's position."""
    other = min(at + 7, len(rows) - 1)
    one, two = rows[at].position, rows[other].position
    rows[at], rows[other] = (
        msgspec.structs.replace(rows[other], position=one),
        msgspec.structs.replace(rows[at], position=two),
    )
    return rows


def test_a_chain_that_was_left_alone_has_no_fault() -> None:
    assert fault(ROWS, HEAD) is None
    assert fault([], START) is None
    assert fault(ROWS, HEAD, Head(5000, ROWS[4999].hash)) is None


@pytest.mark.parametrize("at", [0, 1, 4711, 9998])
@pytest.mark.parametrize("change", [edited, removed, swapped])
def test_of_ten_thousand_rows_the_one_that_was_touched_is_named(
    change: Callable[[list[Row], int], list[Row]], at: int
) -> None:
    found = fault(change(list(ROWS), at), HEAD)
    assert found is not None
    assert found.position == at + 1


@given(st.integers(0, 49), st.sampled_from(Row.__struct_fields__))
def test_no_field_is_changed_unnoticed(at: int, field: str) -> None:
    rows = ROWS[:50]
    other: dict[str, Any] = {"at": NOW - timedelta(microseconds=1), "position": rows[at].position + 1000}
    rows[at] = msgspec.structs.replace(rows[at], **{field: other.get(field, "other")})
    found = fault(rows, Head(50, rows[49].hash))
    assert found is not None
    assert found.position == at + 1


def test_a_cut_tail_is_found_by_the_head_and_by_one_that_was_kept_elsewhere() -> None:
    cut = ROWS[:9000]
    assert fault(cut, HEAD) is not None
    forged = Head(9000, cut[-1].hash)
    assert fault(cut, forged) is None
    found = fault(cut, forged, HEAD)
    assert found is not None
    assert found.position == 9001


def test_a_log_that_was_written_anew_is_found_by_a_head_that_was_kept_elsewhere() -> None:
    anew = chained(START, [Entry(at=NOW, actor="key:x", action="a.b", resource="a")] * 10)
    found = fault(anew, Head(10, anew[-1].hash), Head(3, ROWS[2].hash))
    assert found is not None
    assert found.position == 3


def test_a_head_is_read_as_it_is_shown() -> None:
    assert Head.read(str(HEAD)) == HEAD
    for text in ("", "7", "7:abc", f"x:{HEAD.hash}"):
        with pytest.raises(Invalid):
            Head.read(text)
