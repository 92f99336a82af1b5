from __future__ import annotations

import random
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import timedelta

import numpy as np
import pytest
import sqlalchemy as sa

from control_plane.store import corrections, enrollments, erasures, events, galleries, identities, members, merges
from control_plane.store.db import Connection, Database, new_id
from control_plane.store.tables import encodings, photos
from faces.encoding import SFACE, from_bytes, to_bytes, unit
from faces.errors import Conflict, Merged, NotFound
from faces.gallery import EncodingRow, SettingsRow, key
from faces.replica import Replica
from tests.conftest import NOW
from tests.control_plane.store.test_events import append, event
from tests.control_plane.store.test_galleries import G, enroll

GALLERIES = (G, "staff", "banned")


def found(connection: Connection) -> dict[str, dict[object, object]]:
    """All rows of all galleries, whose checksums come out."""
    rows = {}
    for gallery in galleries.listing(connection):
        assert (
            galleries.recomputed_checksum(connection, gallery.id) == galleries.position(connection, gallery.id).checksum
        )
        rows[gallery.id] = {key(row): row for row in galleries.snapshot(connection, gallery.id)[1]}
    return rows


def add(connection: Connection, person: str, vector: np.ndarray, *, against: bool = False) -> str:
    """An encoding, and its photo if it is the person's own."""
    row = EncodingRow(new_id(NOW), person, SFACE, to_bytes(vector), against)
    if not against:
        photo = identities.Photo(id=row.id, identity_id=person, quality={}, created_at=NOW)
        identities.add_photo(connection, photo, blob=f"photos/{row.id}", sha256="0")
    identities.add_encoding(connection, row, NOW, photo_id=None if against else row.id)
    return row.id


def some(seed: int) -> np.ndarray:
    return unit(np.random.default_rng(seed).normal(size=128).astype(np.float32))


@dataclass
class Model:
    """People as plain sets: who was merged into whom, where each was enrolled, and whose each row was first."""

    parent: dict[str, str | None] = field(default_factory=dict)
    homes: dict[str, set[str]] = field(default_factory=dict)
    owner: dict[str, str] = field(default_factory=dict)

    def root(self, person: str) -> str:
        while (parent := self.parent[person]) is not None:
            person = parent
        return person

    def live(self) -> list[str]:
        return sorted(p for p, parent in self.parent.items() if parent is None)

    def erase(self, person: str) -> set[str]:
        gone = {p for p in self.parent if self.root(p) == person}
        for p in gone:
            del self.parent[p], self.homes[p]
        self.owner = {row: p for row, p in self.owner.items() if p not in gone}
        return gone

    def expected(self) -> dict[str, dict[str, str]]:
        """By gallery: who is in it, and whose each encoding in it is."""
        rows: dict[str, dict[str, str]] = defaultdict(dict)
        for person, homes in self.homes.items():
            for gallery in homes:
                rows[gallery][self.root(person)] = ""
        for row, person in self.owner.items():
            for gallery in rows.values():
                if self.root(person) in gallery:
                    gallery[row] = self.root(person)
        return rows


