from __future__ import annotations

import base64
import csv
import gzip
import io
import json
import threading
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import msgspec
import pytest

from faces import wire
from faces.events import Event, EventKind, Status

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def outcomes(verdicts: list[wire.Verdict]) -> list[str]:
    return [v.outcome for v in verdicts]


def test_events_are_appended_and_shown(either: Any, event: Any, jpeg: bytes) -> None:
    edge = either.edge("e1")
    made = event(
        track=7, runner_up_distance=0.5, engine="sface", gallery_id="default", gallery_revision=3, threshold=0.45
    )
    (verdict,) = edge.send(made)
    assert verdict == wire.Verdict(str(made.id), "stored")
    (logged,) = either.get("/v1/events").json()["items"]
    assert {k: logged[k] for k in ("position", "id", "site", "edge_id", "edge", "camera", "status", "name")} == {
        "position": 1,
        "id": str(made.id),
        "site": "default",
        "edge_id": "e1",
        "edge": "box",
        "camera": "door",
        "status": "PASS",
        "name": "Ann",
    }
    assert (logged["box"], logged["distance"], logged["thumbnail"]) == ([1, 2, 3, 4], 0.25, True)
    assert logged["captured_at"] == "2026-01-01T00:00:00Z"
    full = either.get(f"/v1/events/{made.id}").json()
    assert {name: full[name] for name in logged} == logged
    assert full["candidates"] == [
        {"identity_id": "p1", "name": "Ann", "distance": 0.25},
        {"identity_id": None, "name": None, "distance": 0.5},
    ]
    assert (full["gallery"], full["gallery_checksum"]) == ("default", None)
    picture = either.get(f"/v1/events/{made.id}/thumbnail")
    assert (picture.content, picture.headers["Content-Type"]) == (jpeg, "image/jpeg")


def test_hostile_38_a_repeat_is_known_and_another_body_under_the_same_id_is_refused(either: Any, event: Any) -> None:
    edge, made = either.edge(), event()
    assert outcomes(edge.send(made, made)) == ["stored", "known"]
    assert outcomes(edge.send(made)) == ["known"]
    (verdict,) = edge.send(msgspec.structs.replace(made, name="Bob"))
    assert (verdict.outcome, verdict.reason) == ("refused", "id_reused")
    assert len(either.get("/v1/events").json()["items"]) == 1


def test_what_an_edge_had_no_room_to_keep_is_in_the_log_with_counts(either: Any) -> None:
    dropped = {"stranger": 12_000, "pass": 3}
    notice = Event(id=uuid4(), kind=EventKind.EVENTS_DROPPED, camera="door", captured_at=NOW, dropped=dropped)
    edge = either.edge()
    assert outcomes(edge.send(notice, notice)) == ["stored", "known"]
    (logged,) = either.get("/v1/events").json()["items"]
    assert (logged["kind"], logged["dropped"]) == ("events_dropped", dropped)


def test_the_answer_to_a_batch_tells_the_control_planes_time(server: Any, event: Any) -> None:
    answer = server.edge().call("POST", "/v1/events", {"events": [event()], "clock_offset_s": -2.5})
    assert wire.decode(answer.content, wire.Verdicts).now is not None


def test_many_edges_at_once_leave_no_gap_and_no_double(either: Any, event: Any) -> None:
    edges = [either.edge(f"e{n}") for n in range(4)]

    def work(edge: Any) -> None:
        for _ in range(5):
            edge.send(event(), event())

    threads = [threading.Thread(target=work, args=(edge,)) for edge in edges]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    positions = [e["position"] for e in either.get("/v1/events", params={"limit": 500}).json()["items"]]
    assert positions == list(range(1, 41))


def raw(event: Event, **changed: Any) -> dict[str, Any]:
    """An event as it travels, with what is given instead."""
    fields: dict[str, Any] = msgspec.msgpack.decode(wire.encode(event))
    return {**fields, **changed}


def test_hostile_38_another_sites_camera_is_only_a_name(either: Any, event: Any) -> None:
    """An event is of the site and the edge that sent it, whatever it calls its camera."""
    either.post("/v1/sites", json={"name": "Annex"})
    here, there = either.edge("e1", cameras=("door",)), either.edge("e2", cameras=("vault",), site="Annex")
    assert outcomes(here.send(event(camera="vault"))) == ["stored"]
    (logged,) = either.get("/v1/events").json()["items"]
    assert (logged["site"], logged["edge_id"], logged["camera"]) == ("default", "e1", "vault")
    assert outcomes(there.send(event(camera="vault"))) == ["stored"]
    cameras = {e["id"]: [c["name"] for c in e["cameras"]] for e in either.get("/v1/edges").json()["items"]}
    assert cameras == {"e1": ["door"], "e2": ["vault"]}


