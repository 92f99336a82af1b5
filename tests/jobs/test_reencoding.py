"""Changing the engine on real photos with both engines, while an edge's replica follows."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from control_plane.store import enrollments, galleries, identities, imports, merges, reencodings
from control_plane.store.db import Connection
from control_plane.store.reencodings import State
from control_plane.store.tables import encodings, reencoding_chunks
from edge.replica import Replica
from faces import engine as engines
from faces.encoding import FACE_RECOGNITION, SFACE
from faces.engine import Engine
from faces.engine.enroll import enroll
from faces.errors import Compacted, Conflict, Invalid, NotFound, Reason
from faces.gallery import Gallery
from jobs.encode import Encoding
from jobs.reencoding import Reencoding
from tests.conftest import NOW
from tests.jobs.test_encode import Desk, desk

__all__ = ["desk"]

G = galleries.DEFAULT_GALLERY
LATER = NOW + timedelta(days=3650)


@pytest.fixture(scope="session")
def other() -> Engine:
    return engines.load(FACE_RECOGNITION)


class Change:
    """The job run by hand, and an edge's copy that follows by the model galleries go by."""

    def __init__(self, desk: Desk, engine: Engine, other: Engine, folder: Path) -> None:
        self.desk, self.database = desk, desk.database
        self.engines = {engine.model: engine, other.model: other}
        self.job = Reencoding(
            self.database, desk.blobs, self.engines.__getitem__, engine.model, lambda: datetime.now(UTC)
        )
        self.edge = Replica(folder / "galleries.db", engine.model)

    def write(self, what: Callable[..., object], *given: object, **more: object) -> object:
        with self.database.write() as connection:
            return what(connection, *given, **more)

    def begin(self, model: str) -> str:
        return str(self.write(reencodings.begin, model, NOW))

    def shown(self, row: str) -> reencodings.Reencoding:
        with self.database.read() as connection:
            return reencodings.get(connection, row)

    def due(self) -> list[str]:
        with self.database.read() as connection:
            return reencodings.due(connection, datetime.now(UTC))

    def work(self, row: str) -> reencodings.Reencoding:
        while self.shown(row).state is State.RUNNING:
            self.job.plan(row)
            for key in self.due():
                self.job.run(key)
        return self.shown(row)

    def change_to(self, model: str) -> str:
        row = self.begin(model)
        self.work(row)
        self.write(reencodings.switch, row, NOW)
        return row

    def follow(self) -> Gallery:
        """What the edge does in a round."""
        with self.database.read() as connection:
            followed = galleries.followed(connection, "default")
            if (model := followed[0].model) is not None:
                self.edge.change_model(model)
            self.edge.follow(followed)
            try:
                while self.edge.position(G) != followed[0].position:
                    self.edge.apply(galleries.page(connection, G, self.edge.position(G).revision))
            except Compacted:
                head, rows = galleries.snapshot(connection, G)
                self.edge.start_over(G, head.position, rows)
            self.edge.adopt()
            assert galleries.recomputed_checksum(connection, G) == self.edge.position(G).checksum
        return self.edge.held[0].gallery

    def names(self, photo: str) -> list[str]:
        """Whom the edge recognises on a photo, by the engine that its galleries are of."""
        gallery = self.follow()
        found = enroll(self.engines[gallery.model], (self.desk.photos / photo).read_bytes())
        return [c.name for c in gallery.nearest(found.encoding, 5) if c.distance <= 0.5]

    def models(self) -> dict[str, int]:
        query = sa.select(encodings.c.model, sa.func.count()).group_by(encodings.c.model)
        with self.database.read() as connection:
            return dict(connection.execute(query).all())


@pytest.fixture
def change(desk: Desk, engine: Engine, other: Engine, tmp_path: Path) -> Change:
    return Change(desk, engine, other, tmp_path)