class Play:
    """Random steps on the store and on the model, compared after each; a copy follows one gallery meanwhile."""

    def __init__(self, connection: Connection, seed: int) -> None:
        self.connection, self.random, self.model = connection, random.Random(seed), Model()
        self.copies = {g: Replica(SFACE) for g in GALLERIES}
        self.seeds = iter(range(seed * 1000, seed * 1000 + 1000))

    def step(self) -> None:
        steps = [
            self.enroll,
            self.add,
            self.add,
            self.correct,
            self.merge,
            self.merge,
            self.unmerge,
            self.unmerge,
            self.erase,
        ]
        self.random.choice(steps)()
        self.check()

    def somebody(self) -> str | None:
        return self.random.choice(self.model.live() or [None])  # type: ignore[list-item]

    def enroll(self) -> None:
        homes = set(self.random.sample(GALLERIES, self.random.randint(0, 2)))
        person = identities.create(self.connection, "somebody", homes, NOW)
        self.model.parent[person], self.model.homes[person] = None, homes

    def add(self, *, against: bool = False) -> None:
        if person := self.somebody():
            # Photos lie on one side and corrections on the other: none of these is ever too close.
            side = some(0) if not against else -some(0)
            row = add(self.connection, person, unit(side + some(next(self.seeds)) / 2), against=against)
            self.model.owner[row] = person

    def correct(self) -> None:
        self.add(against=True)

    def merge(self) -> None:
        if len(live := self.model.live()) > 1:
            survivor, merged = self.random.sample(live, 2)
            merges.merge(self.connection, survivor, merged, NOW)
            self.model.parent[merged] = survivor

    def unmerge(self) -> None:
        merged = [p for p, parent in self.model.parent.items() if parent is not None]
        if not merged:
            return
        person = self.random.choice(merged)
        survivor = self.model.parent[person]
        assert survivor is not None
        if self.model.parent[survivor] is None:
            merges.unmerge(self.connection, survivor, person, NOW)
            self.model.parent[person] = None
        else:
            with pytest.raises(Merged):
                merges.unmerge(self.connection, survivor, person, NOW)

    def erase(self) -> None:
        if person := self.somebody():
            identities.erase(self.connection, person, NOW)
            gone = self.model.erase(person)
            assert erasures.among(self.connection, gone) == gone
            left = sa.select(encodings.c.id).where(encodings.c.identity_id.in_(gone) | encodings.c.origin_id.in_(gone))
            assert self.connection.execute(left).first() is None

    def check(self) -> None:
        expected = self.model.expected()
        for gallery, rows in found(self.connection).items():
            held = {of.id: getattr(row, "identity_id", "") for of, row in rows.items() if of.kind != "settings"}  # type: ignore[attr-defined]
            assert held == expected[gallery]
            self.copies[gallery].apply(galleries.page(self.connection, gallery, self.copies[gallery].position.revision))
        owned = self.connection.execute(sa.select(photos.c.id, photos.c.identity_id)).all()
        assert all(self.model.root(self.model.owner[photo]) == owner for photo, owner in owned)
        shown = [i.id for i in identities.listing(self.connection, limit=500)]
        assert shown == self.model.live()


@pytest.mark.parametrize("seed", [*range(8), *(pytest.param(s, marks=pytest.mark.soak) for s in range(8, 200))])
def test_any_history_of_merges_leaves_what_a_plain_model_says(store: Database, seed: int) -> None:
    with store.write() as connection:
        for name in GALLERIES[1:]:
            galleries.create(connection, SettingsRow(name, name), NOW)
        play = Play(connection, seed)
        for _ in range(30):
            play.step()


def test_merged_and_taken_apart_both_are_exactly_as_before(database: Database) -> None:
    with database.write() as connection:
        galleries.create(connection, SettingsRow("staff", "staff"), NOW)
        ann, anna = enroll(connection, "Ann", seed=1), enroll(connection, "Anna", seed=2)
        identities.update(connection, anna, NOW, external_id="7", attributes={"a": 1}, valid_until=NOW + timedelta(1))
        members.join(connection, "staff", anna, NOW)
        add(connection, anna, some(3), against=True)
        before = found(connection), identities.get(connection, ann), identities.get(connection, anna)
        merges.merge(connection, ann, anna, NOW)
        one = identities.get(connection, ann)
        assert (one.name, one.external_id, one.galleries, one.merged) == ("Ann", None, [G, "staff"], [anna])
        assert len(corrections.own(connection, ann, SFACE)) == 2
        assert len(corrections.listing(connection, ann)) == 1
        with pytest.raises(Merged) as told:
            identities.get(connection, anna)
        assert told.value.survivor_id == ann
        assert [i.id for i in identities.listing(connection, external_id="7")] == [ann]
        merges.unmerge(connection, ann, anna, NOW)
        assert (found(connection), identities.get(connection, ann), identities.get(connection, anna)) == before


def test_events_of_both_are_found_under_either_also_those_that_arrive_late(database: Database) -> None:
    with database.write() as connection:
        ann, anna = enroll(connection, "Ann"), enroll(connection, "Anna", seed=1)
        append(connection, event(1, identity_id=ann), event(2, identity_id=anna))
        merges.merge(connection, ann, anna, NOW)
        append(connection, event(3, identity_id=anna))
        assert [len(events.listing(connection, wanted=events.Wanted(identity_id=i))) for i in (ann, anna)] == [3, 3]
        merges.unmerge(connection, ann, anna, NOW)
        assert [len(events.listing(connection, wanted=events.Wanted(identity_id=i))) for i in (ann, anna)] == [1, 2]


