"""Galleries and their change log: every change takes the next revision, in the change's own transaction."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple, TypeVar

import msgspec
import sqlalchemy as sa

from control_plane.store import thresholds
from control_plane.store.db import insert_rows
from control_plane.store.seals import Plain, Sealed, encoding_owner, of_encoding, seal_all, unseal_all
from control_plane.store.tables import (
    encodings,
    galleries,
    gallery_changes,
    gallery_members,
    identities,
    site_galleries,
)
from control_plane.store.vault import person
from faces.consent import ends
from faces.errors import Compacted, Conflict, Diverged, NotFound
from faces.gallery import EncodingRow, IdentityRow, Key, Kind, Row, SettingsRow, checksum, checksum_text, key, row_hash
from faces.wire import START, Followed, Page, Position, SnapshotHead

DEFAULT_GALLERY = "default"

PAGE_ROWS = 1000
"""How many changes a page is cut from."""

LONGEST_PAGE = 10_000
"""A page that cannot be cut shorter than this many changes is not served: a snapshot is cheaper."""

COMPACT_EVERY = timedelta(days=1)
"""How often old changes are seen to."""

_CHUNK = 500


class Gallery(msgspec.Struct, frozen=True, kw_only=True):
    """A gallery as the API shows it; `checksum` as 16 hexadecimal digits. `model`: whose encodings its copies hold;
    null: those of every model, as the engine was never changed. `th_accept_engine` is what `th_accept` was set for, and
    `warning` says where that is not what is in use."""

    id: str
    name: str
    kind: Kind
    th_accept: float | None
    th_accept_engine: str | None
    warning: str | None
    model: str | None
    revision: int
    checksum: str
    identities: int
    created_at: datetime


class Change(NamedTuple):
    """One row's change in a gallery: its hash before (0: was not there) and after (0: removed), an encoding's model."""

    key: Key
    before: int
    after: int
    removed: bool = False
    model: str | None = None


def put(row: Row, before: int = 0) -> Change:
    """The change that adds `row`, or replaces the one whose hash was `before`."""
    return Change(key(row), before, row_hash(row), model=_model(row))


def removal(of: Key, before: int, model: str | None) -> Change:
    """The change that removes the row whose hash was `before`; `model` is an encoding's, None for other rows."""
    return Change(of, before, 0, removed=True, model=model)


def removal_of(row: Row, before: int) -> Change:
    """The change that removes this row, whose hash is `before`."""
    return removal(key(row), before, _model(row))


def active_model(connection: sa.Connection) -> str | None:
    """The model whose encodings all galleries hold; None: of every model, as the engine was never changed."""
    default = sa.select(galleries.c.model).where(galleries.c.id == DEFAULT_GALLERY)
    model: str | None = connection.execute(default).scalar()
    return model


def switch(connection: sa.Connection, model: str, now: datetime) -> None:
    """Have all galleries hold the encodings of this model and no others, each from one revision on.

    Copies that stand before it start over from a snapshot: none is ever half of one model and half of another.
    """
    lock(connection, revisions(connection))
    for gallery in connection.execute(sa.select(galleries).order_by(galleries.c.id)).all():
        connection.execute(galleries.update().where(galleries.c.id == gallery.id).values(model=model))
        total = _total(connection, _gallery(connection, gallery.id))
        if total == gallery.checksum:
            continue
        change = Change(Key("settings", gallery.id), gallery.checksum, total)
        revision = record(connection, gallery.id, [change], now).revision
        connection.execute(galleries.update().where(galleries.c.id == gallery.id).values(compacted_to=revision))


def create(connection: sa.Connection, settings: SettingsRow, now: datetime) -> None:
    """Make an empty gallery; its settings are its first change. Raises Conflict for a name that another has."""
    _check_name(connection, settings)
    # The engine is not changed meanwhile.
    lock(connection, [DEFAULT_GALLERY])
    connection.execute(
        galleries.insert().values(
            id=settings.id,
            name=settings.name,
            kind=settings.kind,
            th_accept=settings.th_accept,
            revision=0,
            checksum=0,
            settings_hash=row_hash(settings),
            model=active_model(connection),
            compacted_to=0,
            created_at=now,
        )
    )
    record(connection, settings.id, [put(settings)], now)


