"""Sites, the edges at them, and their cameras."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any

import msgspec
import sqlalchemy as sa

from control_plane.store.db import new_id
from control_plane.store.galleries import stood_at
from control_plane.store.tables import (
    cameras,
    edge_positions,
    edges,
    galleries,
    gallery_changes,
    past_directions,
    site_galleries,
    sites,
)
from faces.errors import Conflict, NotFound
from faces.gallery import checksum_text
from faces.wire import START, CameraStatus, Funnel, Hello, Report, Welcome

DEFAULT_SITE = "default"


class Site(msgspec.Struct, frozen=True, kw_only=True):
    """`event_days` and `thumbnail_days` say how long they are kept: null: as the worker is set up, 0: for ever.
    `probe_days`: how long the encodings of strangers are kept; 0: they are not.
    `lease_days`: how long edges admit people without a sync; null: as each edge is set up, 0: for ever."""

    id: str
    name: str
    galleries: list[str]
    time_zone: str
    event_days: int | None
    thumbnail_days: int | None
    probe_days: int
    lease_days: float | None
    created_at: datetime


class Direction(StrEnum):
    """Which way people go whom a camera sees."""

    IN = "in"
    OUT = "out"


class Camera(msgspec.Struct, frozen=True, kw_only=True):
    """A lens on an edge; `up` None: never heard of; `direction` None: people come and go before it."""

    edge_id: str
    name: str
    up: bool | None
    direction: Direction | None


class WatchedCamera(Camera, frozen=True, kw_only=True):
    """A camera, and how the edge says it fares: frames looked at a second, frames it was too slow for, and what became
    of the faces; null: it has not said."""

    fps: float | None
    dropped: int | None
    funnel: Funnel | None


class PlacedCamera(Camera, frozen=True, kw_only=True):
    """A camera, and where it is."""

    site_id: str
    site: str
    edge: str


class EdgePosition(msgspec.Struct, frozen=True, kw_only=True):
    """How far an edge's copy of a gallery has got, by its own report; `lag` in revisions, `lag_s` since when it is
    behind, in seconds."""

    gallery_id: str
    revision: int
    checksum: str
    lag: int
    lag_s: float
    error: str | None
    reported_at: datetime


class Edge(msgspec.Struct, frozen=True, kw_only=True):
    """An edge; its clock is `clock_offset_s` ahead of ours, by its own measurement (null: not known)."""

    id: str
    name: str
    site_id: str
    site: str
    version: str
    engine: str
    wire: int
    spooled: int | None
    clock_offset_s: float | None
    last_seen_at: datetime
    cameras: list[WatchedCamera]
    galleries: list[EdgePosition]


def create(connection: sa.Connection, name: str, gallery_ids: list[str], now: datetime, site_id: str = "") -> str:
    """Make a site that follows the given galleries; returns its id. Raises Conflict if the name is taken."""
    site_id = site_id or new_id(now)
    _check_name(connection, name, site_id)
    connection.execute(sites.insert().values(id=site_id, name=name, created_at=now))
    follow(connection, site_id, gallery_ids)
    return site_id


def rename(connection: sa.Connection, site_id: str, name: str) -> None:
    """Give a site another name; raises NotFound, and Conflict if it is taken."""
    _check_name(connection, name, site_id)
    if not connection.execute(sites.update().where(sites.c.id == site_id).values(name=name)).rowcount:
        raise NotFound(f"there is no site {site_id!r}")


def configure(connection: sa.Connection, site_id: str, values: Mapping[str, object]) -> None:
    """Set columns of a site: time_zone, event_days, thumbnail_days, probe_days, lease_days. Raises NotFound."""
    get(connection, site_id)
    if values:
        connection.execute(sites.update().where(sites.c.id == site_id).values(**values))


def follow(connection: sa.Connection, site_id: str, gallery_ids: list[str]) -> None:
    """Have a site follow just these galleries; raises NotFound for a site or gallery that is not there."""
    connection.execute(sa.select(sites.c.id).where(sites.c.id == site_id).with_for_update()).all()
    get(connection, site_id)
    known = set(connection.execute(sa.select(galleries.c.id).where(galleries.c.id.in_(gallery_ids))).scalars())
    if missing := set(gallery_ids) - known:
        raise NotFound(f"there is no gallery {min(missing)!r}")
    connection.execute(site_galleries.delete().where(site_galleries.c.site_id == site_id))
    for gallery_id in sorted(known):
        connection.execute(site_galleries.insert().values(site_id=site_id, gallery_id=gallery_id))


def get(connection: sa.Connection, site_id: str) -> Site:
    found = listing(connection, site_id=site_id)
    if not found:
        raise NotFound(f"there is no site {site_id!r}")
    return found[0]


def listing(
    connection: sa.Connection,
    *,
    after: str = "",
    limit: int = 100,
    site_id: str | None = None,
    within: Collection[str] | None = None,
) -> list[Site]:
    """Sites in id order from `after` on, of those `within` if given."""
    query = sa.select(sites).where(sites.c.id > after).order_by(sites.c.id).limit(limit)
    if site_id is not None:
        query = query.where(sites.c.id == site_id)
    if within is not None:
        query = query.where(sites.c.id.in_(within))
    rows = connection.execute(query).all()
    followed = connection.execute(sa.select(site_galleries)).all()
    return [
        Site(
            id=r.id,
            name=r.name,
            galleries=sorted(f.gallery_id for f in followed if f.site_id == r.id),
            time_zone=r.time_zone,
            event_days=r.event_days,
            thumbnail_days=r.thumbnail_days,
            probe_days=r.probe_days,
            lease_days=r.lease_days,
            created_at=r.created_at,
        )
        for r in rows
    ]


def welcome(
    connection: sa.Connection, edge_id: str, hello: Hello, wire: int, now: datetime, *, site_id: str | None = None
) -> Welcome:
    """Take in an edge that introduces itself, for the first time or again; raises NotFound for an unknown site, or
    another than `site_id` if that is given."""
    site = _site_named(connection, hello.site, site_id)
    values = {
        "site_id": site.id,
        "name": hello.name,
        "version": hello.version,
        "engine": hello.engine,
        "wire": wire,
        "last_seen_at": now,
    }
    known = connection.execute(edges.update().where(edges.c.id == edge_id).values(**values)).rowcount
    if not known:
        connection.execute(edges.insert().values(id=edge_id, created_at=now, **values))
    _set_cameras(connection, edge_id, hello.cameras, now)
    return Welcome(
        edge_id=edge_id,
        edge=hello.name,
        site_id=site.id,
        site=site.name,
        lease_days=site.lease_days,
        probes=site.probe_days > 0,
    )


def site_of(connection: sa.Connection, edge_id: str) -> str:
    """The site of a known edge; raises NotFound."""
    site_id = connection.execute(sa.select(edges.c.site_id).where(edges.c.id == edge_id)).scalar()
    if site_id is None:
        raise unknown_edge(edge_id)
    return str(site_id)


def unknown_edge(edge_id: str) -> NotFound:
    """What an edge is told that has never introduced itself."""
    return NotFound(f"there is no edge {edge_id!r}", remedy="The edge introduces itself with PUT /v1/edges/{id}.")


def places(connection: sa.Connection) -> dict[str, str]:
    """Every edge's site."""
    return dict(connection.execute(sa.select(edges.c.id, edges.c.site_id)).all())


