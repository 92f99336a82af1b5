from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import numpy as np
import pytest

from edge import delivery, uplink
from edge.clock import ClockOffset, elapsed_s
from edge.decide import Thresholds, judge
from edge.delivery import Poster
from edge.lease import Lease, Spent
from edge.plane import ControlPlane
from edge.repeat import Backoff, Busy, Repeater
from edge.replica import Replica
from edge.spool import Spool
from edge.uplink import Syncer
from faces import wire
from faces.encoding import DIMENSIONS, to_bytes
from faces.errors import Invalid, RollcallError
from faces.events import Event, Status, uuid7
from faces.gallery import EncodingRow, IdentityRow, Key, Kind, Row
from faces.wire import START, Hello, Hint, Report

EDGE = UUID("01a20385-69a6-79a7-a658-6892c91e52d2")
HELLO = Hello(name="gate", version="1", engine="sface", cameras=["door"])
NOON = datetime(2025, 6, 1, 12, 0, tzinfo=UTC)


def person(number: int) -> list[Row]:
    vector = np.zeros(DIMENSIONS, np.float32)
    vector[number] = 1
    return [
        IdentityRow(f"i{number}", f"Ada {number}"),
        EncodingRow(f"e{number}", f"i{number}", "sface", to_bytes(vector)),
    ]


def event(number: int) -> Event:
    return Event(
        id=uuid7(NOON, number.to_bytes(10, "big")), camera="door", captured_at=NOON, status=Status.PASS, track=number
    )


@pytest.fixture
def client(plane: Any) -> Iterator[ControlPlane]:
    client = ControlPlane(plane.url, EDGE)
    yield client
    client.close()


@pytest.fixture
def replica(tmp_path: Path) -> Iterator[Replica]:
    replica = Replica(tmp_path / "galleries.db", "sface")
    yield replica
    replica.close()


@pytest.fixture
def syncer(client: ControlPlane, replica: Replica) -> Syncer:
    return Syncer(client, replica, HELLO, lambda: None)


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    spool = Spool(tmp_path / "spool.db")
    yield spool
    spool.close()


@pytest.fixture
def running() -> Iterator[Callable[[Callable[[], float]], Repeater]]:
    """Run a step again and again, as the root does."""
    started: list[tuple[Repeater, threading.Thread]] = []

    def run(step: Callable[[], float]) -> Repeater:
        repeater = Repeater("the uplink", step, Backoff(0.01, 0.05))
        thread = threading.Thread(target=repeater.run)
        thread.start()
        started.append((repeater, thread))
        return repeater

    yield run
    for repeater, thread in started:
        repeater.stop()
        thread.join(10)


def test_the_first_round_introduces_the_edge_and_brings_the_galleries(
    plane: Any, syncer: Syncer, replica: Replica
) -> None:
    plane.galleries["g1"].change(person(1))
    syncer.step()
    syncer.step()
    assert plane.hellos == [(str(EDGE), HELLO)]
    assert replica.held[0].gallery.ids == ("i1",)
    assert plane.reports == [("g1", Report(position=plane.galleries["g1"].position))] * 2


def test_a_new_copy_comes_as_a_snapshot_and_then_moves_by_changes(plane: Any, syncer: Syncer, replica: Replica) -> None:
    log = plane.galleries["g1"]
    log.change(person(1))
    syncer.step()
    assert plane.asked[-2:] == ["GET /v1/galleries/g1/snapshot", "PUT /v1/edge/galleries/g1"]
    assert "GET /v1/galleries/g1/changes" not in plane.asked
    plane.asked.clear()
    for number in (2, 3, 4, 5):
        log.change(person(number))
    log.change(removed=[Key("identity", "i1"), Key("encoding", "e1")])
    syncer.step()
    assert plane.asked == [
        "GET /v1/edge/galleries",
        *["GET /v1/galleries/g1/changes"] * 3,
        "PUT /v1/edge/galleries/g1",
    ], "five revisions in pages of two"
    assert replica.position("g1") == log.position
    assert replica.held[0].gallery.ids == ("i2", "i3", "i4", "i5")


def compacted(log: Any, replica: Replica) -> None:
    log.change(person(3))
    log.compacted_to = 3


def restored(log: Any, replica: Replica) -> None:
    log.changes, log.rows = [], {}
    log.change(person(7))


