"""Merging two people into one, and taking them apart again as they were.

The one who was merged keeps her row (name, external id, attributes, validity), in no gallery; the survivor keeps hers.
Photos, encodings and enrollments become the survivor's and remember whose they were; the survivor joins the other's
galleries. Events keep the id they came with and are found under both. What comes to the survivor later stays hers.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime

import msgspec
import sqlalchemy as sa

from control_plane.store import galleries, identities, members
from control_plane.store.tables import encodings, enrollments, gallery_members, merged_members, photos
from control_plane.store.tables import identities as people
from faces.corrections import too_close
from faces.encoding import from_bytes, many_from_bytes
from faces.errors import Conflict, NotFound
from faces.gallery import Key, Row, key, row_hash


def merge(connection: sa.Connection, survivor_id: str, merged_id: str, now: datetime) -> None:
    """Make `merged_id` part of `survivor_id`. Raises NotFound, Merged if one of them is part of somebody already, and
    Conflict if they are the same.

    Corrections of one that lie too near to the other's own encodings (`corrections.too_close`) said no more than that
    the two were taken for each other: they are set aside, with the merged one, until the two are taken apart.
    """
    if survivor_id == merged_id:
        raise Conflict("nobody can be merged with themselves")
    galleries.lock_all(connection)
    both = survivor_id, merged_id
    before = {i: _held(connection, i) for i in both}
    void = _void(connection, both)
    _add_galleries(connection, survivor_id, merged_id)
    for table in (photos, enrollments):
        _move(connection, table, table.c.identity_id == merged_id, survivor_id)
    kept = encodings.c.id.not_in(void)
    _move(connection, encodings, (encodings.c.identity_id == merged_id) & kept, survivor_id)
    _move(connection, encodings, (encodings.c.identity_id == survivor_id) & ~kept, merged_id)
    connection.execute(people.update().where(people.c.id == merged_id).values(merged_into=survivor_id))
    _record(connection, list(before.values()), [_held(connection, survivor_id)], now)


def unmerge(connection: sa.Connection, survivor_id: str, merged_id: str, now: datetime) -> None:
    """Take `merged_id` out of `survivor_id` again, with all that was hers then, where nobody has removed it since.

    Raises NotFound if the one is not part of the other, and Merged if the survivor was merged in her turn: that has to
    be taken apart first. She is again in those of her galleries that the survivor is in still; the survivor leaves
    those that she came into by the merge alone.
    """
    galleries.lock_all(connection)
    identities.row(connection, survivor_id)
    into = connection.execute(sa.select(people.c.merged_into).where(people.c.id == merged_id)).scalar()
    if into != survivor_id:
        raise NotFound(f"identity {merged_id!r} is not merged into {survivor_id!r}")
    before = [_held(connection, survivor_id)]
    hers = identities.tree(connection, merged_id)
    _claim_late(connection, hers)
    for table in (photos, enrollments, encodings):
        came_from, lies_with = _origin(table).in_(hers), table.c.identity_id.in_(hers)
        _move(connection, table, (table.c.identity_id == survivor_id) & came_from, merged_id)
        _move(connection, table, lies_with & ~came_from, survivor_id)
    connection.execute(people.update().where(people.c.id == merged_id).values(merged_into=None))
    _part_galleries(connection, survivor_id, merged_id)
    _record(connection, before, [_held(connection, i) for i in (survivor_id, merged_id)], now)


def _held(connection: sa.Connection, identity_id: str) -> dict[str, list[tuple[Row, int]]]:
    """A person's rows with their hashes, by gallery."""
    rows = members.rows(connection, identity_id)
    return dict.fromkeys(identities.member_of(connection, identity_id), rows)


def _record(
    connection: sa.Connection,
    before: Iterable[dict[str, list[tuple[Row, int]]]],
    after: Iterable[dict[str, list[tuple[Row, int]]]],
    now: datetime,
) -> None:
    """Put into each gallery's log what is other there than before. People come before their encodings, and what goes
    comes last, so that a copy finds everybody at every step."""
    was: dict[str, dict[Key, tuple[Row, int]]] = defaultdict(dict)
    for held in before:
        for gallery_id, rows in held.items():
            was[gallery_id] |= {key(row): (row, value) for row, value in rows}
    changes: dict[str, list[galleries.Change]] = defaultdict(list)
    for held in after:
        for gallery_id, rows in held.items():
            for row, value in rows:
                _, old = was[gallery_id].pop(key(row), (row, 0))
                if old != value:
                    changes[gallery_id].append(galleries.put(row, old))
    for gallery_id in sorted(was):
        gone = [galleries.removal_of(row, value) for row, value in was[gallery_id].values()]
        galleries.record(connection, gallery_id, changes[gallery_id] + gone, now)


