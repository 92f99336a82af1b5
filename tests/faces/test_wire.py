from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from faces import wire
from faces.errors import Invalid
from faces.events import Status
from faces.gallery import EncodingRow, IdentityRow, Key, Kind, Row, SettingsRow
from faces.wire import (
    FrameHeader,
    Hint,
    LinkDown,
    Page,
    Position,
    Seen,
    SnapshotHead,
    SnapshotReader,
    Watch,
    decode,
    decode_text,
    encode,
    encode_text,
    pack_frame,
    pack_rows,
    read_snapshot,
    unpack_frame,
)

ROWS: list[Row] = [
    SettingsRow("g", "default", Kind.WATCH, 0.4),
    IdentityRow("a", "Ann \U0001f600", {"room": 3}, datetime(2026, 1, 1, tzinfo=UTC)),
    EncodingRow("e", "a", "sface", bytes(512)),
]
HEAD = SnapshotHead(gallery="g", position=Position(7, -(2**63)), rows=len(ROWS))
FRAME = FrameHeader(
    camera="door",
    captured_at=datetime(2026, 1, 1, 12, tzinfo=UTC),
    width=640,
    height=360,
    faces=[Seen(box=(1, 2, 3, 4), status=Status.PASS, name="Ann", distance=0.25)],
)


def test_a_page_survives_the_wire() -> None:
    page = Page(gallery="g", after=3, position=Position(5, 2**63 - 1), put=ROWS, removed=[Key("identity", "b")])
    assert decode(encode(page), Page) == page


def test_an_encoding_costs_little_more_than_its_bytes_on_the_wire() -> None:
    assert len(encode(ROWS[2])) < 600


@pytest.mark.parametrize("data", [b"", b"\xc1", b"\x00", encode({"gallery": 3}), encode(HEAD)[:-1]])
def test_what_is_no_page_is_refused_as_invalid(data: bytes) -> None:
    with pytest.raises(Invalid, match="Page"):
        decode(data, Page)


@given(st.lists(st.integers(1, 40)))
def test_a_snapshot_can_be_cut_anywhere(cuts: list[int]) -> None:
    stream = b"".join(pack_rows(HEAD, ROWS))
    reader = SnapshotReader()
    found = []
    for cut in [*cuts, len(stream)]:
        found += reader.feed(stream[:cut])
        stream = stream[cut:]
    assert (reader.head, found, reader.complete) == (HEAD, ROWS, True)


def test_a_snapshot_that_breaks_off_is_not_complete() -> None:
    reader = SnapshotReader()
    reader.feed(b"".join(pack_rows(HEAD, ROWS))[:-1])
    assert not reader.complete


def test_a_snapshot_is_read_as_it_arrives() -> None:
    data = b"".join(pack_rows(HEAD, ROWS))
    head, rows = read_snapshot(data[i : i + 7] for i in range(0, len(data), 7))
    assert (head, list(rows)) == (HEAD, ROWS)


@pytest.mark.parametrize("left", [0, 3, 10, -1])
def test_a_snapshot_cut_short_is_refused_at_its_end(left: int) -> None:
    with pytest.raises(Invalid, match="incomplete"):
        list(read_snapshot([b"".join(pack_rows(HEAD, ROWS))[:left]])[1])


@pytest.mark.parametrize("stream", [b"\x00\x00\x00\x03abc", b"\xff\xff\xff\xff"])
def test_a_stream_that_is_no_snapshot_is_refused(stream: bytes) -> None:
    with pytest.raises(Invalid):
        SnapshotReader().feed(stream)


def test_a_frame_survives_the_wire() -> None:
    header, jpeg = unpack_frame(pack_frame(FRAME, b"\xff\xd8jpeg"))
    assert (header, bytes(jpeg)) == (FRAME, b"\xff\xd8jpeg")


@pytest.mark.parametrize("message", [b"", b"\x00\x00", b"\x00\x00\x01\x00{}", b"\x00\x00\x00\x02{}jpeg", b"\xff" * 9])
def test_what_is_no_frame_is_refused_as_invalid(message: bytes) -> None:
    with pytest.raises(Invalid):
        unpack_frame(message)


@pytest.mark.parametrize("message", [Hint("g", 7), Watch("door", 10.0)])
def test_a_link_message_says_itself_what_it_is(message: LinkDown) -> None:
    assert decode_text(encode_text(message), LinkDown) == message  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "text", ["", "{}", "[" * 100_000, '{"type":"hint"}', '{"type":"hint","gallery":NaN}', "\ud800"]
)
def test_what_is_no_link_message_is_refused_as_invalid(text: str) -> None:
    with pytest.raises(Invalid):
        decode_text(text, LinkDown)  # type: ignore[arg-type]


def test_a_welcome_of_the_time_before_the_lease_says_nothing_of_it() -> None:
    old = wire.encode({"edge_id": "e", "edge": "box", "site_id": "s", "site": "gate"})
    assert wire.decode(old, wire.Welcome).lease_days is None
