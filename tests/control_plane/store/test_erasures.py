from __future__ import annotations

import pytest
import sqlalchemy as sa
from msgspec.structs import replace

from control_plane.store import deliveries, erasures, events, galleries, identities, joins, members, sites, webhooks
from control_plane.store.db import Database
from control_plane.store.tables import gallery_changes
from faces.errors import NotFound
from faces.events import Status
from faces.gallery import Kind, SettingsRow
from faces.wire import Hello, Report
from tests.conftest import NOW
from tests.control_plane.store.test_events import append, event
from tests.control_plane.store.test_galleries import G, enroll


def greet(connection: sa.Connection, *edge_ids: str) -> None:
    for edge_id in edge_ids:
        hello = Hello(name=f"box {edge_id}", version="1", engine="sface", cameras=[])
        sites.welcome(connection, edge_id, hello, 1, NOW)


def report(connection: sa.Connection, edge_id: str, gallery_id: str = G) -> None:
    told = Report(position=galleries.position(connection, gallery_id))
    sites.report(connection, edge_id, gallery_id, told, NOW)


def test_an_erasure_is_complete_when_every_edge_has_reported_its_revision(database: Database) -> None:
    with database.write() as connection:
        greet(connection, "e1", "e2")
        ann = enroll(connection, "Ann")
        report(connection, "e1")
        identities.erase(connection, ann, NOW)
        found = erasures.get(connection, ann)
        assert (found.complete, [e.edge_id for e in found.pending]) == (False, ["e1", "e2"])
        assert [(e.needed, e.reported) for e in found.pending] == [(5, 3), (5, None)]
        report(connection, "e1")
        found = erasures.get(connection, ann)
        assert ([e.edge for e in found.confirmed], [e.edge for e in found.pending]) == (["box e1"], ["box e2"])
        report(connection, "e2")
        erasures.scrubbed(connection, [ann], NOW)
        assert erasures.get(connection, ann).complete


def test_an_edge_that_lags_behind_the_persons_leaving_of_a_gallery_must_confirm_too(database: Database) -> None:
    with database.write() as connection:
        greet(connection, "e1")
        galleries.create(connection, SettingsRow("staff", "staff", Kind.ALLOW), NOW)
        sites.follow(connection, sites.DEFAULT_SITE, ["staff"])
        ann = enroll(connection, "Ann")
        members.join(connection, "staff", ann, NOW)
        report(connection, "e1", "staff")
        members.leave(connection, "staff", ann, NOW)
        identities.erase(connection, ann, NOW)
        assert [e.gallery_id for e in erasures.get(connection, ann).pending] == ["staff"]
        report(connection, "e1", "staff")
        erasures.scrubbed(connection, [ann], NOW)
        assert erasures.get(connection, ann).complete


def test_an_erasure_waits_no_more_for_an_edge_that_was_removed(database: Database) -> None:
    with database.write() as connection:
        greet(connection, "e1", "e2")
        ann = enroll(connection, "Ann")
        report(connection, "e2")
        identities.erase(connection, ann, NOW)
        erasures.scrubbed(connection, [ann], NOW)
        report(connection, "e1")
        assert [e.edge_id for e in erasures.get(connection, ann).pending] == ["e2"]
        joins.remove(connection, "e2", NOW)
        found = erasures.get(connection, ann)
        assert (found.complete, [e.edge_id for e in found.confirmed]) == (True, ["e1"])


def test_who_was_never_erased_has_no_erasure(database: Database) -> None:
    with database.write() as connection:
        ann = enroll(connection, "Ann")
        with pytest.raises(NotFound):
            erasures.get(connection, ann)


def test_what_arrives_late_of_an_erased_person_has_no_name_no_picture_and_tells_nobody(database: Database) -> None:
    with database.write() as connection:
        webhooks.create(connection, "http://h/", [Status.PASS], NOW)
        ann = enroll(connection, "Ann")
        identities.erase(connection, ann, NOW)
        late = event(1, identity_id=ann, thumbnail=b"jpeg")
        assert [v.outcome for v in append(connection, late) + append(connection, late)] == ["stored", "known"]
        found = events.get(connection, str(late.id))
        assert (found.identity_id, found.name, found.thumbnail) == (ann, None, False)
        assert deliveries.due(connection, NOW) == []


def test_a_repeat_by_an_edge_that_has_forgotten_the_person_is_known(database: Database) -> None:
    with database.write() as connection:
        ann = enroll(connection, "Ann")
        sent = event(1, identity_id=ann, thumbnail=b"jpeg")
        append(connection, sent)
        identities.erase(connection, ann, NOW)
        left = replace(sent, name=None, thumbnail=None)
        assert [v.outcome for v in append(connection, left)] == ["known"]


def test_that_somebody_left_a_gallery_stays_known_when_its_changes_are_compacted(database: Database) -> None:
    with database.write() as connection:
        greet(connection, "e1")
        galleries.create(connection, SettingsRow("staff", "staff", Kind.ALLOW), NOW)
        sites.follow(connection, sites.DEFAULT_SITE, ["staff"])
        ann, bob = enroll(connection, "Ann"), enroll(connection, "Bob")
        for person in (ann, bob):
            members.join(connection, "staff", person, NOW)
        report(connection, "e1", "staff")
        for person in (ann, bob):
            members.leave(connection, "staff", person, NOW)
        galleries.compact(connection, "staff", galleries.position(connection, "staff").revision)
        identities.erase(connection, ann, NOW)
        assert [e.gallery_id for e in erasures.get(connection, ann).pending] == ["staff"]
        galleries.compact(connection, "staff", galleries.position(connection, "staff").revision)
        kept = sa.select(gallery_changes.c.row_id).where(gallery_changes.c.gallery_id == "staff")
        assert connection.execute(kept).scalars().all() == [bob]