def _void(connection: sa.Connection, both: Sequence[str]) -> list[str]:
    """The corrections of either that would keep the one person they become from being recognised."""
    rows = connection.execute(sa.select(encodings).where(encodings.c.identity_id.in_(both))).all()
    own: dict[str, list[bytes]] = defaultdict(list)
    plain = galleries.encoding_rows(connection, rows)
    for row in plain:
        if not row.against:
            own[row.model].append(row.data)
    return [r.id for r in plain if r.against and too_close(r.model, many_from_bytes(own[r.model]), from_bytes(r.data))]


def _origin(table: sa.Table) -> sa.ColumnElement[str]:
    return sa.func.coalesce(table.c.origin_id, table.c.identity_id)


def _move(connection: sa.Connection, table: sa.Table, which: sa.ColumnElement[bool], to: str) -> None:
    """Make rows another person's; they remember whose they were, until they are home again."""
    home = sa.case((_origin(table) == to, None), else_=_origin(table))
    if table is not encodings:
        connection.execute(table.update().where(which).values(identity_id=to, origin_id=home))
        return
    for found in galleries.encoding_rows(connection, connection.execute(sa.select(encodings).where(which)).all()):
        # By whose key it is sealed stays: that of the person it came from.
        row = msgspec.structs.replace(found, identity_id=to)
        this = encodings.c.id == found.id
        connection.execute(encodings.update().where(this).values(identity_id=to, origin_id=home, hash=row_hash(row)))


def _claim_late(connection: sa.Connection, hers: Sequence[str]) -> None:
    """What was put forward for somebody before the merge and accepted after it came from her too."""
    of_late = enrollments.c.origin_id.in_(hers)
    query = sa.select(enrollments.c.origin_id, enrollments.c.photo_id, enrollments.c.correction_id).where(of_late)
    for origin_id, photo_id, correction_id in connection.execute(query).all():
        for column, value in (
            (photos.c.id, photo_id),
            (encodings.c.photo_id, photo_id),
            (encodings.c.id, correction_id),
        ):
            if value is not None:
                _mark(connection, column.table, column == value, origin_id)


def _mark(connection: sa.Connection, table: sa.Table, which: sa.ColumnElement[bool], origin_id: str) -> None:
    """Have rows that nobody marked yet come from this person; encodings are then sealed by their key."""
    unmarked = which & table.c.origin_id.is_(None)
    if table is not encodings:
        connection.execute(table.update().where(unmarked).values(origin_id=origin_id))
        return
    found = galleries.encoding_rows(connection, connection.execute(sa.select(encodings).where(unmarked)).all())
    for row in galleries.sealed_rows(connection, [(row, origin_id) for row in found]):
        this = encodings.c.id == row["id"]
        connection.execute(encodings.update().where(this).values(origin_id=origin_id, data=row["data"]))


def _add_galleries(connection: sa.Connection, survivor_id: str, merged_id: str) -> None:
    """Have the survivor in all galleries of the other, who leaves them."""
    held, others = (identities.member_of(connection, i) for i in (survivor_id, merged_id))
    connection.execute(gallery_members.delete().where(gallery_members.c.identity_id == merged_id))
    for gallery_id in others:
        added = gallery_id not in held
        connection.execute(merged_members.insert().values(identity_id=merged_id, gallery_id=gallery_id, added=added))
        if added:
            connection.execute(gallery_members.insert().values(gallery_id=gallery_id, identity_id=survivor_id))


def _part_galleries(connection: sa.Connection, survivor_id: str, merged_id: str) -> None:
    held = identities.member_of(connection, survivor_id)
    hers = connection.execute(sa.select(merged_members).where(merged_members.c.identity_id == merged_id)).all()
    connection.execute(merged_members.delete().where(merged_members.c.identity_id == merged_id))
    for gallery_id, added in ((m.gallery_id, m.added) for m in hers if m.gallery_id in held):
        connection.execute(gallery_members.insert().values(gallery_id=gallery_id, identity_id=merged_id))
        if added and not _inherited(connection, survivor_id, gallery_id):
            leaving = (gallery_members.c.gallery_id == gallery_id) & (gallery_members.c.identity_id == survivor_id)
            connection.execute(gallery_members.delete().where(leaving))


def _inherited(connection: sa.Connection, survivor_id: str, gallery_id: str) -> bool:
    """Whether somebody else who was merged into her has her in this gallery, and if so by that one's merge from now."""
    others = sa.select(people.c.id).where(people.c.merged_into == survivor_id)
    theirs = (merged_members.c.gallery_id == gallery_id) & merged_members.c.identity_id.in_(others)
    heir = connection.execute(sa.select(sa.func.min(merged_members.c.identity_id)).where(theirs)).scalar()
    if heir is None:
        return False
    this = (merged_members.c.identity_id == heir) & (merged_members.c.gallery_id == gallery_id)
    connection.execute(merged_members.update().where(this).values(added=True))
    return True
