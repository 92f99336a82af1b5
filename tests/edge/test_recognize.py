from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import cv2
import numpy as np
import pytest
from msgspec import UNSET

from edge.camera import Camera
from edge.config import Pace
from edge.decide import Held, Thresholds
from edge.frames import Frame
from edge.notice import Notice
from edge.recognize import PROBES_A_LOOK, Policy, Recognizer
from faces.encoding import Matrix, distances, from_bytes
from faces.engine import Engine, images
from faces.engine.enroll import enroll
from faces.events import Event, EventKind, Status
from faces.face import Box, Face, Picture
from faces.gallery import Key, Kind

MIRANDA, LACAMOIRE, OBAMA = "Lin-Manuel Miranda", "Alex Lacamoire", "Barack Obama"
POLICY = Policy(0.5, 1.0, Thresholds(accept=0.45, named=0.6))
NOBODY: tuple[Held, ...] = ()


def frames_of(path: Path) -> list[Frame]:
    """Every frame of a film."""
    camera = Camera("stage", str(path), Pace.EVERY_FRAME)
    thread = threading.Thread(target=camera.run)
    thread.start()
    frames = []
    while not isinstance(item := camera.next(10), Notice):
        assert item is not None
        frames.append(item)
    thread.join()
    return frames


@pytest.fixture(scope="module")
def stage(data: Path) -> list[Frame]:
    return frames_of(data / "video" / "stage.mp4")


def play(recognizer: Recognizer, frames: Sequence[Frame], held: Sequence[Held]) -> list[tuple[int, Event]]:
    """The events of these frames, each with the number of the frame it came at."""
    return [(frame.number, event) for frame in frames for event in recognizer.look(frame, held).events]


def passes(events: Sequence[tuple[int, Event]]) -> list[tuple[int, str | None]]:
    return [(number, event.name) for number, event in events if event.status is Status.PASS]


@pytest.fixture
def recognizer(engine: Engine) -> Recognizer:
    return Recognizer(engine, "stage", POLICY, os.urandom)


def test_the_people_of_the_film_pass_and_nobody_else(
    recognizer: Recognizer, stage: list[Frame], held: tuple[Held, ...]
) -> None:
    events = play(recognizer, stage, held)
    found = passes(events)
    for number, name in found:
        assert name in expected(number)
    assert {name for number, name in found if number >= 82} == {MIRANDA, OBAMA}
    on_stage = [number for number, name in found if name == MIRANDA and number >= 82]
    # COOLDOWN is one second, and the film has 29.97 frames in one.
    assert np.diff(on_stage).tolist() == [30] * (len(on_stage) - 1)
    assert on_stage[0] <= 82 + 15, "half a second"
    assert len(on_stage) >= 4
    strangers = [event.distance for number, event in events if number > 211 and event.status is Status.REJECT]
    assert len(strangers) >= 4
    assert min(distance for distance in strangers if distance is not None) > 0.6, "nobody in the audience comes near"


def expected(number: int) -> tuple[str, ...]:
    """Whom a frame of the film shows."""
    if number < 20:
        return (MIRANDA, LACAMOIRE)
    if number < 82:
        return ()
    return (MIRANDA,) if number < 211 else (OBAMA,)


@pytest.mark.parametrize("first", [212, 213, 214])
def test_a_small_turned_face_passes_from_whatever_frame_the_track_begins(
    recognizer: Recognizer, stage: list[Frame], held: tuple[Held, ...], first: int
) -> None:
    found = passes(play(recognizer, stage[first:], held))
    assert {name for _, name in found} == {OBAMA}
    assert found[0][0] <= first + 15, "half a second"


def test_a_cut_begins_new_tracks(recognizer: Recognizer, stage: list[Frame], held: tuple[Held, ...]) -> None:
    before = play(recognizer, stage[180:211], held)
    after = play(recognizer, stage[211:], held)
    assert not {event.track for _, event in before} & {event.track for _, event in after}