@pytest.mark.parametrize("year", [1, 1970, 2038, 9999])
@pytest.mark.parametrize("offset", [None, 31_536_000.0, -1e300, 1.8e308])
def test_hostile_38_a_time_far_from_now_is_kept_as_it_was_said(
    server: Any, event: Any, year: int, offset: float | None
) -> None:
    """Beside the time of arrival, which is ours: nothing is lost, and nothing is in order by it."""
    edge, far = server.edge(), event(captured_at=datetime(year, 1, 19, 3, 14, 8, tzinfo=UTC))
    answer = edge.call("POST", "/v1/events", {"events": [msgspec.Raw(wire.encode(far))], "clock_offset_s": offset})
    assert outcomes(wire.decode(answer.content, wire.Verdicts).verdicts) == ["stored"]
    assert outcomes(edge.send(event())) == ["stored"]
    mine = {"edge": edge.id}
    first, second = server.get("/v1/events", params=mine).json()["items"]
    assert (first["id"], first["captured_at"][:4]) == (str(far.id), f"{year:04}")
    assert first["position"] < second["position"]
    for path in ("/v1/edges", "/v1/events/export", "/v1/attendance?day=2026-01-01"):
        assert server.get(path).status_code == 200
    if year not in (1, 9999):
        assert server.get("/v1/attendance", params={"day": f"{year}-01-19"}).json()["people"]


BAD: dict[str, dict[str, Any]] = {
    "an id that is none": {"id": "x"},
    "a time without a date in UTC": {"captured_at": "0001-01-01T00:00:00+01:00"},
    "a name that a terminal obeys": {"name": "\x1b[2J"},
    "no camera": {"camera": ""},
    "a time without a zone": {"captured_at": "2026-01-01T00:00:00"},
    "a time that is none": {"captured_at": "0000-00-00T00:00:00Z"},
    "a distance that is no number": {"distance": float("nan")},
    "an endless distance": {"threshold": float("inf")},
    "a status of the stream only": {"status": "NO_FACE"},
    "a decision without a status": {"status": None},
    "a lost camera with a status": {"kind": "camera_lost"},
    "an unheard-of status": {"status": "MAYBE"},
    "a name with NUL": {"name": "a\0b"},
    "a name too long": {"name": "x" * 201},
    "an engine too long": {"engine": "x" * 65},
    "a track beyond 64 bits": {"track": 2**63},
    "a thumbnail too large": {"thumbnail": b"x" * 70_000},
    "a box of three": {"box": [1, 2, 3]},
    "a decision with counts": {"dropped": {"pass": 1}},
    "a count below nothing": {"kind": "events_dropped", "status": None, "dropped": {"pass": -1}},
    "counts without end": {"kind": "events_dropped", "status": None, "dropped": {str(n): 1 for n in range(17)}},
}


@pytest.mark.parametrize("changed", BAD.values(), ids=BAD.keys())
def test_hostile_38_a_bad_event_is_refused_alone(server: Any, event: Any, changed: dict[str, Any]) -> None:
    edge, good = server.edge(), [event(), event()]
    bad = raw(event(), **changed)
    verdicts = edge.send(good[0], bad, good[1])
    assert outcomes(verdicts) == ["stored", "refused", "stored"]
    assert [v.id for v in verdicts] == [str(good[0].id), bad["id"], str(good[1].id)]
    assert verdicts[1].reason


@pytest.mark.parametrize("value", [5, "x", None, [], {}, {"id": 5}, {"a": {"b": [1] * 100}}])
def test_what_is_no_event_at_all_is_refused_alone(server: Any, event: Any, value: Any) -> None:
    verdicts = server.edge().send(value, event())
    assert outcomes(verdicts) == ["refused", "stored"]
    assert verdicts[0].id == ""


def test_hostile_38_one_bad_event_among_ten_thousand_is_refused_alone(server: Any, event: Any) -> None:
    edge = server.edge()
    batch = [event(thumbnail=None) for _ in range(9_999)]
    verdicts = edge.send(*batch[:5000], raw(event(), camera=""), *batch[5000:])
    assert outcomes(verdicts).count("stored") == 9_999
    assert verdicts[5000].outcome == "refused"


