from __future__ import annotations

import pytest

from control_plane.store import corrections, galleries
from control_plane.store.enrollments import Purpose, State
from edge.frames import thumbnail
from faces.engine import Engine, images
from faces.engine.enroll import enroll
from faces.errors import Reason
from jobs.copies import Copies
from tests.jobs.test_encode import Desk, desk

__all__ = ["desk"]

G = galleries.DEFAULT_GALLERY


def test_who_was_taken_for_somebody_is_no_more_and_she_still_is(desk: Desk, engine: Engine) -> None:
    ann = desk.enroll("obama.jpg", name="Ann").identity_id or ""
    probe = enroll(engine, (desk.photos / "biden.jpg").read_bytes()).encoding[None]
    found = desk.enroll("biden.jpg", identity_id=ann, kind=Purpose.CORRECTION)
    assert (found.state, found.photo_id) == (State.ACCEPTED, None)
    with desk.database.write() as connection:
        assert [c.id for c in corrections.listing(connection, ann)] == [found.correction_id]
        gallery = Copies(engine.model).at(connection, G)
        assert galleries.recomputed_checksum(connection, G) == galleries.position(connection, G).checksum
    assert gallery.search(probe)[0].nearest is None
    own = enroll(engine, (desk.photos / "obama2.jpg").read_bytes()).encoding[None]
    nearest = gallery.search(own)[0].nearest
    assert nearest is not None
    assert nearest.name == "Ann"
    assert desk.files() == 1


@pytest.mark.parametrize("photo", ["obama.jpg", "obama2.jpg"])
def test_a_correction_by_her_own_face_is_refused(desk: Desk, photo: str) -> None:
    ann = desk.enroll("obama.jpg", name="Ann").identity_id
    found = desk.enroll(photo, identity_id=ann, kind=Purpose.CORRECTION)
    assert (found.state, found.reason) == (State.REFUSED, Reason.CORRECTION_TOO_CLOSE)
    assert desk.files() == 1


def test_a_correction_of_somebody_erased_meanwhile_is_refused(desk: Desk) -> None:
    found = desk.enroll("biden.jpg", identity_id="gone", kind=Purpose.CORRECTION)
    assert found.reason is Reason.IDENTITY_ERASED
    assert desk.files() == 0


def test_an_events_small_picture_serves_as_well_as_the_photo_it_was_cut_from(desk: Desk, engine: Engine) -> None:
    ann = desk.enroll("obama.jpg", name="Ann").identity_id
    photo = (desk.photos / "biden.jpg").read_bytes()
    whole = enroll(engine, photo)
    small = images.jpeg(thumbnail(images.load(photo), whole.face.box), 80)
    assert 1 - whole.encoding @ enroll(engine, small).encoding < 0.1
    assert desk.enroll(small, identity_id=ann, kind=Purpose.CORRECTION).state is State.ACCEPTED


def test_an_events_picture_that_is_too_small_is_refused_for_that(desk: Desk) -> None:
    ann = desk.enroll("obama.jpg", name="Ann").identity_id
    picture = images.shrink(images.load((desk.photos / "biden.jpg").read_bytes()), 100)
    found = desk.enroll(images.jpeg(picture, 80), identity_id=ann, kind=Purpose.CORRECTION)
    assert found.reason in (Reason.FACE_TOO_SMALL, Reason.NO_FACE)
