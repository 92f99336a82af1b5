"""Erasing once more who was erased before, and came back with a database that was put back: the vault remembers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime

import sqlalchemy as sa

from control_plane.store import audit, discards, erasures, galleries, identities, merges
from control_plane.store.blobs import BlobStore
from control_plane.store.db import Connection, Database
from control_plane.store.tables import encodings, gallery_members, photos
from control_plane.store.tables import identities as people
from faces.gallery import Key

ACTOR = "job:restore"
AT_ONCE = 500


def at_start(database: Database, blobs: BlobStore, now: datetime) -> int:
    """Before anything is served: erase again whoever the vault says was erased; returns how many came back."""
    erased = {} if database.vault is None else database.vault.erasures()
    with database.read() as connection:
        back = _here(connection, sorted(erased))
    if back:
        with database.write() as connection:
            gone = replay(connection, back, now)
        discards.carry_out(database, blobs, gone)
        database.truncate_wal()
    return len(back)


def replay(connection: Connection, erased: Iterable[str], now: datetime) -> list[str]:
    """Erase those of these people who are here; returns the files and keys for `discards.carry_out`.

    Their keys are destroyed: nothing of them is read. Somebody of a merged person is taken apart from the others first.
    """
    # Another process may be at it, too.
    galleries.lock_all(connection)
    here = _here(connection, sorted(erased))
    if not here:
        return []
    gone = _take_away(connection, here, now)
    for identity_id in here:
        into = sa.select(people.c.id, people.c.merged_into).where(people.c.id == identity_id)
        if connection.execute(into).one_or_none() is None:
            continue
        _take_apart(connection, identity_id, now)
        gone += identities.erase(connection, identity_id, now)
    audit.did(connection, ACTOR, "identity.erase", now, [(identity_id, None) for identity_id in here])
    return gone


def _here(connection: Connection, ids: Sequence[str]) -> list[str]:
    """Those who are here, people of their own before those who are part of one."""
    found: list[tuple[bool, str]] = []
    for start in range(0, len(ids), AT_ONCE):
        some = ids[start : start + AT_ONCE]
        again = set(some) - erasures.among(connection, some)
        query = sa.select(people.c.id, people.c.merged_into).where(people.c.id.in_(again))
        found += [(row.merged_into is not None, row.id) for row in connection.execute(query)]
    return [identity_id for _, identity_id in sorted(found)]


def _take_away(connection: Connection, ids: Sequence[str], now: datetime) -> list[str]:
    """Remove what came from these people, whoever they are part of: it cannot be read any more."""
    changes: dict[str, list[galleries.Change]] = defaultdict(list)
    blobs: list[str] = []
    for start in range(0, len(ids), AT_ONCE):
        some = ids[start : start + AT_ONCE]
        theirs = sa.func.coalesce(encodings.c.origin_id, encodings.c.identity_id).in_(some)
        held = sa.select(encodings.c.id, encodings.c.hash, encodings.c.model, gallery_members.c.gallery_id)
        joined = held.join(gallery_members, gallery_members.c.identity_id == encodings.c.identity_id).where(theirs)
        for row in connection.execute(joined.order_by(encodings.c.id)):
            changes[row.gallery_id].append(galleries.removal(Key("encoding", row.id), row.hash, row.model))
        connection.execute(encodings.delete().where(theirs))
        pictures = sa.func.coalesce(photos.c.origin_id, photos.c.identity_id).in_(some)
        blobs += connection.execute(photos.delete().where(pictures).returning(photos.c.blob)).scalars()
    galleries.lock(connection, changes)
    for gallery_id in sorted(changes):
        galleries.record(connection, gallery_id, changes[gallery_id], now)
    return discards.note(connection, blobs, now)


def _take_apart(connection: Connection, identity_id: str, now: datetime) -> None:
    into = sa.select(people.c.merged_into).where(people.c.id == identity_id)
    survivor = connection.execute(into).scalar()
    if survivor is not None:
        _take_apart(connection, survivor, now)
        merges.unmerge(connection, survivor, identity_id, now)