def in_place_of(frame: Frame, box: Box, picture: Picture, face: Box, *, later: int) -> Frame:
    """What the camera shows when it cuts to another picture, whose face stands exactly where one stood before."""
    scale = box.height / face.height
    (x, y), (to_x, to_y) = face.centre, box.centre
    moved = np.array([[scale, 0, to_x - scale * x], [0, scale, to_y - scale * y]], np.float32)
    shown = np.asarray(cv2.warpAffine(picture, moved, frame.size), np.uint8)
    return replace(frame, picture=shown, number=frame.number + later, moment=frame.moment + later / 30)


def test_somebody_who_takes_another_s_place_at_a_cut_is_not_taken_for_them(
    recognizer: Recognizer, engine: Engine, data: Path, stage: list[Frame], held: tuple[Held, ...]
) -> None:
    play(recognizer, stage[82:120], held)
    (miranda,) = recognizer.look(stage[120], held).seen
    assert miranda.name == MIRANDA
    portrait = images.load((data / "portraits" / "biden.jpg").read_bytes())
    face = engine.detect(portrait)[0].box
    cut = [in_place_of(stage[120], Box(*miranda.box), portrait, face, later=later) for later in range(1, 16)]
    sights = [recognizer.look(frame, held) for frame in cut]
    assert Box(*sights[0].seen[0].box).overlap(Box(*miranda.box)) > 0.7
    assert all(seen.name != MIRANDA for sight in sights for seen in sight.seen)
    ((_, name),) = passes([(0, event) for sight in sights for event in sight.events])
    assert name == "Joe Biden"
    assert miranda.track not in {seen.track for sight in sights for seen in sight.seen}


def test_nobody_passes_on_what_another_one_looked_like(
    dlib: tuple[Engine, tuple[Held, ...]], stage: list[Frame]
) -> None:
    engine, held = dlib
    # This engine's encodings of different people lie nearer to each other than the default one's.
    found = passes(play(Recognizer(engine, "stage", POLICY, os.urandom), stage, held))
    assert all(name in expected(number) for number, name in found)
    assert MIRANDA in {name for _, name in found}


def test_a_stranger_is_one_reject_a_track(engine: Engine, data: Path, held: tuple[Held, ...]) -> None:
    recognizer = Recognizer(engine, "stage", POLICY, os.urandom)
    events = play(recognizer, frames_of(data / "video" / "signer-1.mkv"), held)
    assert [event.status for _, event in events] == [Status.REJECT]
    assert events[0][1].name is None
    assert recognizer.conclude() == []


def test_without_galleries_everybody_is_a_stranger(recognizer: Recognizer, stage: list[Frame]) -> None:
    events = play(recognizer, stage[82:130], NOBODY)
    assert [(event.status, event.distance, event.gallery_id) for _, event in events] == [(Status.REJECT, None, None)]


def test_where_the_site_keeps_them_a_strangers_encoding_comes_with_the_event(
    engine: Engine, stage: list[Frame], held: tuple[Held, ...]
) -> None:
    keeps = [False]
    recognizer = Recognizer(engine, "stage", POLICY, os.urandom, keeps_probes=lambda: keeps[0])
    (before,) = (event for _, event in play(recognizer, stage[82:130], NOBODY))
    assert before.probe is UNSET
    keeps[0] = True
    recognizer = Recognizer(engine, "stage", POLICY, os.urandom, keeps_probes=lambda: keeps[0])
    (kept,) = (event for _, event in play(recognizer, stage[82:130], NOBODY))
    assert isinstance(kept.probe, bytes)
    assert kept.engine is not None
    gallery = next(h for h in held if h.gallery.model == kept.engine)
    (found,) = gallery.gallery.nearest(from_bytes(kept.probe), 1)
    assert (found.name, found.distance < 0.45) == (MIRANDA, True)
    assert kept.thumbnail is not None
    again = enroll(engine, kept.thumbnail).encoding
    assert distances(engine.model, again[None, :], from_bytes(kept.probe)[None, :])[0, 0] < 0.3, "it will do as a photo"
    passed = [event for _, event in play(recognizer, stage[130:180], held) if event.status is Status.PASS]
    assert passed
    assert {event.probe for event in passed} == {UNSET}