def test_erasing_the_survivor_erases_both_also_what_arrives_late(database: Database) -> None:
    with database.write() as connection:
        ann, anna = enroll(connection, "Ann"), enroll(connection, "Anna", seed=1)
        merges.merge(connection, ann, anna, NOW)
        with pytest.raises(Merged):
            identities.erase(connection, anna, NOW)
        identities.erase(connection, ann, NOW)
        append(connection, event(1, identity_id=anna, thumbnail=b"jpeg"))
        (late,) = events.listing(connection, wanted=events.Wanted(identity_id=anna))
        assert (late.name, late.thumbnail) == (None, False)
        assert connection.execute(sa.select(encodings.c.id)).first() is None
        assert erasures.get(connection, anna).identity_id == anna


def test_corrections_that_say_no_more_than_that_they_were_taken_for_each_other_are_set_aside(
    database: Database,
) -> None:
    with database.write() as connection:
        ann, anna = enroll(connection, "Ann", seed=1), enroll(connection, "Anna", seed=2)
        alike = from_bytes(to_bytes(unit(some(2) + some(9) / 100)))
        made = add(connection, ann, alike, against=True)
        before = found(connection)
        merges.merge(connection, ann, anna, NOW)
        assert corrections.listing(connection, ann) == []
        found(connection)
        merges.unmerge(connection, ann, anna, NOW)
        assert [c.id for c in corrections.listing(connection, ann)] == [made]
        assert found(connection) == before


def test_a_photo_put_forward_before_the_merge_and_accepted_after_it_goes_with_its_person(
    store: Database,
) -> None:
    with store.write() as connection:
        ann, anna = enroll(connection, "Ann"), enroll(connection, "Anna", seed=1)
        waiting = enrollments.submit(connection, NOW, gallery_id=G, blob="photos/01", sha256="0", identity_id=anna)
        merges.merge(connection, ann, anna, NOW)
        work = enrollments.claim(connection, waiting, "worker", NOW)
        assert work is not None
        assert work.identity_id == ann
        photo = add(connection, ann, some(5))
        enrollments.accept(connection, waiting, NOW, identity_id=ann, name="Ann", photo_id=photo)
        stays = add(connection, ann, some(6))
        merges.unmerge(connection, ann, anna, NOW)
        assert [[p.id for p in identities.photos_of(connection, i)] for i in (ann, anna)] == [[stays], [photo]]
        assert enrollments.get(connection, waiting).identity_id == anna
        found(connection)


def test_who_was_taken_out_of_a_gallery_meanwhile_does_not_come_back_into_it(store: Database) -> None:
    with store.write() as connection:
        galleries.create(connection, SettingsRow("staff", "staff"), NOW)
        ann, anna = enroll(connection, "Ann"), enroll(connection, "Anna", seed=1)
        members.join(connection, "staff", anna, NOW)
        merges.merge(connection, ann, anna, NOW)
        members.leave(connection, "staff", ann, NOW)
        merges.unmerge(connection, ann, anna, NOW)
        assert identities.get(connection, anna).galleries == [G]
        found(connection)


def test_what_cannot_be_merged_or_taken_apart_is_refused(store: Database) -> None:
    with store.write() as connection:
        ann, anna, eve = (enroll(connection, name, seed=i) for i, name in enumerate(("Ann", "Anna", "Eve")))
        with pytest.raises(Conflict):
            merges.merge(connection, ann, ann, NOW)
        for pair in ((ann, "nobody"), ("nobody", ann)):
            with pytest.raises(NotFound):
                merges.merge(connection, *pair, NOW)
        with pytest.raises(NotFound):
            merges.unmerge(connection, ann, anna, NOW)
        merges.merge(connection, ann, anna, NOW)
        for pair in ((eve, anna), (anna, eve)):
            with pytest.raises(Merged):
                merges.merge(connection, *pair, NOW)
        with pytest.raises(Merged):
            members.join(connection, G, anna, NOW)