def settings(connection: sa.Connection, gallery_id: str) -> SettingsRow:
    """A gallery's settings; raises NotFound."""
    return _settings(_gallery(connection, gallery_id))


def change_settings(connection: sa.Connection, after: SettingsRow, now: datetime) -> None:
    """Give a gallery other settings; raises NotFound, and Conflict for a name that another gallery has."""
    lock(connection, [after.id])
    before = settings(connection, after.id)
    if before == after:
        return
    _check_name(connection, after)
    connection.execute(
        galleries.update()
        .where(galleries.c.id == after.id)
        .values(name=after.name, kind=after.kind, th_accept=after.th_accept, settings_hash=row_hash(after))
    )
    record(connection, after.id, [put(after, row_hash(before))], now)


def delete(connection: sa.Connection, gallery_id: str) -> None:
    """Remove a gallery; its people stay, and edges forget it as their sites no longer follow it. Raises NotFound."""
    settings(connection, gallery_id)
    if gallery_id == DEFAULT_GALLERY:
        raise Conflict("the default gallery stays", remedy="Take people out of it, or have sites follow others.")
    connection.execute(galleries.delete().where(galleries.c.id == gallery_id))


def compact(connection: sa.Connection, gallery_id: str, upto: int) -> None:
    """Keep the changes up to a revision no longer one by one: a copy that stands before it starts over.

    That somebody left stays known as long as they are enrolled: should they be erased, a copy that lags must say so.
    """
    lock(connection, [gallery_id])
    upto = min(upto, position(connection, gallery_id).revision)
    old = (gallery_changes.c.gallery_id == gallery_id) & (gallery_changes.c.revision <= upto)
    enrolled = sa.exists().where(identities.c.id == gallery_changes.c.row_id)
    left = (gallery_changes.c.row_kind == "identity") & gallery_changes.c.superseded_by.is_(None) & enrolled
    connection.execute(gallery_changes.delete().where(old & ~(left & gallery_changes.c.removed)))
    below = (galleries.c.id == gallery_id) & (galleries.c.compacted_to < upto)
    connection.execute(galleries.update().where(below).values(compacted_to=upto))


def compactable(connection: sa.Connection, now: datetime, *, limit: int) -> list[str]:
    """Galleries whose old changes nobody has seen to lately."""
    return list(connection.execute(sa.select(galleries.c.id).where(_compactable(now)).limit(limit)).scalars())


def claim_compaction(connection: sa.Connection, gallery_id: str, before: datetime, now: datetime) -> range | None:
    """Take a gallery that is due; the revisions, up to the last from before that time, whose changes may go. None if
    somebody else has taken it."""
    this = (galleries.c.id == gallery_id) & _compactable(now)
    taken = galleries.update().where(this).values(compacted_at=now).returning(galleries.c.compacted_to)
    done_to = connection.execute(taken).scalar()
    if done_to is None:
        return None
    old = (gallery_changes.c.gallery_id == gallery_id) & (gallery_changes.c.changed_at < before)
    upto = connection.execute(sa.select(sa.func.max(gallery_changes.c.revision)).where(old)).scalar()
    return range(done_to, max(done_to, upto or 0))


def _compactable(now: datetime) -> sa.ColumnElement[bool]:
    return galleries.c.compacted_at.is_(None) | (galleries.c.compacted_at <= now - COMPACT_EVERY)


def get(connection: sa.Connection, gallery_id: str) -> Gallery:
    found = listing(connection, gallery_id=gallery_id)
    if not found:
        raise NotFound(f"there is no gallery {gallery_id!r}")
    return found[0]


