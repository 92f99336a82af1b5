"""Taking back what an import brought, and nothing else."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime

import sqlalchemy as sa

from control_plane.store import discards, galleries, identities, members
from control_plane.store.import_items import Brought, ItemState
from control_plane.store.tables import encodings, enrollments, gallery_members, import_items, photos
from control_plane.store.tables import identities as identities_table
from faces.gallery import Key


def take_back(connection: sa.Connection, import_id: str, brought: Sequence[Brought], now: datetime) -> list[str]:
    """Remove these photos, and people whom this import made and nobody else touched.

    A photo stays that another import put forward too, and is that one's from now on; a person stays who was changed,
    was given anything by somebody else, or is in another gallery. Returns the files to delete (`discards.carry_out`).
    """
    galleries.lock_all(connection)
    own = [item for item in brought if item.state == ItemState.ACCEPTED]
    shared = _hand_over(connection, import_id, own)
    photo_ids = [item.photo_id for item in own if item.photo_id not in shared]
    _remove_encodings(connection, photo_ids, now)
    gone = connection.execute(photos.delete().where(photos.c.id.in_(photo_ids)).returning(photos.c.blob)).scalars()
    blobs = discards.note(connection, gone, now)
    for item in brought:
        if item.joined and not _needed(connection, import_id, item):
            members.leave(connection, item.gallery_id, item.identity_id, now)
        if item.identity_hash is not None and _untouched(connection, item.identity_id, item.identity_hash):
            blobs += identities.erase(connection, item.identity_id, now)
    return blobs


def in_use(connection: sa.Connection, prefix: str) -> set[str]:
    """The blobs of photos that begin so."""
    query = sa.select(photos.c.blob).where(photos.c.blob.startswith(prefix, autoescape=True))
    return set(connection.execute(query).scalars())


def _hand_over(connection: sa.Connection, import_id: str, brought: Sequence[Brought]) -> set[str]:
    """Make photos that another import put forward too that one's; returns them."""
    others = import_items.c.photo_id.in_([item.photo_id for item in brought]) & (import_items.c.import_id != import_id)
    query = sa.select(import_items).where(others & (import_items.c.state == ItemState.DUPLICATE))
    heirs = {row.photo_id: row for row in connection.execute(query.order_by(import_items.c.import_id.desc()))}
    for heir in heirs.values():
        made = sa.select(sa.func.max(import_items.c.identity_hash)).where(
            (import_items.c.import_id == import_id) & (import_items.c.identity_id == heir.identity_id)
        )
        connection.execute(
            import_items.update()
            .where((import_items.c.import_id == heir.import_id) & (import_items.c.seq == heir.seq))
            .values(state=ItemState.ACCEPTED, identity_hash=connection.execute(made).scalar())
        )
    return set(heirs)


def _needed(connection: sa.Connection, import_id: str, item: Brought) -> bool:
    """Whether a person has left the gallery that an import brought them into, or another import put them there too."""
    if item.gallery_id not in identities.member_of(connection, item.identity_id):
        return True
    others = import_items.c.state.in_((ItemState.ACCEPTED, ItemState.DUPLICATE)) & (
        import_items.c.import_id != import_id
    )
    there = (import_items.c.identity_id == item.identity_id) & (import_items.c.gallery_id == item.gallery_id)
    return connection.execute(sa.select(import_items.c.seq).where(others & there).limit(1)).first() is not None


def _remove_encodings(connection: sa.Connection, photo_ids: Sequence[str], now: datetime) -> None:
    """Of every model: a photo may have been encoded anew since."""
    query = (
        sa.select(encodings.c.id, encodings.c.hash, encodings.c.model, gallery_members.c.gallery_id)
        .join(gallery_members, gallery_members.c.identity_id == encodings.c.identity_id)
        .where(encodings.c.photo_id.in_(photo_ids))
        .order_by(encodings.c.id)
    )
    changes: dict[str, list[galleries.Change]] = defaultdict(list)
    for row in connection.execute(query):
        changes[row.gallery_id].append(galleries.removal(Key("encoding", row.id), row.hash, row.model))
    for gallery_id in sorted(changes):
        galleries.record(connection, gallery_id, changes[gallery_id], now)
    connection.execute(encodings.delete().where(encodings.c.photo_id.in_(photo_ids)))


def _untouched(connection: sa.Connection, identity_id: str, identity_hash: int) -> bool:
    """Whether a person is as an import made them, and has nothing left."""
    apart = (identities_table.c.id == identity_id) & identities_table.c.merged_into.is_(None)
    query = sa.select(identities_table.c.hash).where(apart)
    if connection.execute(query).scalar() != identity_hash:
        return False
    if len(identities.member_of(connection, identity_id)) > 1:
        return False
    pending = (enrollments.c.identity_id == identity_id) & (enrollments.c.state == "pending")
    others = (
        sa.select(photos.c.id).where(photos.c.identity_id == identity_id),
        sa.select(encodings.c.id).where(encodings.c.identity_id == identity_id),
        sa.select(enrollments.c.id).where(pending),
        sa.select(identities_table.c.id).where(identities_table.c.merged_into == identity_id),
    )
    return all(connection.execute(query.limit(1)).first() is None for query in others)