def rewritten(log: Any, replica: Replica) -> None:
    log.changes, log.rows = [], {}
    log.change(person(8))
    log.change(person(9))


def forked(log: Any, replica: Replica) -> None:
    rewritten(log, replica)
    log.change(person(10))


def damaged(log: Any, replica: Replica) -> None:
    replica._db.execute("DELETE FROM rows WHERE id = 'e1'")
    replica.verify()


@pytest.mark.parametrize("happens", [compacted, restored, rewritten, forked, damaged])
def test_a_copy_that_cannot_go_on_starts_over(
    plane: Any, syncer: Syncer, replica: Replica, happens: Callable[[Any, Replica], None]
) -> None:
    log = plane.galleries["g1"]
    log.change(person(1))
    log.change(person(2))
    syncer.step()
    plane.asked.clear()
    happens(log, replica)
    syncer.step()
    assert "GET /v1/galleries/g1/snapshot" in plane.asked
    behind = happens in (compacted, forked)
    assert ("GET /v1/galleries/g1/changes" in plane.asked) is behind, "there is nothing to catch up on"
    assert replica.position("g1") == log.position
    names = {row.id for row in log.rows.values() if isinstance(row, IdentityRow)}
    assert replica.held[0].gallery.identities.keys() == names
    assert plane.reports[-1] == ("g1", Report(position=log.position))


def test_a_gallery_whose_checksum_never_comes_out_is_reported_and_leaves_the_others_alone(
    plane: Any, gallery_log: Any, syncer: Syncer, replica: Replica
) -> None:
    plane.galleries["g1"].lie = 1
    plane.galleries["g1"].change(person(1))
    plane.galleries["g2"] = gallery_log("g2")
    plane.galleries["g2"].change(person(2))
    with pytest.raises(RollcallError, match="does not come out"):
        syncer.step()
    (_, bad), (_, good) = plane.reports
    assert bad.error is not None
    assert bad.position.revision == 0
    assert good == Report(position=plane.galleries["g2"].position)
    assert [held.gallery.ids for held in replica.held] == [(), ("i2",)]


def test_a_gallery_no_longer_followed_is_dropped(plane: Any, syncer: Syncer, replica: Replica) -> None:
    plane.galleries["g1"].change(person(1))
    syncer.step()
    del plane.galleries["g1"]
    syncer.step()
    assert replica.held == ()


def test_that_nothing_is_left_of_a_gallery_no_longer_followed_is_said_until_it_is_heard(
    plane: Any, client: ControlPlane, tmp_path: Path, gallery_log: Any
) -> None:
    def synced() -> None:
        replica = Replica(tmp_path / "galleries.db", "sface")
        Syncer(client, replica, HELLO, lambda: None).step()
        replica.close()

    told = ("g1", Report(position=START))
    plane.galleries["g1"].change(person(1))
    plane.galleries["g2"] = gallery_log("g2")
    synced()
    dropped = plane.galleries.pop("g1")
    plane.fail = lambda path: (503, "text/plain", b"") if path == "/v1/edge/galleries/g1" else None
    with pytest.raises(RollcallError):
        synced()
    assert told not in plane.reports
    plane.fail = lambda path: None
    synced()
    synced()
    assert plane.reports.count(told) == 1
    plane.galleries["g1"] = dropped
    synced()
    assert plane.reports.count(told) == 1
    assert plane.reports[-1] == ("g1", Report(position=dropped.position))


def test_a_control_plane_that_forgot_the_edge_is_introduced_to_it_again(plane: Any, syncer: Syncer) -> None:
    syncer.step()
    plane.fail = lambda path: (404, "text/plain", b"") if path == "/v1/edge/galleries" else None
    with pytest.raises(RollcallError):
        syncer.step()
    plane.fail = lambda path: None
    syncer.step()
    assert len(plane.hellos) == 2


def test_the_checksum_is_recomputed_each_hour(
    syncer: Syncer, plane: Any, replica: Replica, monkeypatch: pytest.MonkeyPatch
) -> None:
    plane.galleries["g1"].change(person(1))
    syncer.step()
    replica._db.execute("DELETE FROM rows WHERE id = 'e1'")
    syncer.step()
    assert replica.position("g1") == plane.galleries["g1"].position, "not noticed yet"
    monkeypatch.setattr(uplink, "VERIFY_EVERY_S", -1.0)
    plane.asked.clear()
    syncer.step()
    assert "GET /v1/galleries/g1/snapshot" in plane.asked