def test_a_batch_may_be_json_and_be_answered_in_json(server: Any, event: Any, jpeg: bytes) -> None:
    edge, made = server.edge(), event()
    body = {"events": [json.loads(msgspec.json.encode(made)), {"id": str(uuid4())}, {"id": "\ud800"}]}
    body["events"][0]["thumbnail"] = base64.b64encode(jpeg).decode()
    response = edge.call(
        "POST",
        "/v1/events",
        json.dumps(body).encode(),
        headers={"Content-Type": "application/json", "Accept": "application/json"},
    )
    assert response.status_code == 400
    del body["events"][2]
    response = edge.call(
        "POST",
        "/v1/events",
        json.dumps(body).encode(),
        headers={"Content-Type": "application/json", "Accept": "application/json"},
    )
    assert [v["outcome"] for v in response.json()["verdicts"]] == ["stored", "refused"]
    assert server.get(f"/v1/events/{made.id}/thumbnail").content == jpeg


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"", wire.MSGPACK, 400),
        (b"\xc1", wire.MSGPACK, 400),
        (b"{}", "application/json", 400),
        (b'{"events": 5}', "application/json", 400),
        (b'{"events": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "application/json", 400),
        (b"\x81\xa6events\x91" + b"\x91" * 100_000 + b"\xc0", wire.MSGPACK, 400),
        (b"<html>", "text/html", 415),
    ],
)
def test_a_body_that_is_no_batch_is_refused(server: Any, body: bytes, kind: str, status: int) -> None:
    response = server.edge().call("POST", "/v1/events", body, headers={"Content-Type": kind})
    assert response.status_code == status


def test_a_batch_may_be_gzip_and_says_how_far_the_edges_clock_is_ahead(server: Any, event: Any) -> None:
    edge, made = server.edge(), event()
    batch = gzip.compress(wire.encode(wire.EventBatch([msgspec.Raw(wire.encode(made))], clock_offset_s=-1.5)))
    response = edge.call("POST", "/v1/events", batch, headers={"Content-Encoding": "gzip"})
    assert outcomes(wire.decode(response.content, wire.Verdicts).verdicts) == ["stored"]
    assert server.get(f"/v1/events/{made.id}").json()["clock_offset_s"] == -1.5


@pytest.mark.parametrize(
    ("body", "coding", "status"),
    [
        (b"no gzip", "gzip", 400),
        (gzip.compress(b"x" * 1000, mtime=0)[:-9], "gzip", 400),
        (gzip.compress(b"\x81\xa6events\x90", mtime=0) + b"more", "gzip", 400),
        (gzip.compress(bytes((32 << 20) + 1), mtime=0), "gzip", 413),
        (b"\x81\xa6events\x90", "br", 415),
    ],
)
def test_a_body_that_cannot_be_unpacked_is_refused(server: Any, body: bytes, coding: str, status: int) -> None:
    response = server.edge().call("POST", "/v1/events", body, headers={"Content-Encoding": coding})
    assert response.status_code == status


def test_more_than_ten_thousand_at_once_are_refused(server: Any) -> None:
    batch = wire.EventBatch([msgspec.Raw(b"\xc0")] * 10_001)
    response = server.edge().call("POST", "/v1/events", batch)
    assert (response.status_code, response.json()["code"]) == (413, "too_large")


def test_an_edge_that_has_not_introduced_itself_is_told_to(server: Any, event: Any) -> None:
    edge = server.edge()
    edge.id = "stranger"
    response = edge.call("POST", "/v1/events", wire.EventBatch([msgspec.Raw(wire.encode(event()))]))
    assert (response.status_code, response.json()["code"]) == (404, "not_found")
    assert "PUT /v1/edges" in response.json()["remedy"]


def test_an_empty_batch_is_no_error(server: Any) -> None:
    assert server.edge().send() == []


def test_the_log_is_read_to_its_end_in_either_order(either: Any, event: Any) -> None:
    edge = either.edge()
    edge.send(*(event() for _ in range(7)))

    def read(cursor: str, **parameters: Any) -> list[int]:
        seen: list[int] = []
        given: dict[str, Any] = {"limit": 3, **parameters}
        while True:
            page = either.get("/v1/events", params=given).json()
            seen += [e["position"] for e in page["items"]]
            if page["next"] is None:
                return seen
            given[cursor] = page["next"]

    assert read("after") == [1, 2, 3, 4, 5, 6, 7]
    assert read("before", order="newest") == [7, 6, 5, 4, 3, 2, 1]
    assert read("after", after=2, before=6) == [3, 4, 5]
    edge.send(event())
    assert read("after", after=7) == [8]


