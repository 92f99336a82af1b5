"""Which engine a gallery's own TH_ACCEPT was set for: a distance means something else by another engine."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa

from control_plane.store import alarms
from control_plane.store.alarms import AlarmKind
from control_plane.store.tables import edges, encodings, galleries, gallery_members, site_galleries


def note(connection: sa.Connection, gallery_id: str) -> None:
    """A gallery's TH_ACCEPT was set just now: for the engine in use, if there is just one."""
    used = _used(connection, gallery_id)
    _set(connection, gallery_id, used[0] if len(used) == 1 else None)


def warning(connection: sa.Connection, gallery_id: str, engine: str | None) -> str | None:
    """What is to be said of a TH_ACCEPT that was set for `engine`; None if it fits what is in use, or nothing is."""
    others = [used for used in _used(connection, gallery_id) if used != engine]
    return _words(engine, ", ".join(others)) if engine is not None and others else None


def check(connection: sa.Connection, edge_id: str, now: datetime) -> None:
    """Raise an alarm for each gallery that an edge follows whose TH_ACCEPT was set for another engine than its own.

    One that was set when no engine was known was meant for the first that comes.
    """
    query = (
        sa.select(galleries.c.id, galleries.c.name, galleries.c.th_accept_engine, edges.c.engine, edges.c.site_id)
        .select_from(
            edges.join(site_galleries, site_galleries.c.site_id == edges.c.site_id).join(
                galleries, galleries.c.id == site_galleries.c.gallery_id
            )
        )
        .where((edges.c.id == edge_id) & galleries.c.th_accept.is_not(None))
    )
    for row in connection.execute(query).all():
        if row.th_accept_engine is None:
            _set(connection, row.id, row.engine)
        elif row.th_accept_engine != row.engine:
            alarms.sound(
                connection,
                AlarmKind.THRESHOLD_OF_OTHER_ENGINE,
                f"{row.id} {row.engine}",
                f"gallery {row.name!r}: {_words(row.th_accept_engine, row.engine)}",
                now,
                site_id=row.site_id,
                edge_id=edge_id,
                gallery_id=row.id,
            )


def _words(engine: str, used: str) -> str:
    return f"th_accept was set for engine {engine}, and {used} is in use: set it anew, or to null for the engine's own"


def _set(connection: sa.Connection, gallery_id: str, engine: str | None) -> None:
    connection.execute(galleries.update().where(galleries.c.id == gallery_id).values(th_accept_engine=engine))


def _used(connection: sa.Connection, gallery_id: str) -> list[str]:
    """The engines of the edges that follow a gallery; where none does, those of its people's encodings."""
    following = edges.join(site_galleries, site_galleries.c.site_id == edges.c.site_id)
    members = encodings.join(gallery_members, gallery_members.c.identity_id == encodings.c.identity_id)
    queries = (
        sa.select(edges.c.engine).select_from(following).where(site_galleries.c.gallery_id == gallery_id),
        sa.select(encodings.c.model).select_from(members).where(gallery_members.c.gallery_id == gallery_id),
    )
    found = (sorted(set(connection.execute(query.distinct()).scalars())) for query in queries)
    return next((engines for engines in found if engines), [])
