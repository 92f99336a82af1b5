from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

import pytest
import sqlalchemy as sa

from control_plane.store import enrollments, galleries, identities
from control_plane.store.blobs import BlobStore
from control_plane.store.db import Database, new_id
from control_plane.store.enrollments import Enrollment, State
from faces.consent import Consent
from faces.engine import Engine
from faces.errors import Reason
from jobs import encode
from jobs.admission import Admission
from jobs.copies import Copies
from jobs.encode import Encoding
from tests.conftest import NOW

G = galleries.DEFAULT_GALLERY


class Desk:
    """Puts photos forward and has the real job decide, on a real database, with the real engine."""

    def __init__(self, database: Database, blobs: BlobStore, engine: Engine, photos: Path) -> None:
        self.database, self.blobs, self.photos = database, blobs, photos
        self.encoding = Encoding(database, blobs, engine, lambda: datetime.now(UTC))

    def require_consent(self, engine: Engine) -> None:
        admission = Admission(Copies(engine.model), engine.model, engine.th_accept, require_consent=True)
        self.encoding = Encoding(self.database, self.blobs, engine, lambda: datetime.now(UTC), admission=admission)

    def submit(self, photo: str | bytes, **whom: object) -> str:
        data = photo if isinstance(photo, bytes) else (self.photos / photo).read_bytes()
        blob = f"photos/{new_id(NOW)}"
        self.blobs.put(blob, data)
        with self.database.write() as connection:
            return enrollments.submit(
                connection,
                NOW,
                gallery_id=G,
                blob=blob,
                sha256=sha256(data).hexdigest(),
                **whom,  # type: ignore[arg-type]
            )

    def outcome(self, row: str) -> Enrollment:
        with self.database.read() as connection:
            return enrollments.get(connection, row)

    def enroll(self, photo: str | bytes, **whom: object) -> Enrollment:
        row = self.submit(photo, **whom)
        self.encoding.run(row)
        return self.outcome(row)

    def files(self) -> int:
        return sum(1 for p in self.blobs.path("photos/00").parents[2].rglob("*") if p.is_file())


@pytest.fixture
def desk(store: Database, tmp_path: Path, engine: Engine, data: Path) -> Desk:
    return Desk(store, BlobStore(tmp_path / "blobs", store.vault), engine, data / "portraits")


def test_a_photo_of_a_new_name_makes_a_person_with_an_encoding(desk: Desk) -> None:
    found = desk.enroll("obama.jpg", name="Obama")
    assert (found.state, found.name) == (State.ACCEPTED, "Obama")
    with desk.database.read() as connection:
        person = identities.get(connection, found.identity_id or "")
        assert (person.name, person.photos, person.galleries) == ("Obama", 1, [G])
        (photo,) = identities.photos_of(connection, person.id)
        assert photo.id == found.photo_id
        assert galleries.recomputed_checksum(connection, G) == galleries.position(connection, G).checksum
    assert desk.files() == 1


def test_the_same_name_again_is_one_more_encoding_of_that_person(desk: Desk) -> None:
    first, second = (desk.enroll(photo, name="Obama") for photo in ("obama.jpg", "obama2.jpg"))
    assert first.identity_id == second.identity_id
    with desk.database.read() as connection:
        assert identities.get(connection, first.identity_id or "").photos == 2


def test_enrolling_somebody_deletes_nobody(desk: Desk) -> None:
    for photo, name in (("obama.jpg", "Obama"), ("biden.jpg", "Biden"), ("lin-manuel-miranda.png", "Miranda")):
        assert desk.enroll(photo, name=name).state == State.ACCEPTED
    with desk.database.read() as connection:
        assert identities.names(connection, G) == ["Obama", "Biden", "Miranda"]


def test_a_look_alike_is_refused_with_its_candidate_and_force_enrols_it(desk: Desk) -> None:
    obama = desk.enroll("obama.jpg", name="Obama")
    again = desk.enroll("obama2.jpg", name="Somebody else")
    assert (again.state, again.reason) == (State.REFUSED, Reason.LOOK_ALIKE)
    assert again.detail is not None
    assert (again.detail["identity_id"], again.detail["name"]) == (obama.identity_id, "Obama")
    assert again.detail["distance"] <= 0.45
    assert desk.enroll("obama2.jpg", name="Somebody else", force=True).state == State.ACCEPTED


def test_a_photo_far_from_the_persons_own_is_refused_and_force_enrols_it(desk: Desk) -> None:
    obama = desk.enroll("obama.jpg", name="Obama")
    other = desk.enroll("biden.jpg", name="Obama")
    assert (other.state, other.reason) == (State.REFUSED, Reason.NOT_SAME_PERSON)
    assert other.detail is not None
    assert other.detail["distance"] > 0.7
    assert desk.enroll("biden.jpg", identity_id=obama.identity_id, force=True).state == State.ACCEPTED


