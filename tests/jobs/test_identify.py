from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from control_plane.store import galleries, identifications, identities, members
from control_plane.store.db import new_id
from control_plane.store.enrollments import LEASE, MAX_ATTEMPTS
from control_plane.store.identifications import Identification, State
from faces.engine import Engine
from faces.errors import NotFound, Reason
from faces.events import Status
from faces.gallery import Kind, SettingsRow
from jobs.copies import Copies
from jobs.identify import Identifying
from tests.conftest import NOW
from tests.jobs.test_encode import Desk, desk

__all__ = ["desk"]

G = galleries.DEFAULT_GALLERY
KEEP = timedelta(seconds=60)


class Counter:
    """Asks who is on a photo, and has the real job answer."""

    def __init__(self, desk: Desk, engine: Engine) -> None:
        self.desk, self.now = desk, datetime.now(UTC)
        self.job = Identifying(desk.database, desk.blobs, engine, Copies(engine.model), lambda: self.now, keep=KEEP)

    def submit(self, photo: str | bytes, *galleries_: str) -> str:
        data = photo if isinstance(photo, bytes) else (self.desk.photos / photo).read_bytes()
        blob = f"probes/{new_id(NOW)}"
        self.desk.blobs.put(blob, data)
        with self.desk.database.write() as connection:
            return identifications.submit(connection, self.now, galleries=galleries_ or (G,), blob=blob)

    def shown(self, row: str) -> Identification:
        with self.desk.database.read() as connection:
            return identifications.get(connection, row)

    def ask(self, photo: str | bytes, *galleries_: str) -> Identification:
        row = self.submit(photo, *galleries_)
        self.job.run(row)
        return self.shown(row)


@pytest.fixture
def counter(desk: Desk, engine: Engine) -> Counter:
    return Counter(desk, engine)


def test_an_enrolled_person_is_identified_on_another_photo_and_a_stranger_is_not(counter: Counter) -> None:
    ann = counter.desk.enroll("obama.jpg", name="Ann").identity_id
    counter.desk.enroll("alex-lacamoire.png", name="Bob")
    found = counter.ask("obama2.jpg")
    (face,) = found.faces
    assert (found.state, found.engine, face.status, face.reason) == (State.DONE, "sface", Status.PASS, None)
    assert face.match is not None
    assert (face.match.identity_id, face.match.name, face.match.threshold) == (ann, "Ann", 0.45)
    assert [c.name for c in face.candidates] == ["Ann", "Bob"]
    assert face.candidates[0].distance < 0.45 < face.candidates[1].distance
    (stranger,) = counter.ask("biden.jpg").faces
    assert (stranger.status, stranger.match, len(stranger.candidates)) == (Status.REJECT, None, 2)


def test_every_face_of_a_photo_is_told_the_most_prominent_first(counter: Counter) -> None:
    found = counter.ask("two_people.jpg")
    assert len(found.faces) == 2
    assert all(f.box[2] > f.box[0] and f.quality["size_px"] > 0 and f.candidates == [] for f in found.faces)


def test_deny_wins_and_each_gallery_has_its_own_threshold(counter: Counter) -> None:
    ann = counter.desk.enroll("obama.jpg", name="Ann").identity_id or ""
    with counter.desk.database.write() as connection:
        galleries.create(connection, SettingsRow("banned", "banned", Kind.DENY, 0.5), NOW)
        members.join(connection, "banned", ann, NOW)
    (face,) = counter.ask("obama2.jpg", G, "banned").faces
    assert face.match is not None
    assert (face.status, face.match.kind, face.match.threshold) == (Status.REJECT, Kind.DENY, 0.5)
    (allowed,) = counter.ask("obama2.jpg").faces
    assert allowed.status is Status.PASS
    assert counter.ask("obama2.jpg", "gone").faces[0].candidates == []


def test_who_is_erased_or_renamed_meanwhile_is_told_as_they_are_now(counter: Counter) -> None:
    ann = counter.desk.enroll("obama.jpg", name="Ann").identity_id or ""
    found = counter.ask("obama2.jpg")
    with counter.desk.database.write() as connection:
        identities.update(connection, ann, NOW, name="Anna")
    assert counter.shown(found.id).faces[0].candidates[0].name == "Anna"
    with counter.desk.database.write() as connection:
        identities.erase(connection, ann, NOW)
    (face,) = counter.shown(found.id).faces
    assert (face.candidates, face.match, face.status) == ([], None, Status.REJECT)


@pytest.mark.parametrize("photo", ["obama2.jpg", b"GIF89a nonsense"])
def test_the_photo_is_gone_at_once_and_the_answer_after_a_while_from_the_file_too(
    counter: Counter, photo: str | bytes, tmp_path: Path
) -> None:
    found = counter.ask(photo)
    assert counter.desk.files() == 0
    database = counter.desk.database

    def old() -> list[str]:
        with database.read() as connection:
            return identifications.old(connection, counter.now)

    counter.now += KEEP / 2
    assert old() == []
    counter.now += KEEP
    assert old() == [found.id]
    counter.job.forget(found.id)
    with pytest.raises(NotFound):
        counter.shown(found.id)
    for path in tmp_path.glob("rollcall.db*"):
        assert found.id.encode() not in path.read_bytes()


def test_a_photo_without_a_face_is_refused_with_the_reason(counter: Counter) -> None:
    found = counter.ask(b"GIF89a nonsense")
    assert (found.state, found.reason, found.faces) == (State.REFUSED, Reason.NOT_AN_IMAGE, [])


def test_running_twice_and_a_lost_lease_write_nothing_more(counter: Counter) -> None:
    row = counter.submit("obama.jpg")
    counter.job.run(row)
    first = counter.shown(row)
    counter.job.run(row)
    assert counter.shown(row) == first


def test_a_photo_on_which_workers_die_is_given_up_in_the_end(counter: Counter) -> None:
    row = counter.submit("obama.jpg")
    with counter.desk.database.write() as connection:
        for _ in range(MAX_ATTEMPTS):
            assert identifications.claim(connection, row, "dies", counter.now)
            counter.now += LEASE
    counter.job.run(row)
    assert counter.shown(row).reason is Reason.INTERNAL