def test_events_are_posted_and_acknowledged(plane: Any, client: ControlPlane, spool: Spool) -> None:
    events = [event(number) for number in range(600)]
    for one in events:
        spool.append(one)
    poster = Poster(client, spool, elapsed=lambda: 0.0)
    assert [poster.step() for _ in range(4)] == [0, 0, 0, delivery.IDLE_S]
    assert sorted(plane.events.values(), key=lambda one: one.track) == events
    assert plane.batches == [250, 250, 100]
    assert len(spool) == 0


def test_a_new_event_is_in_the_very_next_batch_while_a_backlog_drains_oldest_first(
    plane: Any, client: ControlPlane, spool: Spool
) -> None:
    for number in range(500):
        spool.append(event(number))
    poster = Poster(client, spool)
    new = 1000
    while len(spool) > delivery.BATCH:
        spool.append(event(new))
        poster.step()
        assert str(event(new).id) in list(plane.events)[-plane.batches[-1] :]
        new += 1
    while len(spool):
        poster.step()
    arrived = [one.track or 0 for one in plane.events.values()]
    assert len(arrived) == 500 + new - 1000
    old = [track for track in arrived if track < 500 - 10 * delivery.LIVE]
    assert old == sorted(old)


def test_a_batch_is_zipped_and_says_how_far_the_edges_clock_is_ahead(
    plane: Any, client: ControlPlane, spool: Spool
) -> None:
    moment = 50.0
    plane.clock = lambda: NOON
    poster = Poster(client, spool, wall=lambda: NOON.timestamp() + 90.5 + moment, elapsed=lambda: 100.0 + moment)
    spool.append(event(1))
    poster.step()
    assert plane.offsets == [pytest.approx(140.5)], "the clock's 90.5 s and 50"
    assert plane.headers[-1]["Content-Encoding"] == "gzip"
    assert "Content-Encoding" not in plane.headers[-2], "nobody knows yet whether it would be read"


def test_a_control_plane_that_tells_no_time_is_sent_plain_batches(
    plane: Any, client: ControlPlane, spool: Spool
) -> None:
    plane.clock = lambda: None
    spool.append(event(1))
    Poster(client, spool).step()
    assert len(plane.events) == 1
    assert plane.offsets == [None]
    assert not any("Content-Encoding" in headers for headers in plane.headers)


def test_hostile_37_the_offset_is_of_the_quickest_round_trip_and_follows_the_clock_when_it_is_put_right() -> None:
    wall, elapsed = NOON.timestamp() + 5.0, 100.0
    offset = ClockOffset(lambda: wall, lambda: elapsed)
    assert offset.ahead_s() is None
    asked, elapsed, wall = elapsed, elapsed + 0.2, wall + 0.2
    offset.take(asked, NOON + timedelta(seconds=0.1))
    assert offset.ahead_s() == pytest.approx(5.0)
    asked, elapsed, wall = elapsed, elapsed + 10, wall + 10
    offset.take(asked, NOON + timedelta(seconds=10.2))
    assert offset.ahead_s() == pytest.approx(5.0), "the slow answer, of the end of its trip, is not believed"
    wall -= 5.0
    assert offset.ahead_s() == pytest.approx(0.0)


def test_hostile_39_a_slow_line_is_given_smaller_batches(
    plane: Any, client: ControlPlane, spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "BATCH", 100)
    moment = 0.0
    answer = plane.answer

    def slow(*asked: Any) -> Any:
        nonlocal moment
        moment += 0.02 * len(wire.decode(asked[-1], wire.EventBatch).events)
        return answer(*asked)

    plane.answer = slow
    for number in range(300):
        spool.append(event(number))
    poster = Poster(client, spool, elapsed=lambda: moment)
    while len(spool):
        poster.step()
    assert plane.batches == [100, 50, 50, 50, 50], "a second's worth"


@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_is_obeyed(plane: Any, client: ControlPlane, spool: Spool, status: int) -> None:
    spool.append(event(1))
    plane.fail = lambda path: (status, "text/plain", b"")
    plane.more_headers = {"Retry-After": "17"}
    with pytest.raises(Busy) as caught:
        Poster(client, spool).step()
    assert caught.value.retry_after_s == 17