def heard_of(connection: sa.Connection, edge_ids: Sequence[str], now: datetime) -> dict[str, str]:
    """Note that these edges were heard of just now; returns the site of each that is known."""
    # Whoever holds an edge's row has just heard of it too; to wait for several of them could lead to a deadlock.
    free = sa.select(edges.c.id).where(edges.c.id.in_(edge_ids)).with_for_update(skip_locked=True)
    connection.execute(edges.update().where(edges.c.id.in_(free)).values(last_seen_at=now))
    return dict(connection.execute(sa.select(edges.c.id, edges.c.site_id).where(edges.c.id.in_(edge_ids))).all())


def follows(connection: sa.Connection, edge_id: str, gallery_id: str) -> bool:
    """Whether a known edge's site follows the gallery; raises NotFound."""
    of = (site_galleries.c.site_id == site_of(connection, edge_id)) & (site_galleries.c.gallery_id == gallery_id)
    return connection.execute(sa.select(site_galleries.c.site_id).where(of)).first() is not None


def report(connection: sa.Connection, edge_id: str, gallery_id: str, told: Report, now: datetime) -> None:
    """Keep an edge's report on its copy of a gallery.

    A position at which the gallery is not known to have stood proves nothing: it counts as no copy. So does that of an
    edge which holds what was lost when the control plane was restored from a backup. Of a gallery that its site follows
    no more, an edge says that it holds nothing: then nobody waits for its copy. Raises NotFound for an unknown edge.
    """
    mine = (edge_positions.c.edge_id == edge_id) & (edge_positions.c.gallery_id == gallery_id)
    if told.nothing and not follows(connection, edge_id, gallery_id):
        connection.execute(edge_positions.delete().where(mine))
        return
    if not stood_at(connection, gallery_id, told.position):
        error = told.error or f"the gallery never stood at {told.position}"
        told = msgspec.structs.replace(told, position=START, error=error)
    if told.clock_offset_s is not None and math.isfinite(told.clock_offset_s):
        connection.execute(edges.update().where(edges.c.id == edge_id).values(clock_offset_s=told.clock_offset_s))
    values = {
        "revision": told.position.revision,
        "checksum": told.position.checksum,
        "error": told.error,
        "reported_at": now,
    }
    if not connection.execute(edge_positions.update().where(mine).values(**values)).rowcount:
        connection.execute(edge_positions.insert().values(edge_id=edge_id, gallery_id=gallery_id, **values))