def test_the_engine_is_changed_at_one_revision_and_back_again(change: Change, other: Engine) -> None:
    for photo, name in (("obama.jpg", "Obama"), ("biden.jpg", "Biden")):
        change.desk.enroll(photo, name=name)
    assert change.names("obama2.jpg") == ["Obama"]
    before = change.edge.position(G)
    row = change.begin(FACE_RECOGNITION)
    change.job.plan(row)
    assert change.follow().model == SFACE
    meanwhile = change.desk.enroll("alex-lacamoire.png", name="Alex")
    ready = change.work(row)
    assert (ready.state, ready.photos, ready.encoded, ready.losses) == (State.READY, 3, 3, 0)
    assert (change.follow().model, change.names("alex-lacamoire.png")) == (SFACE, ["Alex"])
    assert change.edge.position(G).revision == before.revision + 2
    change.write(reencodings.switch, row, NOW)
    with change.database.read() as connection:
        assert galleries.position(connection, G).revision == before.revision + 3
    assert (change.follow().model, change.edge.position(G).revision) == (FACE_RECOGNITION, before.revision + 3)
    assert [change.names(p) for p in ("obama2.jpg", "alex-lacamoire.png")] == [["Obama"], ["Alex"]]
    assert len(change.edge.held[0].gallery.encodings) == 3
    new = Encoding(change.database, change.desk.blobs, other, lambda: datetime.now(UTC))
    late = change.desk.submit("lin-manuel-miranda.png", name="Lin")
    new.run(late)
    assert change.names("lin-manuel-miranda.png") == ["Lin"]
    assert change.models() == {SFACE: 3, FACE_RECOGNITION: 4}
    change.change_to(SFACE)
    assert change.models() == {SFACE: 4, FACE_RECOGNITION: 4}
    assert (change.names("lin-manuel-miranda.png"), change.names("obama2.jpg")) == (["Lin"], ["Obama"])
    assert change.follow().model == SFACE
    assert change.write(reencodings.clean_up) == 4
    assert change.models() == {SFACE: 4}
    assert change.names("obama2.jpg") == ["Obama"]
    change.write(identities.erase, meanwhile.identity_id, NOW)
    assert change.names("alex-lacamoire.png") == []


def test_an_edge_that_starts_offline_goes_by_the_engine_that_its_galleries_are_of(
    change: Change, tmp_path: Path
) -> None:
    change.desk.enroll("obama.jpg", name="Obama")
    change.follow()
    change.change_to(FACE_RECOGNITION)
    change.follow()
    change.edge.close()
    change.edge = Replica(tmp_path / "galleries.db", SFACE)
    assert change.edge.model == FACE_RECOGNITION
    assert len(change.edge.held[0].gallery) == 1


def test_a_worker_with_the_engine_before_enrols_nothing_after_the_switch(change: Change) -> None:
    change.desk.enroll("obama.jpg", name="Obama")
    change.change_to(FACE_RECOGNITION)
    assert change.desk.enroll("biden.jpg", name="Biden").state == enrollments.State.PENDING


def test_photos_that_the_new_engine_refuses_are_listed_and_losses_must_be_accepted(
    change: Change, monkeypatch: pytest.MonkeyPatch
) -> None:
    change.desk.enroll("obama.jpg", name="Obama")
    found = change.desk.enroll("biden.jpg", name="Biden")
    with change.database.read() as connection:
        blob = identities.photo_blob(connection, found.identity_id or "", found.photo_id or "")
    change.desk.blobs.put(blob, b"GIF89a nonsense")
    row = change.begin(FACE_RECOGNITION)
    ready = change.work(row)
    assert (ready.state, ready.encoded, ready.refused, ready.losses) == (State.READY, 1, 1, 1)
    with change.database.read() as connection:
        (refused,) = reencodings.refusals(connection, row)
        (lost,) = reencodings.losses(connection, row)
    assert (refused.name, refused.reason, lost.name) == ("Biden", Reason.NOT_AN_IMAGE, "Biden")
    with pytest.raises(Conflict, match="1 people would not be recognised"):
        change.write(reencodings.switch, row, NOW)
    assert change.follow().model == SFACE
    change.write(reencodings.switch, row, NOW, accept_losses=True)
    assert change.names("obama2.jpg") == ["Obama"]