def listing(
    connection: sa.Connection,
    *,
    after: str = "",
    limit: int = 100,
    gallery_id: str | None = None,
    within: Collection[str] | None = None,
) -> list[Gallery]:
    """Galleries in id order from `after` on, of those `within` if given, each with where it stands and how many
    people are in it."""
    members = (
        sa.select(sa.func.count()).where(gallery_members.c.gallery_id == galleries.c.id).scalar_subquery()
    ).label("identities")
    query = sa.select(galleries, members).where(galleries.c.id > after).order_by(galleries.c.id).limit(limit)
    if gallery_id is not None:
        query = query.where(galleries.c.id == gallery_id)
    if within is not None:
        query = query.where(galleries.c.id.in_(within))
    return [
        Gallery(
            id=r.id,
            name=r.name,
            kind=Kind(r.kind),
            th_accept=r.th_accept,
            th_accept_engine=r.th_accept_engine if r.th_accept is not None else None,
            warning=thresholds.warning(connection, r.id, r.th_accept_engine) if r.th_accept is not None else None,
            model=r.model,
            revision=r.revision,
            checksum=checksum_text(r.checksum),
            identities=r.identities,
            created_at=r.created_at,
        )
        for r in connection.execute(query)
    ]


def lock(connection: sa.Connection, gallery_ids: Iterable[str]) -> None:
    """Hold these galleries until the transaction ends: whoever changes them waits. Always in id order."""
    ordered = sorted(set(gallery_ids))
    query = sa.select(galleries.c.id).where(galleries.c.id.in_(ordered)).order_by(galleries.c.id)
    connection.execute(query.with_for_update()).all()


def lock_all(connection: sa.Connection) -> None:
    """Hold all galleries until the transaction ends: nobody comes into one, or leaves it, meanwhile. Whoever changes a
    person does so before asking which galleries they are in."""
    held: set[str] = set()
    while (there := set(revisions(connection))) - held:
        # One may have been made while others were waited for.
        lock(connection, there)
        held = there


def record(connection: sa.Connection, gallery_id: str, changes: Sequence[Change], now: datetime) -> Position:
    """Append changes to a gallery's log, one revision each; returns where the gallery then stands.

    Encodings of another model than the gallery's are not in it, and so nothing of them changes there.
    """
    columns = galleries.c.revision, galleries.c.checksum, galleries.c.model
    query = sa.select(*columns).where(galleries.c.id == gallery_id)
    revision, total, model = connection.execute(query.with_for_update()).one()
    changes = [change for change in changes if None in (model, change.model) or change.model == model]
    rows: list[dict[str, Any]] = []
    latest: dict[Key, dict[str, Any]] = {}
    for change in changes:
        revision += 1
        total ^= change.before ^ change.after
        row = {
            "gallery_id": gallery_id,
            "revision": revision,
            "row_kind": change.key.kind,
            "row_id": change.key.id,
            "removed": change.removed,
            "superseded_by": None,
            "checksum": total,
            "changed_at": now,
        }
        if change.key in latest:
            latest[change.key]["superseded_by"] = revision
        rows.append(row)
        latest[change.key] = row
    if rows:
        _supersede(connection, gallery_id, {Key(r["row_kind"], r["row_id"]): r["revision"] for r in reversed(rows)})
        insert_rows(connection, gallery_changes, rows)
    connection.execute(galleries.update().where(galleries.c.id == gallery_id).values(revision=revision, checksum=total))
    return Position(revision, total)


def position(connection: sa.Connection, gallery_id: str) -> Position:
    row = _gallery(connection, gallery_id)
    return Position(row.revision, row.checksum)


def stood_at(connection: sa.Connection, gallery_id: str, claimed: Position) -> bool:
    """Whether the gallery is known to have stood at this position: then a copy there holds what it held. One that was
    restored from a backup never stood where copies of its lost future stand, though the revision may be the same."""
    if claimed == START:
        return True
    _gallery(connection, gallery_id)
    return checksum_at(connection, gallery_id, claimed.revision) == claimed.checksum