def test_somebody_enrolled_while_standing_there_passes_at_once(
    recognizer: Recognizer, stage: list[Frame], held: tuple[Held, ...]
) -> None:
    assert passes(play(recognizer, stage[82:130], NOBODY)) == []
    assert passes(play(recognizer, stage[130:135], held))[0] == (130, MIRANDA)


def test_somebody_erased_gives_no_further_pass_and_no_name(
    recognizer: Recognizer, stage: list[Frame], held: tuple[Held, ...]
) -> None:
    assert passes(play(recognizer, stage[82:130], held))
    (gallery,) = held
    without = (replace(gallery, gallery=gallery.gallery.changed((), [Key("identity", MIRANDA.lower())])),)
    for frame in stage[130:210]:
        sight = recognizer.look(frame, without)
        assert all(event.status is not Status.PASS for event in sight.events)
        assert all(seen.name != MIRANDA for seen in sight.seen)


def test_the_stream_names_a_face_once_it_is_sure(
    recognizer: Recognizer, stage: list[Frame], held: tuple[Held, ...]
) -> None:
    first = recognizer.look(stage[82], held).seen[0]
    assert (first.status, first.name) == (Status.REJECT, None)
    play(recognizer, stage[83:100], held)
    seen = recognizer.look(stage[100], held).seen[0]
    assert (seen.status, seen.name) == (Status.PASS, MIRANDA)
    assert seen.distance is not None
    assert seen.distance <= 0.45


def test_an_event_says_what_decided_it(recognizer: Recognizer, stage: list[Frame], held: tuple[Held, ...]) -> None:
    ((number, event), *_) = play(recognizer, stage[82:100], held)
    assert (event.camera, event.status, event.name) == ("stage", Status.PASS, MIRANDA)
    assert event.identity_id == MIRANDA.lower()
    assert event.captured_at == stage[number].captured_at
    assert event.id.version == 7
    assert event.picture == (640, 360)
    assert event.box is not None
    assert event.box[0] < event.box[2] <= 640
    assert event.distance is not None
    assert event.runner_up_distance is not None
    assert event.distance <= 0.45 < 0.6 < event.runner_up_distance
    assert (event.engine, event.gallery_id, event.gallery_revision, event.threshold) == ("sface", "g1", 9, 0.45)
    assert event.thumbnail is not None
    assert max(images.load(event.thumbnail).shape) <= 128


def test_a_lost_camera_ends_all_tracks(engine: Engine, stage: list[Frame], held: tuple[Held, ...]) -> None:
    strict = replace(POLICY, thresholds=Thresholds(accept=0.2, named=0.6))
    recognizer = Recognizer(engine, "stage", strict, os.urandom)
    assert play(recognizer, stage[82:100], held) == []
    (end,) = recognizer.conclude()
    assert (end.status, end.name, end.threshold) == (Status.REJECT, MIRANDA, 0.2)
    assert end.captured_at in {frame.captured_at for frame in stage[82:100]}
    assert end.thumbnail is not None
    assert recognizer.conclude() == []


