"""Identities: enrolled people, their photos and encodings, and their erasure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from typing import Any

import msgspec
import sqlalchemy as sa

from control_plane.store import counters, discards, enrollments, erasures, galleries, import_items, vault
from control_plane.store.db import new_id
from control_plane.store.tables import (
    deliveries,
    encodings,
    events,
    gallery_members,
    identities,
    photos,
    thumbnails,
)
from faces.consent import NONE, Consent
from faces.errors import AmbiguousName, Conflict, Merged, NotFound
from faces.gallery import EncodingRow, Key, row_hash
from faces.wire import Position


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """An enrolled person as the API shows them; `merged` are the ids of those who were merged into them."""

    id: str
    name: str
    external_id: str | None
    attributes: dict[str, Any]
    valid_from: datetime | None
    valid_until: datetime | None
    consent_basis: str | None
    consent_given_at: datetime | None
    consent_until: datetime | None
    created_at: datetime
    galleries: list[str]
    photos: int
    merged: list[str]


class Photo(msgspec.Struct, frozen=True, kw_only=True):
    """An accepted photo of an identity."""

    id: str
    identity_id: str
    quality: dict[str, Any]
    created_at: datetime


def create(
    connection: sa.Connection,
    name: str,
    gallery_ids: Iterable[str],
    now: datetime,
    *,
    external_id: str | None = None,
    attributes: Mapping[str, Any] | None = None,
    valid_from: datetime | None = None,
    valid_until: datetime | None = None,
    consent: Consent = NONE,
) -> str:
    """Make a new identity, a member of the given galleries, without photos; returns its id.

    Raises Conflict if the external id is taken and NotFound for a gallery that is not there.
    """
    values = {
        "id": new_id(now),
        "name": name,
        "attributes": dict(attributes or {}),
        "valid_from": valid_from,
        "valid_until": valid_until,
        **columns_of(consent),
    }
    row = galleries.identity_of(values)
    _check_external_id(connection, external_id, row.id)
    ordered = sorted(set(gallery_ids))
    galleries.lock(connection, ordered)
    connection.execute(
        identities.insert().values(**values, external_id=external_id, hash=row_hash(row), created_at=now)
    )
    for gallery_id in ordered:
        galleries.settings(connection, gallery_id)
        connection.execute(gallery_members.insert().values(gallery_id=gallery_id, identity_id=row.id))
        galleries.record(connection, gallery_id, [galleries.put(row)], now)
    return row.id


def update(connection: sa.Connection, identity_id: str, now: datetime, **changed: Any) -> None:
    """Change name, external_id, attributes, valid_from, valid_until, or what is on record of the consent; raises
    NotFound or Conflict."""
    galleries.lock_all(connection)
    held = member_of(connection, identity_id)
    before = row(connection, identity_id)
    if "external_id" in changed:
        _check_external_id(connection, changed["external_id"], identity_id)
    after = galleries.identity_of({**before._mapping, **changed})
    connection.execute(
        identities.update().where(identities.c.id == identity_id).values(**changed, hash=row_hash(after))
    )
    for gallery_id in held:
        galleries.record(connection, gallery_id, [galleries.put(after, before.hash)], now)


def columns_of(consent: Consent) -> dict[str, Any]:
    """A consent as the columns of `identities`."""
    return {f"consent_{name}": value for name, value in msgspec.structs.asdict(consent).items()}


def add_photo(connection: sa.Connection, photo: Photo, *, blob: str, sha256: str) -> None:
    """Keep an accepted photo, whose file is `blob`."""
    connection.execute(photos.insert().values(**msgspec.structs.asdict(photo), blob=blob, sha256=sha256))


def add_encoding(
    connection: sa.Connection,
    row: EncodingRow,
    now: datetime,
    *,
    photo_id: str | None = None,
    origin_id: str | None = None,
) -> None:
    """Give an identity one more encoding, of the photo where there is one, which may have come from `origin_id`. The
    caller holds all galleries."""
    held = member_of(connection, row.identity_id)
    (sealed,) = galleries.sealed_rows(connection, [(row, origin_id)])
    values = {**sealed, "photo_id": photo_id, "origin_id": origin_id, "created_at": now}
    connection.execute(encodings.insert().values(**values))
    for gallery_id in held:
        galleries.record(connection, gallery_id, [galleries.put(row)], now)


def get(connection: sa.Connection, identity_id: str) -> Identity:
    return _identities(connection, [row(connection, identity_id)])[0]


def by_name(connection: sa.Connection, name: str, gallery_id: str) -> str | None:
    """The id of the only member of a gallery who bears this name, or None; raises AmbiguousName if several do."""
    query = (
        sa.select(identities.c.id)
        .join(gallery_members)
        .where((identities.c.name == name) & (gallery_members.c.gallery_id == gallery_id))
        .limit(2)
    )
    found = connection.execute(query).scalars().all()
    if len(found) > 1:
        raise AmbiguousName(f"several people are called {name!r}", remedy="Use /v1/identities and the person's id.")
    return found[0] if found else None


def names(connection: sa.Connection, gallery_id: str) -> list[str]:
    """The names of a gallery's members who have an encoding, each once, in the order of enrolment."""
    query = (
        sa.select(identities.c.name, sa.func.min(identities.c.id).label("first"))
        .join(gallery_members)
        .where(gallery_members.c.gallery_id == gallery_id)
        .where(sa.exists().where((encodings.c.identity_id == identities.c.id) & encodings.c.against.is_(False)))
        .group_by(identities.c.name)
        .order_by("first")
    )
    return list(connection.execute(query).scalars())