def checksum_at(connection: sa.Connection, gallery_id: str, revision: int) -> int | None:
    """A gallery's checksum when it stood at a revision; None where that is no longer, or was never, known."""
    at = (galleries.c.id == gallery_id) & (galleries.c.revision == revision)
    now = connection.execute(sa.select(galleries.c.checksum).where(at)).scalar()
    if now is not None:
        return int(now)
    then = (gallery_changes.c.gallery_id == gallery_id) & (gallery_changes.c.revision == revision)
    return connection.execute(sa.select(gallery_changes.c.checksum).where(then)).scalar()


def revisions(connection: sa.Connection) -> dict[str, int]:
    """Every gallery's revision."""
    return dict(connection.execute(sa.select(galleries.c.id, galleries.c.revision)).all())


def called(connection: sa.Connection) -> dict[str, str]:
    """The id of every gallery, by its id and by its name."""
    rows = connection.execute(sa.select(galleries.c.id, galleries.c.name)).all()
    return {row.name: row.id for row in rows} | {row.id: row.id for row in rows}


def ever_held(connection: sa.Connection, of: Key) -> set[str]:
    """The galleries whose logs speak of this row: a copy that lags may still hold it."""
    same = (gallery_changes.c.row_kind == of.kind) & (gallery_changes.c.row_id == of.id)
    return set(connection.execute(sa.select(gallery_changes.c.gallery_id).where(same).distinct()).scalars())


def followers(connection: sa.Connection) -> dict[str, set[str]]:
    """The sites that follow each gallery."""
    found: dict[str, set[str]] = {}
    for row in connection.execute(sa.select(site_galleries)):
        found.setdefault(row.gallery_id, set()).add(row.site_id)
    return found


def followed(connection: sa.Connection, site_id: str) -> list[Followed]:
    """The galleries a site follows, and where they stand."""
    query = (
        sa.select(galleries).join(site_galleries).where(site_galleries.c.site_id == site_id).order_by(galleries.c.id)
    )
    return [
        Followed(id=r.id, name=r.name, kind=Kind(r.kind), position=Position(r.revision, r.checksum), model=r.model)
        for r in connection.execute(query)
    ]


def page(connection: sa.Connection, gallery_id: str, after: int, *, limit: int = PAGE_ROWS) -> Page:
    """The changes after a revision, each row once and as it stands.

    A page ends only where nothing in it is superseded by something beyond it, so that a copy which applies it has
    exactly the rows the gallery had at that revision. Raises Compacted if such a page is not to be had, and
    Diverged if `after` is ahead of the gallery (it was restored from a backup).
    """
    gallery = _gallery(connection, gallery_id)
    if after > gallery.revision:
        raise Diverged(f"revision {after} is ahead of the gallery, which stands at {gallery.revision}")
    if after < gallery.compacted_to:
        raise Compacted(f"changes up to revision {gallery.compacted_to} are no longer kept one by one")
    upto = _page_end(connection, gallery_id, after, min(after + limit, gallery.revision))
    if upto - after > max(limit, LONGEST_PAGE):
        raise Compacted("the changes are so many that a snapshot is cheaper")
    live = _live_changes(connection, gallery_id, after, upto)
    return Page(
        gallery=gallery_id,
        after=after,
        position=Position(upto, _checksum_at(connection, gallery, upto)),
        put=_rows(connection, gallery, [Key(c.row_kind, c.row_id) for c in live if not c.removed]),
        removed=[Key(c.row_kind, c.row_id) for c in live if c.removed],
        more=upto < gallery.revision,
    )


