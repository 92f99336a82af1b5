from __future__ import annotations

from datetime import timedelta

import pytest
import sqlalchemy as sa

from control_plane.store import galleries, identities, sites
from control_plane.store.db import Database
from faces.errors import Conflict, NotFound
from faces.wire import CameraStatus, Funnel, Hello, Position, Report
from tests.conftest import NOW

HELLO = Hello(name="door box", version="1", engine="sface", cameras=["door", "yard"])


def test_an_edge_introduces_itself_as_often_as_it_likes(database: Database) -> None:
    with database.write() as connection:
        for _ in range(2):
            welcome = sites.welcome(connection, "e1", HELLO, 1, NOW)
        assert (welcome.site_id, welcome.edge) == (sites.DEFAULT_SITE, "door box")
        (edge,) = sites.edge_listing(connection, NOW)
        assert [(c.name, c.up) for c in edge.cameras] == [("door", None), ("yard", None)]
        assert sites.site_of(connection, "e1") == sites.DEFAULT_SITE


def test_an_edge_of_a_site_nobody_made_is_not_taken_in(database: Database) -> None:
    hello = Hello(name="x", site="nowhere", version="1", engine="sface", cameras=[])
    with database.write() as connection, pytest.raises(NotFound, match="nowhere"):
        sites.welcome(connection, "e1", hello, 1, NOW)


def test_an_edge_nobody_knows_is_told_to_introduce_itself(database: Database) -> None:
    with database.write() as connection, pytest.raises(NotFound) as error:
        sites.site_of(connection, "e1")
    assert "PUT /v1/edges" in error.value.remedy


def test_an_edges_report_shows_how_far_its_copy_lags(database: Database) -> None:
    with database.write() as connection:
        sites.welcome(connection, "e1", HELLO, 1, NOW)
        there = galleries.position(connection, galleries.DEFAULT_GALLERY)
        for position in (Position(0, 0), there):
            sites.report(connection, "e1", galleries.DEFAULT_GALLERY, Report(position=position), NOW)
            (held,) = sites.edge(connection, "e1", NOW).galleries
            assert held.lag == 1 - position.revision
        assert int(held.checksum, 16) == there.checksum & (1 << 64) - 1


@pytest.mark.parametrize("elsewhere", [Position(1, -1), Position(99, 1)])
def test_a_position_at_which_the_gallery_never_stood_counts_as_no_copy(database: Database, elsewhere: Position) -> None:
    with database.write() as connection:
        sites.welcome(connection, "e1", HELLO, 1, NOW)
        sites.report(connection, "e1", galleries.DEFAULT_GALLERY, Report(position=elsewhere), NOW)
        (held,) = sites.edge(connection, "e1", NOW).galleries
    assert (held.revision, held.lag) == (0, 1)
    assert "never stood" in (held.error or "")


def test_cameras_come_and_go_with_the_edge_and_say_whether_they_are_up(database: Database) -> None:
    with database.write() as connection:
        sites.welcome(connection, "e1", HELLO, 1, NOW)
        up = [CameraStatus(name="yard", up=True, fps=15.0)]
        sites.status(connection, "e1", up, 3, NOW)
        fewer = Hello(name="x", version="1", engine="sface", cameras=["yard", "new"])
        sites.welcome(connection, "e1", fewer, 1, NOW)
        found = sites.edge(connection, "e1", NOW)
        assert ({c.name: c.up for c in found.cameras}, found.spooled) == ({"yard": True, "new": None}, 3)


def test_how_a_camera_fares_is_kept_as_it_was_told(database: Database) -> None:
    told = CameraStatus(name="door", up=True, fps=14.5, dropped=7, funnel=Funnel(recognised=3, too_small=2))
    with database.write() as connection:
        sites.welcome(connection, "e1", HELLO, 1, NOW)
        sites.status(connection, "e1", [told], 0, NOW)
        door, yard = sites.edge(connection, "e1", NOW).cameras
        assert (door.fps, door.dropped, door.funnel) == (14.5, 7, Funnel(recognised=3, too_small=2))
        assert (yard.fps, yard.dropped, yard.funnel) == (None, None, None)
        sites.status(connection, "e1", [CameraStatus(name="door", up=True, fps=9, dropped=2**63 - 1)], 0, NOW)
        door, _ = sites.edge(connection, "e1", NOW).cameras
        assert (door.fps, door.dropped, door.funnel) == (9, 2**63 - 1, None)


