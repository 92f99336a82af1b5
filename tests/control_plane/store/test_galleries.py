from __future__ import annotations

import threading

import numpy as np
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from control_plane.store import galleries, identities, sites
from control_plane.store.db import Database, new_id
from control_plane.store.tables import galleries as galleries_table
from control_plane.store.tables import gallery_changes
from faces.encoding import SFACE, to_bytes, unit
from faces.errors import Compacted, Conflict, Diverged, NotFound
from faces.gallery import EncodingRow, Kind, SettingsRow, checksum, row_hash
from faces.replica import Replica
from faces.wire import Position
from tests.conftest import NOW

G = galleries.DEFAULT_GALLERY


def enroll(connection: sa.Connection, name: str, seed: int = 0, gallery_id: str = G) -> str:
    identity_id = identities.create(connection, name, [gallery_id], NOW)
    add_encoding(connection, identity_id, seed)
    return identity_id


def add_encoding(connection: sa.Connection, identity_id: str, seed: int) -> None:
    vector = unit(np.random.default_rng(seed).normal(size=128).astype(np.float32))
    identities.add_encoding(connection, EncodingRow(new_id(NOW), identity_id, SFACE, to_bytes(vector)), NOW)


def follow(connection: sa.Connection, replica: Replica, limit: int = 1000) -> None:
    while replica.position != galleries.position(connection, G):
        replica.apply(galleries.page(connection, G, replica.position.revision, limit=limit))


def test_every_change_takes_the_next_revision(database: Database) -> None:
    with database.write() as connection:
        assert galleries.position(connection, G).revision == 1
        ann = enroll(connection, "Ann")
        assert galleries.position(connection, G).revision == 3
        identities.update(connection, ann, NOW, name="Anna")
        assert galleries.position(connection, G).revision == 4


def test_the_checksum_is_that_of_the_live_rows(database: Database) -> None:
    with database.write() as connection:
        for seed, name in enumerate(("Ann", "Bob", "Cem")):
            enroll(connection, name, seed)
        identities.erase(connection, identities.by_name(connection, "Bob", G) or "", NOW)
        assert galleries.recomputed_checksum(connection, G) == galleries.position(connection, G).checksum


def test_a_copy_that_applies_the_pages_holds_what_a_snapshot_holds(database: Database) -> None:
    replica = Replica(SFACE)
    with database.write() as connection:
        for seed in range(12):
            enroll(connection, f"p{seed}", seed)
        follow(connection, replica, limit=5)
        head, rows = galleries.snapshot(connection, G)
        held = list(rows)
    assert head.rows == len(held) == 25
    assert head.position == replica.position == Position(25, checksum(map(row_hash, held)))
    assert {p.name for p in replica.gallery.identities.values()} == {f"p{n}" for n in range(12)}


def test_a_page_says_each_row_once_and_as_it_stands(database: Database) -> None:
    with database.write() as connection:
        ann = enroll(connection, "Ann")
        for number in range(5):
            identities.update(connection, ann, NOW, name=f"Ann {number}")
        page = galleries.page(connection, G, 1)
    assert [row.name for row in page.put if row.id == ann] == ["Ann 4"]
    assert not page.more


def test_a_page_is_not_cut_between_a_change_and_the_one_that_supersedes_it(database: Database) -> None:
    with database.write() as connection:
        ann = enroll(connection, "Ann")
        for seed in range(10):
            enroll(connection, f"p{seed}", seed + 1)
        identities.update(connection, ann, NOW, name="Anna")
        page = galleries.page(connection, G, 1, limit=2)
        replica = Replica(SFACE)
        replica.apply(galleries.page(connection, G, 0, limit=1))
        replica.apply(page)
    assert page.position.revision == 24
    assert replica.gallery.identities[ann].name == "Anna"


def test_an_erasure_reaches_a_copy_as_ids_alone(database: Database) -> None:
    with database.write() as connection:
        ann = enroll(connection, "Ann")
        before = galleries.position(connection, G).revision
        identities.erase(connection, ann, NOW)
        page = galleries.page(connection, G, before)
    assert page.put == []
    assert [kind for kind, _ in page.removed] == ["encoding", "identity"]


def test_a_copy_ahead_of_the_gallery_is_told_so(database: Database) -> None:
    with database.read() as connection, pytest.raises(Diverged, match="ahead"):
        galleries.page(connection, G, 99)


def test_compacted_changes_are_not_served(database: Database) -> None:
    with database.write() as connection:
        enroll(connection, "Ann")
        connection.execute(galleries_table.update().values(compacted_to=2))
        with pytest.raises(Compacted):
            galleries.page(connection, G, 1)
        assert galleries.page(connection, G, 2).position.revision == 3