def snapshot(connection: sa.Connection, gallery_id: str) -> tuple[SnapshotHead, Iterator[Row]]:
    """Everything at one revision; the rows are read as they are consumed, within the caller's transaction."""
    gallery = _gallery(connection, gallery_id)
    members = _members(gallery_id)
    people = sa.select(identities).where(identities.c.id.in_(members))
    templates = sa.select(encodings).where(_held(gallery))
    count = 1 + sum(
        connection.execute(sa.select(sa.func.count()).select_from(q.subquery())).scalar_one()
        for q in (people, templates)
    )
    # Of these statements only: as options of the connection they would break what the transaction writes afterwards.
    some_at_a_time = {"yield_per": _CHUNK}
    head = SnapshotHead(gallery=gallery_id, position=Position(gallery.revision, gallery.checksum), rows=count)

    def rows() -> Iterator[Row]:
        yield _settings(gallery)
        for row in connection.execute(people, execution_options=some_at_a_time):
            yield identity_row(row)
        with connection.execute(templates, execution_options=some_at_a_time) as found:
            for part in found.partitions():
                yield from encoding_rows(connection, part)

    return head, rows()


def recomputed_checksum(connection: sa.Connection, gallery_id: str) -> int:
    """The checksum from the live rows, hashed anew: equal to the counter's, or something is wrong."""
    return checksum(row_hash(row) for row in snapshot(connection, gallery_id)[1])


def identity_row(row: sa.Row[Any]) -> IdentityRow:
    """A row of `identities` as it travels."""
    return identity_of(row._mapping)


def identity_of(values: Mapping[Any, Any]) -> IdentityRow:
    """A person as they travel, by the columns of `identities`."""
    until = ends(values["valid_until"], values["consent_until"])
    return IdentityRow(values["id"], values["name"], values["attributes"], values["valid_from"], until)


def encoding_rows(connection: sa.Connection, rows: Sequence[sa.Row[Any]]) -> list[EncodingRow]:
    """Rows of `encodings` as they travel, in the same order."""
    sealed = [Sealed(of_encoding(r.id, encoding_owner(r), r.model, r.against), r.data) for r in rows]
    return [
        EncodingRow(r.id, r.identity_id, r.model, data, r.against)
        for r, data in zip(rows, unseal_all(connection, sealed), strict=True)
    ]


def sealed_rows(connection: sa.Connection, rows: Sequence[tuple[EncodingRow, str | None]]) -> list[dict[str, Any]]:
    """The columns that rows of `encodings` have by what travels, each with whom it came from (None: its owner)."""
    plain = []
    for row, origin_id in rows:
        owner = person(origin_id or row.identity_id)
        plain.append(Plain(owner, of_encoding(row.id, owner, row.model, row.against), row.data))
    return [
        {**msgspec.structs.asdict(row), "data": data, "hash": row_hash(row)}
        for (row, _), data in zip(rows, seal_all(connection, plain), strict=True)
    ]


def _model(row: Row) -> str | None:
    return row.model if isinstance(row, EncodingRow) else None


def _members(gallery_id: str) -> sa.Select[str]:
    return sa.select(gallery_members.c.identity_id).where(gallery_members.c.gallery_id == gallery_id)


def _held(gallery: sa.Row[Any]) -> sa.ColumnElement[bool]:
    """The encodings that a gallery's copies hold."""
    theirs = encodings.c.identity_id.in_(_members(gallery.id))
    return theirs if gallery.model is None else theirs & (encodings.c.model == gallery.model)


def _total(connection: sa.Connection, gallery: sa.Row[Any]) -> int:
    """The checksum of what a gallery's copies hold, from the hashes kept with the rows."""
    people = sa.select(identities.c.hash).where(identities.c.id.in_(_members(gallery.id)))
    templates = sa.select(encodings.c.hash).where(_held(gallery))
    hashes = (connection.execute(query).scalars() for query in (people, templates))
    return checksum((gallery.settings_hash, *(value for found in hashes for value in found)))


def _check_name(connection: sa.Connection, wanted: SettingsRow) -> None:
    same = (galleries.c.name == wanted.name) & (galleries.c.id != wanted.id)
    if connection.execute(sa.select(galleries.c.id).where(same)).first() is not None:
        raise Conflict(f"there is a gallery {wanted.name!r} already")


def _gallery(connection: sa.Connection, gallery_id: str) -> sa.Row[Any]:
    row = connection.execute(sa.select(galleries).where(galleries.c.id == gallery_id)).one_or_none()
    if row is None:
        raise NotFound(f"there is no gallery {gallery_id!r}")
    return row