def test_the_default_sites_cameras_come_first(database: Database) -> None:
    with database.write() as connection:
        annex = sites.create(connection, "annex", [galleries.DEFAULT_GALLERY], NOW)
        far = Hello(name="a", site="annex", version="1", engine="sface", cameras=["far"])
        sites.welcome(connection, "e0", far, 1, NOW)
        sites.welcome(connection, "e1", HELLO, 1, NOW)
        assert [(c.site_id, c.name) for c in sites.all_cameras(connection)] == [
            (sites.DEFAULT_SITE, "door"),
            (sites.DEFAULT_SITE, "yard"),
            (annex, "far"),
        ]


def test_a_sites_name_is_its_own_and_its_galleries_exist(database: Database) -> None:
    with database.write() as connection:
        with pytest.raises(Conflict):
            sites.create(connection, "default", [], NOW)
        with pytest.raises(NotFound, match="nonsense"):
            sites.create(connection, "annex", ["nonsense"], NOW)


def test_an_edge_is_behind_since_the_first_change_that_it_lacks(database: Database) -> None:
    def lag_s(minutes: int) -> float:
        (held,) = sites.edge(connection, "e1", NOW + timedelta(minutes=minutes)).galleries
        return held.lag_s

    with database.write() as connection:
        sites.welcome(connection, "e1", HELLO, 1, NOW)
        here = galleries.position(connection, galleries.DEFAULT_GALLERY)
        sites.report(connection, "e1", galleries.DEFAULT_GALLERY, Report(position=here), NOW)
        assert lag_s(60) == 0
        for minute in (10, 20):
            identities.create(connection, "Ann", [galleries.DEFAULT_GALLERY], NOW + timedelta(minutes=minute))
        assert lag_s(60) == 50 * 60
        galleries.compact(connection, galleries.DEFAULT_GALLERY, here.revision + 1)
        assert lag_s(60) == 40 * 60
        galleries.compact(connection, galleries.DEFAULT_GALLERY, here.revision + 2)
        assert lag_s(60) == 60 * 60
        there = galleries.position(connection, galleries.DEFAULT_GALLERY)
        sites.report(connection, "e1", galleries.DEFAULT_GALLERY, Report(position=there), NOW)
        assert lag_s(60) == 0


def test_an_edges_clock_is_as_it_has_last_said(database: Database) -> None:
    with database.write() as connection:
        sites.welcome(connection, "e1", HELLO, 1, NOW)
        assert sites.edge(connection, "e1", NOW).clock_offset_s is None
        here = galleries.position(connection, galleries.DEFAULT_GALLERY)
        for said in (1.5, -90.0, None, float("nan")):
            told = Report(position=here, clock_offset_s=said)
            sites.report(connection, "e1", galleries.DEFAULT_GALLERY, told, NOW)
        assert sites.edge(connection, "e1", NOW).clock_offset_s == -90.0


def test_thirty_edges_are_listed_by_as_many_statements_as_three(database: Database) -> None:
    asked: list[str] = []
    with database.write() as connection:
        sa.event.listen(connection, "before_cursor_execute", lambda _c, _cursor, statement, *_: asked.append(statement))

        def statements(edges: int) -> int:
            for number in range(edges):
                sites.welcome(connection, f"e{number}", HELLO, 1, NOW)
                there = galleries.position(connection, galleries.DEFAULT_GALLERY)
                sites.report(connection, f"e{number}", galleries.DEFAULT_GALLERY, Report(position=there), NOW)
            asked.clear()
            found = sites.edge_listing(connection, NOW)
            assert [(len(edge.cameras), len(edge.galleries)) for edge in found] == [(2, 1)] * edges
            return len(asked)

        assert statements(3) == statements(30)