def status(connection: sa.Connection, edge_id: str, seen: list[CameraStatus], spooled: int, now: datetime) -> None:
    """Keep what an edge says of its cameras and its spool."""
    connection.execute(edges.update().where(edges.c.id == edge_id).values(spooled=spooled, last_seen_at=now))
    for camera in seen:
        mine = (cameras.c.edge_id == edge_id) & (cameras.c.name == camera.name)
        connection.execute(cameras.update().where(mine).values(**_told(camera)))


def direct(connection: sa.Connection, edge_id: str, directions: Mapping[str, Direction | None]) -> None:
    """Say which way people go before cameras of an edge, by name; raises NotFound for a camera it does not have."""
    for name, direction in directions.items():
        mine = (cameras.c.edge_id == edge_id) & (cameras.c.name == name)
        if not connection.execute(cameras.update().where(mine).values(direction=direction)).rowcount:
            raise NotFound(f"edge {edge_id!r} has no camera {name[:40]!r}")


def drop_cameras(connection: sa.Connection, edge_id: str, but: Collection[str] = ()) -> None:
    """Forget an edge's cameras, but which way people went before them. Whoever calls holds the edge's row."""
    gone = (cameras.c.edge_id == edge_id) & cameras.c.name.not_in(but)
    said = past_directions.c.camera.in_(sa.select(cameras.c.name).where(gone))
    connection.execute(past_directions.delete().where((past_directions.c.edge_id == edge_id) & said))
    marked = sa.select(cameras.c.edge_id, cameras.c.name, cameras.c.direction).where(
        gone, cameras.c.direction.is_not(None)
    )
    connection.execute(past_directions.insert().from_select(["edge_id", "camera", "direction"], marked))
    connection.execute(cameras.delete().where(gone))


def all_cameras(connection: sa.Connection) -> list[PlacedCamera]:
    """Every camera, those of the default site first, then in order of arrival."""
    query = (
        sa.select(
            edges.c.site_id,
            sites.c.name.label("site"),
            cameras.c.edge_id,
            edges.c.name.label("edge"),
            cameras.c.name,
            cameras.c.up,
            cameras.c.direction,
        )
        .select_from(cameras.join(edges).join(sites))
        .order_by(edges.c.site_id != DEFAULT_SITE, cameras.c.created_at, cameras.c.name)
    )
    return [PlacedCamera(**r._mapping) for r in connection.execute(query)]


def edge(connection: sa.Connection, edge_id: str, now: datetime) -> Edge:
    found = edge_listing(connection, now, edge_id=edge_id)
    if not found:
        raise NotFound(f"there is no edge {edge_id!r}")
    return found[0]


def edge_listing(
    connection: sa.Connection,
    now: datetime,
    *,
    after: str = "",
    limit: int = 100,
    site_id: str | None = None,
    edge_id: str | None = None,
    within: Collection[str] | None = None,
) -> list[Edge]:
    """Edges in id order from `after` on, of the sites `within` if given, each with its cameras and how far its
    galleries lag."""
    query = sa.select(edges, sites.c.name.label("site")).join(sites).where(edges.c.id > after)
    for column, value in ((edges.c.site_id, site_id), (edges.c.id, edge_id)):
        if value is not None:
            query = query.where(column == value)
    if within is not None:
        query = query.where(edges.c.site_id.in_(within))
    rows = connection.execute(query.order_by(edges.c.id).limit(limit)).all()
    ids = [r.id for r in rows]
    watched, held = _cameras(connection, ids), _positions(connection, ids, now)
    return [
        Edge(
            **{name: r._mapping[name] for name in Edge.__struct_fields__ if name not in ("cameras", "galleries")},
            cameras=watched.get(r.id, []),
            galleries=held.get(r.id, []),
        )
        for r in rows
    ]