def test_a_page_that_cannot_be_cut_short_gives_way_to_a_snapshot(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(galleries, "LONGEST_PAGE", 4)
    with database.write() as connection:
        ann = enroll(connection, "Ann")
        enroll(connection, "Bob", 1)
        identities.update(connection, ann, NOW, name="Anna")
        with pytest.raises(Compacted):
            galleries.page(connection, G, 1, limit=2)


def test_an_unknown_gallery_is_not_found(database: Database) -> None:
    with database.read() as connection, pytest.raises(NotFound):
        galleries.page(connection, "nonsense", 0)


def test_a_site_follows_its_galleries_alone(database: Database) -> None:
    with database.write() as connection:
        galleries.create(connection, SettingsRow("staff", "staff", Kind.DENY), NOW)
        site_id = sites.create(connection, "annex", ["staff"], NOW)
        assert [(f.id, f.kind) for f in galleries.followed(connection, site_id)] == [("staff", Kind.DENY)]
        assert [f.id for f in galleries.followed(connection, sites.DEFAULT_SITE)] == [G]


def test_concurrent_changes_leave_no_gap_and_no_revision_twice(database: Database) -> None:
    def work(number: int) -> None:
        for seed in range(5):
            with database.write() as connection:
                enroll(connection, f"{number}-{seed}", number * 100 + seed)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with database.read() as connection:
        revisions = connection.execute(
            sa.select(gallery_changes.c.revision).order_by(gallery_changes.c.revision)
        ).scalars()
        assert list(revisions) == list(range(1, 42))
        assert galleries.recomputed_checksum(connection, G) == galleries.position(connection, G).checksum


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(st.tuples(st.sampled_from("efrau"), st.integers(0, 5), st.integers(1, 4)), max_size=25))
def test_whatever_happens_a_copy_that_has_caught_up_equals_the_gallery(
    store: Database, steps: list[tuple[str, int, int]]
) -> None:
    replica = Replica(SFACE)
    with store.write() as connection:
        for step, (what, whom, limit) in enumerate(steps):
            name = f"p{whom}"
            found = identities.by_name(connection, name, G)
            if what == "e" and not found:
                enroll(connection, name, step)
            elif what == "a" and found:
                add_encoding(connection, found, step)
            elif what == "u" and found:
                identities.update(connection, found, NOW, attributes={"step": step})
            elif what == "r" and found:
                identities.erase(connection, found, NOW)
            elif what == "f":
                replica.apply(galleries.page(connection, G, replica.position.revision, limit=limit))
        follow(connection, replica)
        assert replica.position.checksum == galleries.recomputed_checksum(connection, G)
        connection.rollback()


def test_a_gallerys_settings_travel_like_any_row(database: Database) -> None:
    replica = Replica(SFACE)
    with database.write() as connection:
        follow(connection, replica)
        galleries.change_settings(connection, SettingsRow(G, "staff", Kind.WATCH, 0.4), NOW)
        follow(connection, replica)
        assert replica.gallery.settings == SettingsRow(G, "staff", Kind.WATCH, 0.4)
        before = galleries.position(connection, G)
        galleries.change_settings(connection, SettingsRow(G, "staff", Kind.WATCH, 0.4), NOW)
        assert galleries.position(connection, G) == before
        assert galleries.recomputed_checksum(connection, G) == before.checksum


def test_a_gallerys_name_is_its_own(database: Database) -> None:
    with database.write() as connection:
        galleries.create(connection, SettingsRow("staff", "staff"), NOW)
        with pytest.raises(Conflict):
            galleries.create(connection, SettingsRow("other", "staff"), NOW)
        with pytest.raises(Conflict):
            galleries.change_settings(connection, SettingsRow("staff", "default"), NOW)


def test_a_gallery_that_is_removed_leaves_its_people_and_the_default_gallery_stays(database: Database) -> None:
    with database.write() as connection:
        galleries.create(connection, SettingsRow("staff", "staff"), NOW)
        ann = enroll(connection, "Ann", gallery_id="staff")
        galleries.delete(connection, "staff")
        assert identities.get(connection, ann).galleries == []
        with pytest.raises(Conflict):
            galleries.delete(connection, G)
        with pytest.raises(NotFound):
            galleries.delete(connection, "staff")


@pytest.mark.parametrize("upto", [0, 1, 2, 3, 99])
def test_a_copy_before_the_compaction_starts_over_and_one_at_or_after_it_goes_on(database: Database, upto: int) -> None:
    with database.write() as connection:
        enroll(connection, "Ann")
        galleries.compact(connection, G, upto)
        galleries.compact(connection, G, 1)
        for after in range(4):
            if after < min(max(upto, 1), 3):
                with pytest.raises(Compacted):
                    galleries.page(connection, G, after)
            else:
                assert galleries.page(connection, G, after).position.revision == 3


def test_a_position_is_known_by_its_revision_and_its_checksum(database: Database) -> None:
    with database.write() as connection:
        stood = [Position(0, 0)]
        for seed, name in enumerate(("Ann", "Bob")):
            enroll(connection, name, seed)
            stood.append(galleries.position(connection, G))
        assert all(galleries.stood_at(connection, G, position) for position in stood)
        assert not galleries.stood_at(connection, G, Position(stood[1].revision, stood[1].checksum ^ 1))
        assert not galleries.stood_at(connection, G, Position(stood[2].revision, stood[2].checksum ^ 1))
        assert not galleries.stood_at(connection, G, Position(99, stood[2].checksum))
        galleries.compact(connection, G, stood[1].revision)
        assert not galleries.stood_at(connection, G, stood[1]), "nobody knows any more"