def test_the_log_is_filtered(server: Any, event: Any) -> None:
    edge = server.edge()
    after = server.get("/v1/events", params={"order": "newest", "limit": 1}).json()["items"]
    start = after[0]["position"] if after else 0
    edge.send(
        event(camera="yard", identity_id="p-ann"),
        event(camera="yard", status=Status.REJECT, identity_id=None, name=None),
        event(camera="hall", captured_at=NOW + timedelta(days=9)),
        event(camera="hall", kind=EventKind.CAMERA_LOST, status=None, reason="no signal"),
    )

    def places(**parameters: Any) -> list[int]:
        found = server.get("/v1/events", params={"after": start, **parameters}).json()["items"]
        return [e["position"] - start for e in found]

    assert places(camera="yard") == [1, 2]
    assert places(identity="p-ann") == [1]
    assert places(status="REJECT") == [2]
    assert places(since="2026-01-05T00:00:00Z") == [3]
    assert places(until="2026-01-05T00:00:00Z", camera="hall") == [4]
    assert places(site="default") == [1, 2, 3, 4]
    assert places(site="nowhere") == []


@pytest.mark.parametrize(
    "query",
    [
        "after=-1",
        "after=9223372036854775808",
        "order=random",
        "status=MAYBE",
        "since=yesterday",
        "since=2026-01-01T00:00:00",
    ],
)
def test_an_impossible_parameter_is_refused(server: Any, query: str) -> None:
    assert server.get(f"/v1/events?{query}").json()["code"] == "invalid"


def test_an_event_or_thumbnail_that_is_not_there_is_not_found(server: Any, event: Any) -> None:
    made = event(thumbnail=None)
    server.edge().send(made)
    for path in (f"/v1/events/{uuid4()}", f"/v1/events/{uuid4()}/thumbnail", f"/v1/events/{made.id}/thumbnail"):
        assert server.get(path).status_code == 404


def test_an_erased_persons_events_keep_no_name_and_no_picture(server: Any, event: Any) -> None:
    person = server.person("Ann")
    made = event(identity_id=person)
    server.edge().send(made)
    server.call("DELETE", f"/v1/identities/{person}")
    logged = server.get(f"/v1/events/{made.id}").json()
    assert (logged["identity_id"], logged["name"], logged["thumbnail"]) == (person, None, False)
    assert server.get(f"/v1/events/{made.id}/thumbnail").status_code == 404


def test_one_event_tells_where_the_gallery_stood(server: Any, event: Any) -> None:
    server.person("Ann")
    here = server.get("/v1/galleries/default").json()
    made = event(gallery_id="default", gallery_revision=here["revision"], distance=None)
    server.edge().send(made)
    server.person("Bob")
    full = server.get(f"/v1/events/{made.id}").json()
    assert (full["gallery_checksum"], full["candidates"]) == (here["checksum"], [])


@pytest.fixture
def exported(either: Any, event: Any) -> list[dict[str, Any]]:
    """More events than a page, as the log lists them."""
    names = ["=1+1", 'Zoë, "the boss"', None]
    either.edge().send(*(event(name=names[n % 3], captured_at=NOW + timedelta(seconds=n)) for n in range(1203)))
    found: list[dict[str, Any]] = []
    while page := either.get("/v1/events", params={"limit": 500, "after": len(found)}).json()["items"]:
        found += page
    return found


def test_the_log_is_exported_whole_as_lines_of_json(either: Any, exported: list[dict[str, Any]]) -> None:
    response = either.get("/v1/events/export", params={"format": "ndjson"})
    assert [json.loads(line) for line in response.text.splitlines()] == exported
    assert response.headers["Content-Disposition"] == 'attachment; filename="events.ndjson"'
    few = either.get("/v1/events/export", params={"format": "ndjson", "since": "2026-01-01T00:20:00Z"})
    assert [json.loads(line) for line in few.text.splitlines()] == exported[1200:]


def test_the_log_is_exported_whole_for_a_spreadsheet(either: Any, exported: list[dict[str, Any]]) -> None:
    response = either.get("/v1/events/export")
    assert response.content.startswith(b"\xef\xbb\xbf")
    rows = list(csv.DictReader(io.StringIO(response.content.decode("utf-8-sig"))))
    assert [row["id"] for row in rows] == [e["id"] for e in exported]
    assert [row["name"] for row in rows[:3]] == ["'=1+1", 'Zoë, "the boss"', ""]
    first = exported[0]
    assert (rows[0]["captured_at"], rows[0]["distance"]) == (first["captured_at"], str(first["distance"]))
    assert (rows[0]["box"], rows[0]["thumbnail"]) == ("[1,2,3,4]", "true")
    assert either.get("/v1/events/export", params={"format": "pdf"}).json()["code"] == "invalid"
    assert either.get("/v1/events/export", params={"limit": "5"}).json()["code"] == "invalid"