def _check_name(connection: sa.Connection, name: str, site_id: str) -> None:
    same = (sites.c.name == name) & (sites.c.id != site_id)
    if connection.execute(sa.select(sites.c.id).where(same)).first() is not None:
        raise Conflict(f"there is a site {name!r} already")


def _site_named(connection: sa.Connection, name: str | None, only: str | None) -> sa.Row[Any, Any, Any, Any]:
    chosen = sites.c.id == (only or DEFAULT_SITE) if name is None else sites.c.name == name
    if only is not None:
        chosen &= sites.c.id == only
    told = sa.select(sites.c.id, sites.c.name, sites.c.lease_days, sites.c.probe_days)
    site = connection.execute(told.where(chosen)).one_or_none()
    if site is None:
        raise NotFound(f"there is no site {name!r}", remedy="Make it with POST /v1/sites, or leave SITE empty.")
    return site


def _set_cameras(connection: sa.Connection, edge_id: str, names: list[str], now: datetime) -> None:
    held = set(connection.execute(sa.select(cameras.c.name).where(cameras.c.edge_id == edge_id)).scalars())
    if held - set(names):
        drop_cameras(connection, edge_id, but=names)
    if set(names) <= held:
        return
    past = sa.select(past_directions.c.camera, past_directions.c.direction).where(past_directions.c.edge_id == edge_id)
    directions = {row.camera: row.direction for row in connection.execute(past)}
    for name in names:
        if name not in held:
            new = {"edge_id": edge_id, "name": name, "direction": directions.get(name), "created_at": now}
            connection.execute(cameras.insert().values(new))


def _cameras(connection: sa.Connection, edge_ids: list[str]) -> dict[str, list[WatchedCamera]]:
    query = sa.select(cameras).where(cameras.c.edge_id.in_(edge_ids)).order_by(cameras.c.created_at, cameras.c.name)
    found: dict[str, list[WatchedCamera]] = {}
    for r in connection.execute(query):
        found.setdefault(r.edge_id, []).append(_camera(r))
    return found


def _told(camera: CameraStatus) -> dict[str, object]:
    funnel = None if camera.funnel is None else msgspec.to_builtins(camera.funnel)
    return {"up": camera.up, "fps": camera.fps, "dropped": camera.dropped, "funnel": funnel}


def _camera(row: sa.Row[Any]) -> WatchedCamera:
    return WatchedCamera(
        edge_id=row.edge_id,
        name=row.name,
        up=row.up,
        direction=Direction(row.direction) if row.direction else None,
        fps=row.fps,
        dropped=row.dropped,
        funnel=msgspec.convert(row.funnel, Funnel) if row.funnel else None,
    )


def _positions(connection: sa.Connection, edge_ids: list[str], now: datetime) -> dict[str, list[EdgePosition]]:
    missing = (gallery_changes.c.gallery_id == edge_positions.c.gallery_id) & (
        gallery_changes.c.revision > edge_positions.c.revision
    )
    first = sa.select(gallery_changes.c.changed_at).where(missing).order_by(gallery_changes.c.revision).limit(1)
    query = (
        sa.select(edge_positions, galleries.c.revision.label("head"), first.scalar_subquery().label("behind_since"))
        .join(galleries)
        .where(edge_positions.c.edge_id.in_(edge_ids))
        .order_by(edge_positions.c.gallery_id)
    )
    found: dict[str, list[EdgePosition]] = {}
    for r in connection.execute(query):
        # Of changes that are no longer kept one by one it is not known when they were made, but after the report.
        behind_since = r.behind_since or r.reported_at
        found.setdefault(r.edge_id, []).append(
            EdgePosition(
                gallery_id=r.gallery_id,
                revision=r.revision,
                checksum=checksum_text(r.checksum),
                lag=r.head - r.revision,
                lag_s=max(0.0, (now - behind_since).total_seconds()) if r.head > r.revision else 0.0,
                error=r.error,
                reported_at=r.reported_at,
            )
        )
    return found