@pytest.mark.parametrize(
    ("photo", "reason"), [("two_people.jpg", Reason.SEVERAL_FACES), (b"GIF89a nonsense", Reason.NOT_AN_IMAGE)]
)
def test_a_refused_photo_leaves_a_reason_and_nothing_else(desk: Desk, photo: str | bytes, reason: Reason) -> None:
    found = desk.enroll(photo, name="Nobody")
    assert (found.state, found.reason) == (State.REFUSED, reason)
    assert found.message
    assert desk.files() == 0
    with desk.database.read() as connection:
        assert identities.listing(connection) == []
        assert galleries.position(connection, G).revision == 1


def test_a_name_that_several_bear_is_refused(desk: Desk) -> None:
    with desk.database.write() as connection:
        for _ in range(2):
            identities.create(connection, "Ann", [G], NOW)
    assert desk.enroll("obama.jpg", name="Ann").reason == Reason.AMBIGUOUS_NAME


def test_a_photo_of_somebody_erased_meanwhile_is_refused(desk: Desk) -> None:
    assert desk.enroll("obama.jpg", identity_id="gone").reason == Reason.IDENTITY_ERASED


def test_running_twice_enrols_once(desk: Desk) -> None:
    row = desk.submit("obama.jpg", name="Obama")
    desk.encoding.run(row)
    desk.encoding.run(row)
    with desk.database.read() as connection:
        (person,) = identities.listing(connection)
    assert person.photos == 1


def test_a_worker_that_lost_its_lease_writes_nothing(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, engine: Engine
) -> None:
    row = desk.submit("obama.jpg", name="Obama")

    def stolen(look: Callable[..., object]) -> Callable[..., object]:
        def wrapper(*args: object, **kwargs: object) -> object:
            found = look(*args, **kwargs)
            with desk.database.write() as connection:
                enrollments.claim(connection, row, "a thief", datetime.now(UTC) + enrollments.LEASE)
            return found

        return wrapper

    monkeypatch.setattr("jobs.encode.enroll", stolen(encode.enroll))
    desk.encoding.run(row)
    assert desk.outcome(row).state == State.PENDING
    with desk.database.read() as connection:
        assert identities.listing(connection) == []


def test_a_photo_on_which_workers_die_is_given_up_in_the_end(desk: Desk) -> None:
    row, now = desk.submit("obama.jpg", name="Obama"), NOW
    with desk.database.write() as connection:
        for _ in range(enrollments.MAX_ATTEMPTS):
            assert enrollments.claim(connection, row, "dies", now)
            now += enrollments.LEASE
    desk.encoding.run(row)
    assert desk.outcome(row).reason == Reason.INTERNAL


def test_two_workers_agree_as_each_follows_the_change_log(desk: Desk, engine: Engine) -> None:
    other = Desk(desk.database, desk.blobs, engine, desk.photos)
    desk.enroll("obama.jpg", name="Obama")
    assert other.enroll("obama2.jpg", name="Somebody").reason == Reason.LOOK_ALIKE
    other.enroll("biden.jpg", name="Biden")
    assert desk.enroll("biden.jpg", name="Another").reason == Reason.LOOK_ALIKE


def test_without_consent_in_force_nobody_is_enrolled_where_it_is_required_not_even_by_force(
    desk: Desk, engine: Engine
) -> None:
    desk.require_consent(engine)
    nobody = desk.enroll("obama.jpg", name="Obama", force=True)
    assert (nobody.state, nobody.reason) == (State.REFUSED, Reason.CONSENT_MISSING)
    assert "consent_basis" in (nobody.remedy or "")
    ended, given = Consent(basis="contract", until=NOW), Consent(basis="contract")
    with desk.database.write() as connection:
        past = identities.create(connection, "Past", [G], NOW, consent=ended)
        identities.create(connection, "Obama", [G], NOW, consent=given)
    assert desk.enroll("biden.jpg", identity_id=past, name="Past").reason is Reason.CONSENT_MISSING
    assert desk.enroll("obama.jpg", name="Obama").state is State.ACCEPTED
    assert desk.files() == 1


@pytest.mark.parametrize("database", ["postgres"], indirect=True)
def test_an_enrolment_whose_transaction_is_lost_is_done_again_at_once(
    database: Database, tmp_path: Path, engine: Engine, data: Path
) -> None:
    desk = Desk(database, BlobStore(tmp_path / "blobs", database.vault), engine, data / "portraits")
    cut: list[int] = []

    def lose(connection: sa.Connection, _cursor: object, statement: str, *_: object) -> None:
        if "INSERT INTO audit" in statement and not cut:
            cut.append(connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one())
            with database.read() as other:
                other.execute(sa.text("SELECT pg_terminate_backend(:pid, 5000)"), {"pid": cut[0]})

    row = desk.submit("obama.jpg", name="Obama")
    sa.event.listen(database.engine, "before_cursor_execute", lose)
    desk.encoding.run(row)
    assert cut
    assert desk.outcome(row).state == State.ACCEPTED
    with database.read() as connection:
        assert identities.get(connection, desk.outcome(row).identity_id or "").photos == 1
