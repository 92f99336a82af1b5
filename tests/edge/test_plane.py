from __future__ import annotations

import io
import json
import logging
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from edge.credential import Credential
from edge.plane import ControlPlane, OutOfReach, Unanswered, edge_id, headers, retry_after_s
from faces import wire
from faces.errors import Compacted, Invalid, RollcallError
from faces.gallery import IdentityRow
from faces.logs import JsonLines, Lines
from faces.wire import Hello, Position

EDGE = UUID("01a20385-69a6-79a7-a658-6892c91e52d2")
HELLO = Hello(name="gate", version="1", engine="sface", cameras=["door"])


@pytest.fixture
def client(plane: Any) -> Any:
    client = ControlPlane(plane.url, EDGE)
    yield client
    client.close()


def test_an_edge_s_id_is_made_once(tmp_path: Path) -> None:
    made = edge_id(tmp_path / "edge-id")
    assert edge_id(tmp_path / "edge-id") == made
    assert made != edge_id(tmp_path / "another")


def test_a_file_that_holds_no_id_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / "edge-id").write_text("front door\n")
    with pytest.raises(Invalid, match="does not hold a UUID"):
        edge_id(tmp_path / "edge-id")


def test_every_request_names_the_edge_and_its_wire(plane: Any, client: ControlPlane) -> None:
    assert client.hello(HELLO).edge_id == str(EDGE)
    client.followed()
    for sent in plane.headers:
        assert (sent[wire.EDGE_HEADER], sent[wire.WIRE_HEADER]) == (str(EDGE), "1")


def test_every_request_bears_an_id_of_its_own_and_so_does_what_is_logged_of_its_failure(
    plane: Any, client: ControlPlane
) -> None:
    said = io.StringIO()
    lines = Lines(said)
    lines.setFormatter(JsonLines("edge"))
    client.followed()
    plane.fail = lambda path: (500, "text/plain", b"")
    with pytest.raises(Unanswered) as failed:
        client.followed()
    lines.handle(logging.makeLogRecord({"msg": str(failed.value)}))
    first, second = (sent[wire.REQUEST_HEADER] for sent in plane.headers)
    assert (json.loads(said.getvalue())["request_id"], first == second) == (second, False)


def test_every_request_brings_the_edge_s_key_if_it_has_one(plane: Any) -> None:
    client = ControlPlane(plane.url, EDGE, Credential("rc_secret"))
    client.hello(HELLO)
    client.close()
    assert plane.headers[-1]["Authorization"] == "Bearer rc_secret"
    assert "Authorization" not in headers(EDGE)


def test_a_gallery_comes_as_changes_and_as_a_snapshot(plane: Any, client: ControlPlane) -> None:
    ada = IdentityRow("i1", "Ada")
    plane.galleries["g1"].change([ada])
    assert client.changes("g1", 0).put == [ada]
    with client.snapshot("g1") as (position, rows):
        assert (position, list(rows)) == (plane.galleries["g1"].position, [ada])


def test_compacted_changes_are_told_from_other_refusals(plane: Any, client: ControlPlane) -> None:
    plane.galleries["g1"].compacted_to = 5
    with pytest.raises(Compacted):
        client.changes("g1", 4)


PROBLEM = b'{"code": "wire_version", "title": "Too new", "detail": "Upgrade the control plane."}'


@pytest.mark.parametrize(
    ("answer", "error", "said"),
    [
        ((500, "text/plain", b"oops"), Unanswered, "answered 500"),
        ((426, "application/problem+json", PROBLEM), Unanswered, "wire_version: Upgrade the control plane."),
        ((400, "application/problem+json", b"{"), Unanswered, "answered 400"),
        ((302, "text/html", b""), Unanswered, "answered 302"),
        ((200, "text/html", b"<html>Please log in</html>"), Invalid, "something else than a control plane"),
        ((200, wire.MSGPACK, b"\xc1"), Invalid, "not a"),
    ],
)
def test_an_answer_that_is_none_is_an_error_of_ours(
    plane: Any, client: ControlPlane, answer: tuple[int, str, bytes], error: type[RollcallError], said: str
) -> None:
    plane.fail = lambda path: answer
    with pytest.raises(error, match=said):
        client.followed()


def test_a_snapshot_cut_short_is_refused(plane: Any, client: ControlPlane) -> None:
    whole = b"".join(
        wire.pack_rows(wire.SnapshotHead(gallery="g1", position=Position(1, 1), rows=2), [IdentityRow("i", "A")])
    )
    plane.fail = lambda path: (200, wire.MSGPACK, whole)
    with pytest.raises(Invalid, match="incomplete"), client.snapshot("g1") as (_, rows):
        list(rows)


def test_no_answer_is_told_without_the_address(plane: Any) -> None:
    plane.stop()
    client = ControlPlane(plane.url.replace("//", "//user:secret@"), EDGE)
    with pytest.raises(OutOfReach) as raised:
        client.followed()
    client.close()
    assert "secret" not in raised.value.message
    plane.start()


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, 0),
        ({"Retry-After": "120"}, 120),
        ({"Retry-After": "999999"}, 3600),
        ({"Retry-After": "-1"}, 0),
        ({"Retry-After": "soon"}, 0),
        ({"Retry-After": "Sun, 01 Jun 2025 12:00:30 GMT", "Date": "Sun, 01 Jun 2025 12:00:00 GMT"}, 30),
        ({"Retry-After": "Sun, 01 Jun 2025 11:00:00 GMT", "Date": "Sun, 01 Jun 2025 12:00:00 GMT"}, 0),
        ({"Retry-After": "Sun, 01 Jun 2025 12:00:30 GMT"}, 0),
    ],
)
def test_retry_after_is_seconds_or_a_date_by_the_answers_own_clock(headers: dict[str, str], seconds: float) -> None:
    assert retry_after_s(headers) == seconds