def test_an_event_whose_answer_was_lost_is_posted_again_and_known(
    plane: Any, client: ControlPlane, spool: Spool
) -> None:
    spool.append(event(1))
    plane.events[str(event(1).id)] = event(1)
    Poster(client, spool).step()
    assert len(spool) == 0
    assert spool.quarantined() == []


def test_a_refused_event_is_set_aside_and_blocks_nobody(plane: Any, client: ControlPlane, spool: Spool) -> None:
    for number in range(5):
        spool.append(event(number))
    plane.refuse = lambda one: "from the future" if one.track == 2 else None
    Poster(client, spool).step()
    assert len(plane.events) == 4
    assert spool.quarantined() == [(event(2).id, "from the future")]
    assert len(spool) == 0


@pytest.mark.parametrize("status", [400, 413, 422])
def test_a_batch_refused_as_a_whole_is_narrowed_down_to_the_event(
    plane: Any, client: ControlPlane, spool: Spool, status: int
) -> None:
    for number in range(8):
        spool.append(event(number))
    bad = str(event(5).id)
    answer = plane.answer

    def picky(method: str, path: str, query: Any, body: bytes) -> tuple[int, bytes]:
        return (status, b"") if event(5).id.bytes in body or bad.encode() in body else answer(method, path, query, body)

    plane.answer = picky
    poster = Poster(client, spool)
    for _ in range(20):
        poster.step()
    assert sorted(one.track for one in plane.events.values()) == [0, 1, 2, 3, 4, 6, 7]
    assert [key for key, _ in spool.quarantined()] == [event(5).id]


@pytest.mark.parametrize("answer", [(503, "text/plain", b""), (401, "text/plain", b""), (200, "text/html", b"hello")])
def test_a_control_plane_in_trouble_costs_no_event(
    plane: Any, client: ControlPlane, spool: Spool, answer: tuple[int, str, bytes]
) -> None:
    spool.append(event(1))
    plane.fail = lambda path: answer
    with pytest.raises(RollcallError):
        Poster(client, spool).step()
    assert len(spool) == 1


def test_no_verdict_is_no_acknowledgement(plane: Any, client: ControlPlane, spool: Spool) -> None:
    spool.append(event(1))
    plane.fail = lambda path: (200, "application/msgpack", b"\x81\xa8verdicts\x90")
    with pytest.raises(RollcallError, match="no verdict"):
        Poster(client, spool).step()
    assert len(spool) == 1


def test_events_made_while_the_line_is_down_arrive_when_it_is_back(
    plane: Any, client: ControlPlane, spool: Spool, running: Any, until: Callable[..., None]
) -> None:
    posting = running(Poster(client, spool).step)
    spool.append(event(0))
    posting.wake()
    until(lambda: len(plane.events) == 1)
    plane.stop()
    for number in range(1, 4):
        spool.append(event(number))
        posting.wake()
    until(lambda: posting.failing)
    plane.start()
    until(lambda: len(plane.events) == 4 and len(spool) == 0)


def test_galleries_follow_when_the_line_is_back(
    plane: Any, syncer: Syncer, replica: Replica, running: Any, until: Callable[..., None]
) -> None:
    syncing = running(syncer.step)
    until(lambda: len(plane.reports) == 1)
    plane.stop()
    syncing.hurry()
    until(lambda: syncing.failing)
    plane.galleries["g1"].change(person(1))
    plane.start()
    until(lambda: replica.held[0].gallery.ids == ("i1",))


def test_it_is_ready_after_the_first_round_that_brought_a_gallery(plane: Any, syncer: Syncer) -> None:
    plane.galleries["g1"].change(person(1))
    plane.stop()
    with pytest.raises(RollcallError):
        syncer.step()
    assert not syncer.ready()
    plane.start()
    syncer.step()
    assert syncer.ready()


def test_with_a_gallery_on_disk_it_is_ready_once_it_has_tried(
    plane: Any, client: ControlPlane, syncer: Syncer, replica: Replica
) -> None:
    syncer.step()
    again = Syncer(client, replica, HELLO, lambda: None)
    assert not again.ready()
    plane.stop()
    with pytest.raises(RollcallError):
        again.step()
    assert again.ready()
    plane.start()


