from __future__ import annotations

import base64
import json
from datetime import UTC, datetime

import pytest

from control_plane.fanout import Fanout, Frame, Lens, Mailbox
from faces.events import Status
from faces.wire import FrameHeader, Seen, unpack_frame

DOOR, YARD = Lens("e1", "door"), Lens("e1", "yard")
AT = datetime(2026, 1, 1, 12, 0, 0, 700_000, tzinfo=UTC)
JPEG = b"\xff\xd8picture"


def frame(*faces: Seen, camera: str = "door") -> Frame:
    header = FrameHeader(camera=camera, captured_at=AT, width=64, height=36, faces=list(faces), site="here", edge="e1")
    return Frame(header, memoryview(JPEG))


class Watcher:
    def __init__(self) -> None:
        self.woken = 0
        self.mailbox = Mailbox(self.wake)

    def wake(self) -> None:
        self.woken += 1


def test_of_the_frames_of_one_camera_the_newest_waits() -> None:
    watcher, fanout, frames = Watcher(), Fanout(lambda _: None), [frame() for _ in range(1000)]
    fanout.watch(watcher.mailbox, DOOR)
    for each in frames:
        fanout.publish(DOOR, each)
    assert watcher.mailbox.take() == [frames[-1]]
    assert watcher.mailbox.take() == []


def test_a_watcher_that_never_takes_holds_one_frame_a_camera_and_delays_nobody() -> None:
    slow, quick, fanout = Watcher(), Watcher(), Fanout(lambda _: None)
    for watcher in (slow, quick):
        fanout.watch(watcher.mailbox, DOOR)
        fanout.watch(watcher.mailbox, YARD)
    taken = []
    for _ in range(50):
        for lens in (DOOR, YARD):
            fanout.publish(lens, frame(camera=lens.camera))
            taken += quick.mailbox.take()
    assert len(taken) == 100
    assert quick.woken == 100
    assert len(slow.mailbox.take()) == 2


def test_only_what_is_watched_is_sent() -> None:
    watcher, fanout = Watcher(), Fanout(lambda _: None)
    fanout.watch(watcher.mailbox, DOOR)
    fanout.publish(YARD, frame(camera="yard"))
    fanout.publish(Lens("e2", "door"), frame())
    assert watcher.mailbox.take() == []


def test_a_camera_is_watched_until_its_last_watcher_leaves_and_its_edge_is_told_each_time() -> None:
    told: list[str] = []
    one, two, fanout = Watcher(), Watcher(), Fanout(told.append)
    fanout.watch(one.mailbox, DOOR)
    fanout.watch(two.mailbox, DOOR)
    fanout.unwatch(one.mailbox, [DOOR])
    assert fanout.watched("e1") == {"door"}
    fanout.unwatch(two.mailbox, [DOOR])
    fanout.unwatch(two.mailbox, [DOOR])
    assert fanout.watched("e1") == set()
    assert set(told) == {"e1"}
    assert len(told) >= 4


def test_a_frame_that_waits_is_forgotten_with_its_camera() -> None:
    watcher, fanout = Watcher(), Fanout(lambda _: None)
    fanout.watch(watcher.mailbox, DOOR)
    fanout.publish(DOOR, frame())
    fanout.unwatch(watcher.mailbox, [DOOR])
    assert watcher.mailbox.take() == []


def test_each_form_of_a_frame_is_made_once() -> None:
    one = frame()
    assert one.packed is one.packed
    assert one.original is one.original
    header, jpeg = unpack_frame(one.packed)
    assert (header.camera, header.site, bytes(jpeg)) == ("door", "here", JPEG)


def test_a_frame_without_a_face_is_the_originals_message_of_nobody() -> None:
    assert json.loads(frame().original) == {
        "type": "face_event",
        "name": None,
        "distance": None,
        "status": "NO_FACE",
        "box": None,
        "timestamp": int(AT.timestamp()),
        "frame": base64.b64encode(JPEG).decode(),
        "faces": [],
        "site": "here",
        "camera": "door",
    }


def test_the_first_face_stands_in_the_originals_fields_and_all_in_faces() -> None:
    known = Seen(box=(1, 2, 30, 40), status=Status.PASS, name="katya", identity_id="p1", distance=0.41234, track=7)
    stranger = Seen(box=(5, 6, 7, 8), status=Status.REJECT, distance=0.9)
    told = json.loads(frame(known, stranger).original)
    assert [told[k] for k in ("name", "distance", "status", "box")] == ["katya", 0.4123, "PASS", [1, 2, 30, 40]]
    assert [(f["name"], f["status"]) for f in told["faces"]] == [("katya", "PASS"), ("UNKNOWN", "REJECT")]


def test_a_face_without_a_name_is_unknown() -> None:
    told = json.loads(frame(Seen(box=(0, 0, 1, 1), status=Status.REJECT)).original)
    assert (told["name"], told["distance"], told["status"]) == ("UNKNOWN", None, "REJECT")


@pytest.mark.parametrize("camera", ["door", "yard"])
def test_cameras_of_one_name_at_two_edges_are_two(camera: str) -> None:
    watcher, fanout = Watcher(), Fanout(lambda _: None)
    fanout.watch(watcher.mailbox, Lens("e1", camera))
    assert fanout.watched("e2") == set()
    assert fanout.watched("e1") == {camera}


def test_a_slower_pace_takes_every_so_many_th_frame_and_never_lags() -> None:
    for fps, shown in ((10.0, 100), (5.0, 50), (4.0, 40), (None, 150), (60.0, 150)):
        now = 0.0
        fanout = Fanout(lambda _: None, clock=lambda: now)  # noqa: B023
        watcher = Watcher()
        fanout.watch(watcher.mailbox, DOOR, fps)
        for number in range(150):
            now = number / 15
            fanout.publish(DOOR, frame())
        assert watcher.woken == pytest.approx(shown, abs=2)


def test_after_a_pause_a_slower_pace_makes_up_for_nothing() -> None:
    now = 0.0
    fanout, watcher = Fanout(lambda _: None, clock=lambda: now), Watcher()
    fanout.watch(watcher.mailbox, DOOR, 1.0)
    fanout.publish(DOOR, frame())
    now = 100.0
    for _ in range(20):
        now += 0.1
        fanout.publish(DOOR, frame())
    assert watcher.woken <= 5


def test_what_is_watched_elsewhere_alone_is_not_watched_here_and_what_came_from_there_does_not_go_back() -> None:
    here, fanout = Watcher(), Fanout(lambda _: None)
    there = Mailbox(lambda: None, elsewhere=True)
    fanout.watch(there, DOOR)
    assert fanout.watched("e1") == {"door"}
    assert fanout.watched_here() == frozenset()
    fanout.watch(here.mailbox, DOOR)
    assert fanout.watched_here() == {DOOR}
    fanout.publish(DOOR, frame(), pass_on=False)
    assert (len(here.mailbox.take()), len(there.take())) == (1, 0)
    fanout.publish(DOOR, frame())
    assert (len(here.mailbox.take()), len(there.take())) == (1, 1)