class Counting:
    """The real engine, counting what it is asked for."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.name, self.model, self.th_accept = engine.name, engine.model, engine.th_accept
        self.detected = 0
        self.encoded = 0
        self.mirrored = 0

    def detect(self, picture: Picture, scale: float = 1.0) -> list[Face]:
        self.detected += 1
        return self._engine.detect(picture, scale)

    def refine(self, picture: Picture, face: Face) -> Face | None:
        return self._engine.refine(picture, face)

    def encode(self, picture: Picture, faces: Sequence[Face], *, mirror: bool = False) -> Matrix:
        self.encoded += len(faces)
        self.mirrored += mirror
        return self._engine.encode(picture, faces, mirror=mirror)

    def sharpness(self, picture: Picture, face: Face) -> float:
        return self._engine.sharpness(picture, face)


def test_a_face_that_is_decided_costs_one_encoding_a_second(
    engine: Engine, stage: list[Frame], held: tuple[Held, ...]
) -> None:
    counting = Counting(engine)
    recognizer = Recognizer(counting, "stage", POLICY, os.urandom)
    play(recognizer, stage[82:91], held)
    before = counting.encoded
    play(recognizer, stage[91:210], held)
    assert counting.encoded - before <= 5, "in four seconds"


def test_a_face_is_followed_with_fewer_detections_than_frames(
    engine: Engine, stage: list[Frame], held: tuple[Held, ...]
) -> None:
    counting = Counting(engine)
    recognizer = Recognizer(counting, "stage", POLICY, os.urandom)
    sights = [recognizer.look(frame, held) for frame in stage[82:202]]
    assert 120 / 3 <= counting.detected <= 120 / 3 + 10
    assert all(MIRANDA in [seen.name for seen in sight.seen] for sight in sights[8:])


def noisy(stage: list[Frame], number: int, picture: Picture) -> Frame:
    """The frame of that number of a camera that shows this picture, with its sensor's noise."""
    chance = np.random.default_rng(number)
    noise = chance.normal(0, 3, picture.shape)
    moment = stage[0].moment + number / 30
    return replace(
        stage[0],
        number=number,
        moment=moment,
        captured_at=stage[0].captured_at + timedelta(seconds=number / 30),
        picture=np.clip(picture + noise, 0, 255).astype(np.uint8),
    )


def test_a_still_scene_costs_one_detection_a_second_and_whoever_comes_is_found_at_once(
    engine: Engine, stage: list[Frame], held: tuple[Held, ...]
) -> None:
    counting = Counting(engine)
    recognizer = Recognizer(counting, "stage", POLICY, os.urandom)
    empty = np.full_like(stage[100].picture, 90)
    sights = [recognizer.look(noisy(stage, number, empty), held) for number in range(150)]
    assert counting.detected <= 6, "in five seconds"
    assert recognizer.still
    assert not any(sight.seen for sight in sights)
    (box,) = [face.box for face in engine.detect(stage[100].picture)[:1]]
    somebody = empty.copy()
    area = box.grown(1.3).clipped(640, 360)
    somebody[area.y1 : area.y2, area.x1 : area.x2] = stage[100].picture[area.y1 : area.y2, area.x1 : area.x2]
    assert recognizer.look(noisy(stage, 150, somebody), held).seen
    assert not recognizer.still


def test_somebody_who_keeps_still_is_decided_and_passes_again_as_before(
    engine: Engine, stage: list[Frame], held: tuple[Held, ...]
) -> None:
    counting = Counting(engine)
    recognizer = Recognizer(counting, "stage", POLICY, os.urandom)
    frames = [noisy(stage, number, stage[100].picture) for number in range(240)]
    sights = [recognizer.look(frame, held) for frame in frames]
    numbers = [frame.number for frame, sight in zip(frames, sights, strict=True) for event in sight.events]
    assert len(numbers) >= 7
    assert np.diff(numbers).tolist() == [30] * (len(numbers) - 1), "COOLDOWN is a second"
    assert counting.detected <= 25, "in eight seconds"
    assert {seen.name for sight in sights[30:] for seen in sight.seen} == {MIRANDA}
    assert {seen.track for sight in sights for seen in sight.seen} == {1}


def test_a_crowd_is_encoded_a_few_at_a_time_and_nobody_is_left_out(
    engine: Engine, stage: list[Frame], held: tuple[Held, ...]
) -> None:
    counting = Counting(engine)
    recognizer = Recognizer(counting, "stage", POLICY, os.urandom)
    at_once, crowd = [], 0
    for frame in stage[211:241]:
        before = counting.encoded
        crowd = max(crowd, len(recognizer.look(frame, held).seen))
        at_once.append(counting.encoded - before)
    assert max(at_once) == PROBES_A_LOOK
    assert crowd > PROBES_A_LOOK
    assert all(track.taken or track.failures for track in recognizer._tracker.tracks)