def test_a_hint_asks_for_that_gallery_alone_and_all_are_asked_for_each_half_minute(
    plane: Any, gallery_log: Any, syncer: Syncer, replica: Replica, monkeypatch: pytest.MonkeyPatch
) -> None:
    plane.galleries["g2"] = gallery_log("g2")
    for number, log in enumerate(plane.galleries.values()):
        log.change(person(number))
    syncer.step()
    due = syncer._round_due
    plane.asked.clear()
    plane.galleries["g2"].change(person(5))
    syncer.hint(Hint("g2", 2))
    began = time.monotonic()
    waits = syncer.step()
    assert due - time.monotonic() <= waits <= due - began
    assert plane.asked == ["GET /v1/galleries/g2/changes", "PUT /v1/edge/galleries/g2"]
    assert replica.position("g2") == plane.galleries["g2"].position
    syncer.hint(Hint("g2", 2))
    syncer.step()
    assert len(plane.asked) == 2, "it is there already"
    monkeypatch.setattr(syncer, "_round_due", 0.0)
    syncer.hint(Hint("g2", 3))
    syncer.step()
    assert plane.asked[2] == "GET /v1/edge/galleries"


@pytest.mark.parametrize("hint", [Hint("g9", 1), Hint("g1", 0), Hint("g1", 9)])
def test_a_hint_that_leads_nowhere_makes_a_whole_round(
    plane: Any, syncer: Syncer, replica: Replica, hint: Hint
) -> None:
    plane.galleries["g1"].change(person(1))
    syncer.step()
    plane.galleries["g1"].compacted_to = 5
    plane.asked.clear()
    syncer.hint(hint)
    syncer.step()
    assert "GET /v1/edge/galleries" in plane.asked
    assert replica.position("g1") == plane.galleries["g1"].position


def test_a_copy_ahead_of_its_gallery_says_so_before_it_starts_over(plane: Any, syncer: Syncer) -> None:
    log = plane.galleries["g1"]
    log.change(person(1))
    log.change(person(2))
    syncer.step()
    ahead = log.position
    restored(log, Replica)  # type: ignore[arg-type]
    syncer.step()
    (_, before), (_, after) = plane.reports[-2:]
    assert before.position == ahead
    assert "restored from a backup" in (before.error or "")
    assert after == Report(position=log.position)


def test_a_round_renews_the_lease_and_what_is_spent_is_saved(
    plane: Any, client: ControlPlane, replica: Replica, gallery_log: Any
) -> None:
    lease = Lease(1, Spent(1e6, 0.0), elapsed_s(), 0.0)
    syncer = Syncer(client, replica, HELLO, lambda: None, lease)
    plane.galleries["g1"].lie = 1
    with pytest.raises(RollcallError):
        syncer.step()
    assert lease.expired(elapsed_s()), "a round that failed confirms nothing"
    plane.galleries["g1"].lie = 0
    syncer.step()
    assert not lease.expired(elapsed_s())
    spent = replica.spent()
    assert spent is not None
    assert spent.seconds < 60


def test_encodings_of_strangers_are_kept_once_the_site_has_said_so(
    plane: Any, client: ControlPlane, replica: Replica, monkeypatch: pytest.MonkeyPatch
) -> None:
    plane.probes = True
    syncer = Syncer(client, replica, HELLO, lambda: None)
    assert not syncer.keeps_probes
    syncer.step()
    assert syncer.keeps_probes
    plane.probes = False
    monkeypatch.setattr(uplink, "HELLO_EVERY_S", 0.0)
    syncer = Syncer(client, replica, HELLO, lambda: None)
    syncer.step()
    assert not syncer.keeps_probes


def test_the_lease_is_as_long_as_the_site_says_and_learned_anew_after_a_while(
    plane: Any, client: ControlPlane, replica: Replica, monkeypatch: pytest.MonkeyPatch
) -> None:
    lease = Lease(7, None, elapsed_s(), 0.0)
    syncer = Syncer(client, replica, HELLO, lambda: None, lease)
    syncer.step()
    assert (lease.days, replica.lease_days()) == (7, None)
    plane.lease_days = 2.0
    syncer.step()
    assert (lease.days, replica.lease_days()) == (7, None), "not with every round"
    monkeypatch.setattr(uplink, "HELLO_EVERY_S", 0.0)
    syncer = Syncer(client, replica, HELLO, lambda: None, lease)
    syncer.step()
    assert (lease.days, replica.lease_days()) == (2, 2)
    plane.lease_days = None
    syncer._round_due = 0.0
    syncer.step()
    assert (lease.days, replica.lease_days()) == (7, None)