def test_somebody_enrolled_in_the_last_moment_is_encoded_before_the_switch(change: Change) -> None:
    change.desk.enroll("obama.jpg", name="Obama")
    row = change.begin(FACE_RECOGNITION)
    assert change.work(row).state is State.READY
    change.desk.enroll("biden.jpg", name="Biden")
    with pytest.raises(Conflict, match="still to be encoded"):
        change.write(reencodings.switch, row, NOW)
    assert change.write(reencodings.reopen, row)
    assert change.work(row).encoded == 2
    assert not change.write(reencodings.reopen, row)
    change.write(reencodings.switch, row, NOW)


def test_a_killed_worker_loses_one_photo_at_most_and_another_goes_on(
    change: Change, monkeypatch: pytest.MonkeyPatch
) -> None:
    for photo, name in (("obama.jpg", "Obama"), ("biden.jpg", "Biden"), ("alex-lacamoire.png", "Alex")):
        change.desk.enroll(photo, name=name)
    row = change.begin(FACE_RECOGNITION)
    change.job.plan(row)
    (key,) = change.due()
    settle, left = change.job._settle, iter([True])

    def dying(*given: object, **more: object) -> bool:
        if next(left, None):
            return settle(*given, **more)  # type: ignore[arg-type]
        raise KeyboardInterrupt

    monkeypatch.setattr(change.job, "_settle", dying)
    with pytest.raises(KeyboardInterrupt):
        change.job.run(key)
    assert (change.shown(row).encoded, change.due()) == (1, [])
    monkeypatch.undo()
    change.write(lambda c: c.execute(reencoding_chunks.update().values(lease_until=NOW)))
    assert change.work(row).encoded == 3
    assert change.models() == {SFACE: 3, FACE_RECOGNITION: 3}


def test_a_photo_on_which_workers_die_is_given_up_in_the_end(change: Change) -> None:
    change.desk.enroll("obama.jpg", name="Obama")
    row = change.begin(FACE_RECOGNITION)
    change.job.plan(row)
    (key,), now = change.due(), NOW
    with change.database.write() as connection:
        for _ in range(enrollments.MAX_ATTEMPTS):
            assert reencodings.claim(connection, key, "dies", now)
            now += enrollments.LEASE
    change.job.run(key)
    with change.database.read() as connection:
        assert [r.reason for r in reencodings.refusals(connection, row)] == [Reason.INTERNAL]


def test_who_was_merged_meanwhile_is_carried_over_and_taken_apart_with_the_new_encodings(change: Change) -> None:
    people = [change.desk.enroll(p, name=p).identity_id for p in ("obama.jpg", "biden.jpg")]
    row = change.begin(FACE_RECOGNITION)
    change.job.plan(row)
    change.write(merges.merge, *people, NOW)
    change.work(row)
    change.write(reencodings.switch, row, NOW)
    assert change.names("obama2.jpg") == ["obama.jpg"]
    change.write(merges.unmerge, *people, NOW)
    assert change.names("biden.jpg") == ["biden.jpg"]


def test_what_cannot_be_changed_is_refused(change: Change) -> None:
    change.desk.enroll("obama.jpg", name="Obama")
    with pytest.raises(Invalid):
        change.begin("arcface")
    with pytest.raises(Conflict):
        change.write(reencodings.clean_up)
    row = change.begin(FACE_RECOGNITION)
    with pytest.raises(Conflict):
        change.begin(SFACE)
    change.work(row)

    def importing(connection: Connection) -> str:
        return imports.submit(connection, NOW, gallery_id=G, blob="archives/01", force=False, dry_run=False)

    change.write(importing)
    with pytest.raises(Conflict, match="an import is under way"):
        change.write(reencodings.switch, row, NOW)
    change.write(reencodings.cancel, row)
    for step in (reencodings.cancel, lambda c, r: reencodings.switch(c, r, NOW, accept_losses=True)):
        with pytest.raises(Conflict):
            change.write(step, row)
    with pytest.raises(NotFound):
        change.shown("no-such")
    with pytest.raises(Conflict):
        change.begin(SFACE)