def listing(
    connection: sa.Connection,
    *,
    after: str = "",
    limit: int = 100,
    name: str | None = None,
    external_id: str | None = None,
    gallery_id: str | None = None,
    within: Collection[str] | None = None,
) -> list[Identity]:
    """Identities in id order from `after` on, of the galleries `within` if given; `name` finds parts of names, whatever
    their case. The external id of somebody who was merged into another person finds that one."""
    query = sa.select(identities).where((identities.c.id > after) & identities.c.merged_into.is_(None))
    query = query.order_by(identities.c.id).limit(limit)
    if name is not None:
        query = query.where(sa.func.lower(identities.c.name).contains(name.lower(), autoescape=True))
    if external_id is not None:
        bearer = connection.execute(sa.select(identities.c.id).where(identities.c.external_id == external_id)).scalar()
        query = query.where(identities.c.id == survivor(connection, bearer or ""))
    if gallery_id is not None:
        query = query.join(gallery_members).where(gallery_members.c.gallery_id == gallery_id)
        if within is not None and gallery_id not in within:
            return []
    if within is not None:
        known = sa.select(gallery_members.c.identity_id).where(gallery_members.c.gallery_id.in_(within))
        query = query.where(identities.c.id.in_(known))
    return _identities(connection, connection.execute(query).all())


def photos_of(connection: sa.Connection, identity_id: str) -> list[Photo]:
    """The accepted photos of an identity; raises NotFound if there is no such identity."""
    row(connection, identity_id)
    query = sa.select(photos).where(photos.c.identity_id == identity_id).order_by(photos.c.id)
    return [
        Photo(id=r.id, identity_id=r.identity_id, quality=r.quality, created_at=r.created_at)
        for r in connection.execute(query)
    ]


def photo_blob(connection: sa.Connection, identity_id: str, photo_id: str) -> str:
    query = sa.select(photos.c.blob).where((photos.c.id == photo_id) & (photos.c.identity_id == identity_id))
    blob = connection.execute(query).scalar()
    if blob is None:
        raise NotFound(f"identity {identity_id!r} has no photo {photo_id!r}")
    return str(blob)


def erase(connection: sa.Connection, identity_id: str, now: datetime) -> list[str]:
    """Remove a person everywhere, with all who were merged into them; old events keep the id as a pseudonym, and no
    name or picture. What is kept of the erasure (`erasures`) are ids.

    Returns the photos' files, and the keys, for `discards.carry_out` once the transaction has committed. Raises
    NotFound.
    """
    galleries.lock_all(connection)
    held = member_of(connection, identity_id)
    person = row(connection, identity_id)
    templates = connection.execute(
        sa.select(encodings.c.id, encodings.c.hash, encodings.c.model).where(encodings.c.identity_id == identity_id)
    ).all()
    removals = [galleries.removal(Key("encoding", t.id), t.hash, t.model) for t in templates]
    removals.append(galleries.removal(Key("identity", identity_id), person.hash, None))
    positions = {g: galleries.record(connection, g, removals, now) for g in held}
    everybody = tree(connection, identity_id)
    left = {g for i in everybody for g in galleries.ever_held(connection, Key("identity", i))} - set(held)
    positions |= {g: galleries.position(connection, g) for g in left}
    return [blob for i in everybody for blob in _forget(connection, i, held, positions, now)]


def tree(connection: sa.Connection, identity_id: str) -> list[str]:
    """A person's id, and those of all who were merged into them, and into those."""
    found = [identity_id]
    for parent in found:
        children = sa.select(identities.c.id).where(identities.c.merged_into == parent).order_by(identities.c.id)
        found += connection.execute(children).scalars()
    return found


def survivor(connection: sa.Connection, identity_id: str) -> str:
    """Whom an id means: the person that this one was merged into, and that one, as far as it goes."""
    into = sa.select(identities.c.merged_into)
    while parent := connection.execute(into.where(identities.c.id == identity_id)).scalar():
        identity_id = parent
    return identity_id