def test_where_frames_come_seldom_one_face_of_each_is_encoded(
    engine: Engine, stage: list[Frame], held: tuple[Held, ...]
) -> None:
    counting = Counting(engine)
    recognizer = Recognizer(counting, "stage", POLICY, os.urandom)
    for number, frame in enumerate(stage[211:271:6], start=1):
        recognizer.look(frame, held)
        assert counting.encoded <= number


def test_a_cut_is_looked_at_at_once(engine: Engine, stage: list[Frame], held: tuple[Held, ...]) -> None:
    counting = Counting(engine)
    recognizer = Recognizer(counting, "stage", POLICY, os.urandom)
    recognizer.look(stage[210], held)
    assert len(recognizer.look(stage[211], held).seen) > 1
    assert counting.detected == 2


def test_a_stranger_who_stays_is_looked_at_ever_less(engine: Engine, stage: list[Frame]) -> None:
    counting = Counting(engine)
    recognizer = Recognizer(counting, "stage", POLICY, os.urandom)
    still = [replace(stage[90], number=n, moment=n / 30) for n in range(900)]
    play(recognizer, still, NOBODY)
    assert counting.encoded == 3 + 5, "sure after three; then again after 1, 2, 4, 8 and 8 seconds"


def test_a_doubtful_face_is_looked_at_twice(engine: Engine, stage: list[Frame], held: tuple[Held, ...]) -> None:
    counting = Counting(engine)
    recognizer = Recognizer(counting, "stage", POLICY, os.urandom)
    recognizer.look(stage[211], held)
    assert counting.mirrored == 0
    play(recognizer, stage[212:222], held)
    assert counting.mirrored > 0


def blurred(picture: Picture) -> Picture:
    return np.asarray(cv2.GaussianBlur(picture, (0, 0), 4), np.uint8)


def small(picture: Picture) -> Picture:
    return images.shrink(picture, 160)


@pytest.mark.parametrize("spoil", [blurred, small])
def test_a_face_too_small_or_blurred_is_seen_but_never_encoded_nor_named(
    engine: Engine, stage: list[Frame], held: tuple[Held, ...], spoil: Callable[[Picture], Picture]
) -> None:
    counting = Counting(engine)
    recognizer = Recognizer(counting, "stage", POLICY, os.urandom)
    sights = [recognizer.look(replace(frame, picture=spoil(frame.picture)), held) for frame in stage[82:110]]
    assert counting.encoded == 0
    assert {seen.name for sight in sights for seen in sight.seen} == {None}
    assert recognizer.conclude() == []


def test_when_the_lease_ends_in_mid_track_nobody_passes_until_it_is_renewed(
    recognizer: Recognizer, stage: list[Frame], held: tuple[Held, ...]
) -> None:
    admitted = {frame.number: not 120 <= frame.number < 170 for frame in stage[82:211]}
    events = [
        (frame.number, event)
        for frame in stage[82:211]
        for event in recognizer.look(frame, held, admits=admitted[frame.number]).events
    ]
    assert {admitted[number] for number, _ in passes(events)} == {True}
    assert {event.name for number, event in events if event.reason == "lease_expired"} == {MIRANDA}
    assert not any(admitted[number] for number, event in events if event.reason == "lease_expired")
    assert max(number for number, _ in passes(events)) >= 170


def test_somebody_watched_is_a_sighting_without_a_verdict_and_no_pass_on_the_stream(
    recognizer: Recognizer, stage: list[Frame], held: tuple[Held, ...]
) -> None:
    watched = (replace(held[0], kind=Kind.WATCH),)
    sights = [recognizer.look(frame, watched) for frame in stage[82:150]]
    sightings = [event for sight in sights for event in sight.events if event.identity_id]
    assert {event.name for event in sightings} >= {MIRANDA}
    assert {(event.kind, event.status, event.reason) for event in sightings} == {(EventKind.SIGHTING, None, "watch")}
    named = [seen for sight in sights for seen in sight.seen if seen.name == MIRANDA]
    assert {seen.status for seen in named} == {Status.REJECT}
