from __future__ import annotations

import sqlalchemy as sa

from control_plane.store import alarms, galleries, sites, thresholds
from control_plane.store.alarms import AlarmKind
from control_plane.store.db import Database
from faces.gallery import SettingsRow
from faces.wire import Hello
from tests.conftest import NOW
from tests.control_plane.store.test_galleries import G, enroll


def greet(connection: sa.Connection, engine: str) -> None:
    sites.welcome(connection, "e1", Hello(name="box", version="1", engine=engine, cameras=[]), 1, NOW)
    thresholds.check(connection, "e1", NOW)


def set_threshold(connection: sa.Connection) -> None:
    galleries.change_settings(connection, SettingsRow(G, "default", th_accept=0.4), NOW)
    thresholds.note(connection, G)


def test_a_threshold_kept_from_another_engine_is_warned_about(database: Database) -> None:
    with database.write() as connection:
        greet(connection, "sface")
        set_threshold(connection)
        found = galleries.get(connection, G)
        assert (found.th_accept_engine, found.warning) == ("sface", None)
        greet(connection, "face_recognition")
        greet(connection, "face_recognition")
        assert "sface, and face_recognition" in (galleries.get(connection, G).warning or "")
        (alarm,) = alarms.listing(connection)
        assert (alarm.kind, alarm.gallery_id, alarm.edge_id) == (AlarmKind.THRESHOLD_OF_OTHER_ENGINE, G, "e1")
        set_threshold(connection)
        assert galleries.get(connection, G).warning is None


def test_a_gallery_without_a_threshold_of_its_own_has_nothing_to_warn_about(database: Database) -> None:
    with database.write() as connection:
        for engine in ("sface", "face_recognition"):
            greet(connection, engine)
        assert galleries.get(connection, G).warning is None
        assert alarms.listing(connection) == []


def test_a_threshold_is_for_the_engine_of_the_people_or_else_the_first_that_comes(database: Database) -> None:
    with database.write() as connection:
        set_threshold(connection)
        assert galleries.get(connection, G).th_accept_engine is None
        greet(connection, "face_recognition")
        assert galleries.get(connection, G).th_accept_engine == "face_recognition"
        galleries.create(connection, SettingsRow("vips", "vips", th_accept=0.3), NOW)
        thresholds.note(connection, "vips")
        assert galleries.get(connection, "vips").th_accept_engine is None
    with database.write() as connection:
        connection.execute(sa.text("DELETE FROM edges"))
        enroll(connection, "Ann")
        set_threshold(connection)
        assert galleries.get(connection, G).th_accept_engine == "sface"
