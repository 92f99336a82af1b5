"""Erasures: who was erased, and which edges have said that they have forgotten them. Ids only."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

import msgspec
import sqlalchemy as sa

from control_plane.store.tables import edge_positions, edges, erasure_revisions, erasures, site_galleries
from faces.errors import NotFound
from faces.wire import Position


class EdgeErasure(msgspec.Struct, frozen=True, kw_only=True):
    """Whether one edge has confirmed; `needed` and `reported` are revisions of the gallery."""

    edge_id: str
    edge: str
    gallery_id: str
    needed: int
    reported: int | None
    last_seen_at: datetime


class Erasure(msgspec.Struct, frozen=True, kw_only=True):
    """An erasure. `scrubbed_at`: since when the control plane's own files hold nothing of the person. It is complete
    when that is so and no edge is pending."""

    identity_id: str
    erased_at: datetime
    scrubbed_at: datetime | None
    complete: bool
    confirmed: list[EdgeErasure]
    pending: list[EdgeErasure]


def note(connection: sa.Connection, identity_id: str, positions: dict[str, Position], now: datetime) -> None:
    """Keep that this identity was erased, and where each gallery stood then."""
    connection.execute(erasures.insert().values(identity_id=identity_id, erased_at=now))
    for gallery_id, position in positions.items():
        connection.execute(
            erasure_revisions.insert().values(
                identity_id=identity_id, gallery_id=gallery_id, revision=position.revision
            )
        )


def unscrubbed(connection: sa.Connection, before: datetime, *, limit: int = 1000) -> list[str]:
    """Those erased before of whom something may be left here, the first of them first."""
    waiting = erasures.c.scrubbed_at.is_(None) & (erasures.c.erased_at <= before)
    query = sa.select(erasures.c.identity_id).where(waiting).order_by(erasures.c.erased_at).limit(limit)
    return list(connection.execute(query).scalars())


def scrubbed(connection: sa.Connection, identity_ids: Iterable[str], now: datetime) -> None:
    """Nothing is left here of those erased."""
    of = erasures.c.identity_id.in_(list(identity_ids))
    connection.execute(erasures.update().where(of).values(scrubbed_at=now))


def among(connection: sa.Connection, identity_ids: Iterable[str]) -> set[str]:
    """Those of the given identities that were erased."""
    query = sa.select(erasures.c.identity_id).where(erasures.c.identity_id.in_(set(identity_ids)))
    return set(connection.execute(query).scalars())


def get(connection: sa.Connection, identity_id: str) -> Erasure:
    """How far an erasure has got; raises NotFound for an identity that was never erased.

    Every edge that follows one of the person's galleries, or has ever reported a copy of it, must confirm.
    """
    row = connection.execute(sa.select(erasures).where(erasures.c.identity_id == identity_id)).one_or_none()
    if row is None:
        raise NotFound(f"identity {identity_id!r} was not erased")
    told = [_edge(row) for row in connection.execute(_concerned(identity_id))]
    pending = [edge for edge in told if edge.reported is None or edge.reported < edge.needed]
    return Erasure(
        identity_id=identity_id,
        erased_at=row.erased_at,
        scrubbed_at=row.scrubbed_at,
        complete=row.scrubbed_at is not None and not pending,
        confirmed=[edge for edge in told if edge not in pending],
        pending=pending,
    )


def _concerned(identity_id: str) -> sa.Select[str, str, str, int, int | None, datetime]:
    revisions, reported = erasure_revisions, edge_positions
    follows = sa.exists().where(
        (site_galleries.c.site_id == edges.c.site_id) & (site_galleries.c.gallery_id == revisions.c.gallery_id)
    )
    copy = (reported.c.edge_id == edges.c.id) & (reported.c.gallery_id == revisions.c.gallery_id)
    return (
        sa.select(
            edges.c.id,
            edges.c.name,
            revisions.c.gallery_id,
            revisions.c.revision,
            reported.c.revision.label("reported"),
            edges.c.last_seen_at,
        )
        .select_from(revisions.join(edges, sa.true()).outerjoin(reported, copy))
        .where((revisions.c.identity_id == identity_id) & (follows | reported.c.revision.is_not(None)))
        .order_by(edges.c.id, revisions.c.gallery_id)
    )


def _edge(row: sa.Row[str, str, str, int, int | None, datetime]) -> EdgeErasure:
    edge_id, name, gallery_id, needed, reported, last_seen_at = row
    return EdgeErasure(
        edge_id=edge_id, edge=name, gallery_id=gallery_id, needed=needed, reported=reported, last_seen_at=last_seen_at
    )
