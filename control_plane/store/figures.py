"""What the database says of how all is going: figures without names, for whoever watches over the product."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa

from control_plane.store import events, sites
from control_plane.store.db import Connection
from control_plane.store.tables import (
    deliveries,
    discards,
    edges,
    enrollments,
    erasures,
    identifications,
    import_chunks,
    imports,
    reencoding_chunks,
    reencodings,
    webhooks,
)

SILENT = timedelta(minutes=2)
"""An edge that has said nothing for so long is silent."""

FAILING = timedelta(minutes=10)
"""A receiver that has only failed for so long is failing: one that restarts does not take as long."""

MOST_EDGES = 10_000


@dataclass(frozen=True, slots=True)
class Waiting:
    """Rows of one kind that wait for a worker, and for how long the oldest has been due."""

    count: int
    oldest_s: float


@dataclass(frozen=True, slots=True)
class Figures:
    """`waiting` by kind of job. `lag` and `lag_s`: of the edge that is furthest behind, in revisions and seconds.
    `failing`: webhooks whose receivers have only failed for a while."""

    waiting: Mapping[str, Waiting]
    events: int
    edges: int
    silent: int
    lag: int
    lag_s: float
    failing: int


def figures(connection: Connection, now: datetime) -> Figures:
    seen = edges.c.last_seen_at
    silent = sa.func.sum(sa.case((seen < now - SILENT, 1), else_=0))
    known, quiet = connection.execute(sa.select(sa.func.count(), silent).select_from(edges)).one()
    copies = [copy for edge in sites.edge_listing(connection, now, limit=MOST_EDGES) for copy in edge.galleries]
    chunks = sa.and_(import_chunks.c.import_id == imports.c.id, imports.c.state == "running")
    photos = sa.and_(reencoding_chunks.c.reencoding_id == reencodings.c.id, reencodings.c.state == "running")
    failing = webhooks.c.enabled & (webhooks.c.failing_since <= now - FAILING)
    return Figures(
        waiting={
            "enroll": _waiting(connection, enrollments.c.created_at, enrollments.c.state == "pending", now),
            "identify": _waiting(connection, identifications.c.created_at, identifications.c.state == "pending", now),
            "read_archive": _waiting(connection, imports.c.created_at, imports.c.state == "pending", now),
            "reencode": _waiting(connection, reencodings.c.created_at, photos, now),
            "discard": _waiting(connection, discards.c.discarded_at, sa.true(), now),
            "scrub": _waiting(connection, erasures.c.erased_at, erasures.c.scrubbed_at.is_(None), now),
            "import": _waiting(connection, imports.c.created_at, chunks, now),
            "deliver": _waiting(
                connection, deliveries.c.due_at, (deliveries.c.state == "pending") & (deliveries.c.due_at <= now), now
            ),
        },
        events=events.head(connection),
        edges=int(known),
        silent=int(quiet or 0),
        lag=max((copy.lag for copy in copies), default=0),
        lag_s=max((copy.lag_s for copy in copies), default=0.0),
        failing=connection.execute(sa.select(sa.func.count()).select_from(webhooks).where(failing)).scalar_one(),
    )


def _waiting(
    connection: Connection, since: sa.Column[datetime], which: sa.ColumnElement[bool], now: datetime
) -> Waiting:
    count, oldest = connection.execute(sa.select(sa.func.count(), sa.func.min(since)).where(which)).one()
    return Waiting(int(count), max(0.0, (now - oldest).total_seconds()) if oldest else 0.0)