def test_a_report_says_how_far_the_clock_is_ahead_once_it_has_been_measured(
    plane: Any, client: ControlPlane, replica: Replica
) -> None:
    syncer = Syncer(client, replica, HELLO, lambda: None)
    syncer.step()
    assert plane.reports[-1][1].clock_offset_s is None, "by a control plane that tells no time"
    plane.now = lambda: datetime.now(UTC) - timedelta(seconds=60)
    syncer = Syncer(client, replica, HELLO, lambda: None)
    syncer.step()
    assert plane.reports[-1][1].clock_offset_s == pytest.approx(60.0, abs=5.0)


def test_an_edge_goes_over_to_the_engine_that_galleries_go_by_before_it_takes_them(
    plane: Any, client: ControlPlane, replica: Replica
) -> None:
    engaged: list[str] = []

    def engage(model: str) -> Hello:
        assert replica.held[0].gallery.model == "sface"
        engaged.append(model)
        return msgspec.structs.replace(HELLO, engine=model)

    syncer = Syncer(client, replica, HELLO, lambda: None, engage=engage)
    syncer.step()
    plane.model = "face_recognition"
    again(syncer)
    assert engaged == ["face_recognition"]
    assert replica.held[0].gallery.model == "face_recognition"
    assert [hello.engine for _, hello in plane.hellos] == [HELLO.engine, "face_recognition"]
    again(syncer)
    assert engaged == ["face_recognition"]


def test_an_edge_that_cannot_load_that_engine_says_so_and_keeps_what_it_has(
    plane: Any, client: ControlPlane, replica: Replica
) -> None:
    def engage(model: str) -> Hello:
        raise Invalid("no weights here")

    syncer = Syncer(client, replica, HELLO, lambda: None, engage=engage)
    syncer.step()
    plane.model = "face_recognition"
    with pytest.raises(Invalid):
        again(syncer)
    assert "face_recognition, which cannot be used here: no weights here" in plane.reports[-1][1].error
    assert (replica.model, replica.held[0].gallery.model) == ("sface", "sface")


@pytest.mark.parametrize("held", [False, True], ids=["first sync", "change of engine"])
def test_wherever_the_line_fails_nobody_passes_whom_another_gallery_denies(
    plane: Any, gallery_log: Any, client: ControlPlane, replica: Replica, held: bool
) -> None:
    look = np.ones(DIMENSIONS, np.float32)
    for gallery, kind in (("g1", Kind.ALLOW), ("g2", Kind.DENY)):
        plane.galleries[gallery] = gallery_log(gallery, kind)
        plane.galleries[gallery].change(person(1))
    syncer = Syncer(client, replica, HELLO, lambda: None, engage=lambda model: HELLO)
    if held:
        syncer.step()
    plane.model = "face_recognition"
    for log in plane.galleries.values():
        log.change([EncodingRow(f"another of {log.id}", "i1", plane.model, to_bytes(look))])
        log.compacted_to = 2
    snapshots = iter([None])
    failed = (503, "text/plain", b"")
    plane.fail = lambda path: next(snapshots, failed) if path.endswith("snapshot") else None
    with pytest.raises(RollcallError):
        again(syncer)
    searched = [held for held in replica.held if held.gallery.model == plane.model]
    judgement = judge(searched, look, Thresholds(0.5, 0.5), NOON)
    assert (judgement.kind, judgement.status) == (Kind.DENY, Status.REJECT)


def again(syncer: Syncer) -> None:
    """A whole round, whatever the time."""
    syncer._round_due = 0.0
    syncer.step()


def test_an_edge_whose_cameras_change_introduces_itself_anew(plane: Any, syncer: Syncer) -> None:
    syncer.step()
    asked = len(plane.hellos)
    syncer.step()
    assert len(plane.hellos) == asked
    changed = msgspec.structs.replace(HELLO, cameras=["door", "gate"])
    syncer.introduce(changed)
    syncer.step()
    assert [hello for _, hello in plane.hellos[asked:]] == [changed]


def test_an_edge_that_has_changed_says_so_whatever_it_is_hinted_at(plane: Any, syncer: Syncer) -> None:
    plane.galleries["g1"].change(person(1))
    syncer.step()
    changed = msgspec.structs.replace(HELLO, cameras=["gate"])
    syncer.introduce(changed)
    syncer.hint(Hint("g1", 1))
    syncer.step()
    assert plane.hellos[-1] == (str(EDGE), changed)