def _settings(gallery: sa.Row[Any]) -> SettingsRow:
    return SettingsRow(gallery.id, gallery.name, Kind(gallery.kind), gallery.th_accept)


def _supersede(connection: sa.Connection, gallery_id: str, by: Mapping[Key, int]) -> None:
    """Mark what the log says of these rows so far as superseded by the given revisions."""
    same_row = (
        (gallery_changes.c.gallery_id == gallery_id)
        & (gallery_changes.c.row_kind == sa.bindparam("kind"))
        & (gallery_changes.c.row_id == sa.bindparam("id_"))
    )
    void = gallery_changes.update().where(same_row & gallery_changes.c.superseded_by.is_(None))
    logged = _logged(connection, gallery_id, list(by))
    superseded = [{"kind": of.kind, "id_": of.id, "by": revision} for of, revision in by.items() if of in logged]
    if superseded:
        connection.execute(void.values(superseded_by=sa.bindparam("by")), superseded)


def _logged(connection: sa.Connection, gallery_id: str, keys: Sequence[Key]) -> set[Key]:
    """Those of these rows that the log tells of: new ones, which most are, it does not."""
    found: set[Key] = set()
    query = sa.select(gallery_changes.c.row_kind, gallery_changes.c.row_id)
    for start in range(0, len(keys), 500):
        some = keys[start : start + 500]
        theirs = (
            (gallery_changes.c.gallery_id == gallery_id)
            & gallery_changes.c.row_kind.in_(sorted({of.kind for of in some}))
            & gallery_changes.c.row_id.in_([of.id for of in some])
        )
        found.update(Key(r.row_kind, r.row_id) for r in connection.execute(query.where(theirs)))
    return found


def _between(gallery_id: str, after: int, upto: int) -> sa.ColumnElement[bool]:
    revision = gallery_changes.c.revision
    return (gallery_changes.c.gallery_id == gallery_id) & (revision > after) & (revision <= upto)


def _page_end(connection: sa.Connection, gallery_id: str, after: int, upto: int) -> int:
    """The first revision from `upto` on at which nothing before is superseded by something behind."""
    while True:
        latest = sa.select(sa.func.max(gallery_changes.c.superseded_by)).where(_between(gallery_id, after, upto))
        needed = connection.execute(latest).scalar()
        if needed is None or needed <= upto:
            return upto
        upto = needed


def _live_changes(connection: sa.Connection, gallery_id: str, after: int, upto: int) -> Sequence[sa.Row[Any]]:
    live = _between(gallery_id, after, upto) & gallery_changes.c.superseded_by.is_(None)
    return connection.execute(sa.select(gallery_changes).where(live).order_by(gallery_changes.c.revision)).all()


def _checksum_at(connection: sa.Connection, gallery: sa.Row[Any], revision: int) -> int:
    if revision == gallery.revision:
        return int(gallery.checksum)
    query = sa.select(gallery_changes.c.checksum).where(
        (gallery_changes.c.gallery_id == gallery.id) & (gallery_changes.c.revision == revision)
    )
    return int(connection.execute(query).scalar_one())


def _rows(connection: sa.Connection, gallery: sa.Row[Any], keys: Sequence[Key]) -> list[Row]:
    rows: list[Row] = [_settings(gallery)] if any(k.kind == "settings" for k in keys) else []
    for chunk in _chunks([k.id for k in keys if k.kind == "identity"]):
        people = connection.execute(sa.select(identities).where(identities.c.id.in_(chunk)))
        rows += [identity_row(r) for r in people]
    for chunk in _chunks([k.id for k in keys if k.kind == "encoding"]):
        templates = connection.execute(sa.select(encodings).where(encodings.c.id.in_(chunk)))
        rows += encoding_rows(connection, templates.all())
    return rows


T = TypeVar("T")


def _chunks(values: Sequence[T]) -> Iterator[Sequence[T]]:
    for start in range(0, len(values), _CHUNK):
        yield values[start : start + _CHUNK]