def member_of(connection: sa.Connection, identity_id: str) -> list[str]:
    """The galleries an identity is in, in id order."""
    query = sa.select(gallery_members.c.gallery_id).where(gallery_members.c.identity_id == identity_id)
    return sorted(connection.execute(query).scalars())


def _photo_blobs(connection: sa.Connection, identity_id: str) -> list[str]:
    return list(connection.execute(sa.select(photos.c.blob).where(photos.c.identity_id == identity_id)).scalars())


def _only_bearer_in(connection: sa.Connection, identity_id: str, name: str, gallery_ids: list[str]) -> list[str]:
    """Those of the galleries in which nobody else bears the name: there it means this person."""
    others = (
        sa.select(gallery_members.c.gallery_id)
        .join(identities)
        .where((identities.c.name == name) & (identities.c.id != identity_id))
    )
    shared = set(connection.execute(others).scalars())
    return [gallery_id for gallery_id in gallery_ids if gallery_id not in shared]


def _forget(
    connection: sa.Connection,
    identity_id: str,
    gallery_ids: list[str],
    positions: Mapping[str, Position],
    now: datetime,
) -> list[str]:
    """Remove one identity, whose rows are in no gallery any more; returns the files that are nobody's, to be discarded.

    `gallery_ids` are those in which the person was, by this identity or the one that it was merged into.
    """
    erasures.note(connection, identity_id, dict(positions), now)
    name = connection.execute(sa.select(identities.c.name).where(identities.c.id == identity_id)).scalar_one()
    own = _only_bearer_in(connection, identity_id, name, gallery_ids)
    blobs = _photo_blobs(connection, identity_id)
    blobs += enrollments.forget_person(connection, identity_id, name, own, now)
    blobs += import_items.forget_person(connection, identity_id, name, own)
    connection.execute(identities.delete().where(identities.c.id == identity_id))
    _forget_events(connection, identity_id)
    return discards.note(connection, [*blobs, *discards.key_of(connection, vault.person(identity_id))], now)


def _forget_events(connection: sa.Connection, identity_id: str) -> None:
    _forget_those_there(connection, identity_id)
    # Whoever is storing events is waited for, and who comes after knows of the erasure. By now few are left to forget.
    counters.held(connection, counters.LOG)
    _forget_those_there(connection, identity_id)


def _forget_those_there(connection: sa.Connection, identity_id: str) -> None:
    seen = events.c.identity_id == identity_id
    undelivered = sa.select(events.c.id).where(seen)
    connection.execute(
        deliveries.delete().where((deliveries.c.state == "pending") & deliveries.c.event_id.in_(undelivered))
    )
    positions = sa.select(events.c.position).where(seen)
    connection.execute(thumbnails.delete().where(thumbnails.c.position.in_(positions)))
    connection.execute(events.update().where(seen & events.c.name.is_not(None)).values(name=None))


def row(connection: sa.Connection, identity_id: str) -> sa.Row[Any]:
    """A person's row; raises NotFound, and Merged for one that is part of another person."""
    row = connection.execute(sa.select(identities).where(identities.c.id == identity_id)).one_or_none()
    if row is None:
        raise NotFound(f"there is no identity {identity_id!r}")
    if row.merged_into is not None:
        raise Merged(identity_id, survivor(connection, identity_id))
    return row


def _check_external_id(connection: sa.Connection, external_id: str | None, identity_id: str) -> None:
    if external_id is None:
        return
    query = sa.select(identities.c.id).where(
        (identities.c.external_id == external_id) & (identities.c.id != identity_id)
    )
    if connection.execute(query).first() is not None:
        raise Conflict(f"the external id {external_id!r} belongs to somebody else")


def _identities(connection: sa.Connection, rows: Iterable[sa.Row[Any]]) -> list[Identity]:
    rows = list(rows)
    ids = [r.id for r in rows]
    counts: dict[str, int] = dict(
        connection.execute(
            sa.select(photos.c.identity_id, sa.func.count())
            .where(photos.c.identity_id.in_(ids))
            .group_by(photos.c.identity_id)
        ).all()
    )
    members = connection.execute(sa.select(gallery_members).where(gallery_members.c.identity_id.in_(ids))).all()
    into = sa.select(identities.c.id, identities.c.merged_into).where(identities.c.merged_into.in_(ids))
    merged = connection.execute(into.order_by(identities.c.id)).all()
    return [
        Identity(
            id=r.id,
            name=r.name,
            external_id=r.external_id,
            attributes=r.attributes,
            valid_from=r.valid_from,
            valid_until=r.valid_until,
            consent_basis=r.consent_basis,
            consent_given_at=r.consent_given_at,
            consent_until=r.consent_until,
            created_at=r.created_at,
            galleries=sorted(m.gallery_id for m in members if m.identity_id == r.id),
            photos=counts.get(r.id, 0),
            merged=[m.id for m in merged if m.merged_into == r.id],
        )
        for r in rows
    ]
