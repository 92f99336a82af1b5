"""What an admission adds, many at once: people, photos and encodings, in one range of revisions a gallery."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec
import sqlalchemy as sa

from control_plane.store import galleries
from control_plane.store.db import insert_rows, new_id
from control_plane.store.identities import columns_of, survivor
from control_plane.store.tables import encodings, gallery_members, identities, photos
from faces.consent import NONE, Consent
from faces.gallery import EncodingRow, IdentityRow, row_hash


class NewPerson(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody new: `row` as they travel, and what is kept here alone."""

    row: IdentityRow
    external_id: str | None
    gallery_id: str
    valid_until: datetime | None = None
    consent: Consent = NONE


class NewPhoto(msgspec.Struct, frozen=True, kw_only=True):
    """A photo whose file is `blob`, and its encoding. `id` is the photo's, and sorts by order of admission."""

    id: str
    blob: str
    sha256: str
    quality: dict[str, Any]
    encoding: EncodingRow


def new_ids(now: datetime, count: int) -> list[str]:
    """Fresh ids that sort in the order given, also within a millisecond."""
    return sorted(new_id(now) for _ in range(count))


def add(connection: sa.Connection, people: Sequence[NewPerson], taken: Sequence[NewPhoto], now: datetime) -> None:
    """Add people and photos; the caller holds all galleries."""
    homes = _homes(connection, people, taken)
    changes: dict[str, list[galleries.Change]] = defaultdict(list)
    for person in people:
        changes[person.gallery_id].append(galleries.put(person.row))
    for photo in taken:
        for gallery_id in homes[photo.encoding.identity_id]:
            changes[gallery_id].append(galleries.put(photo.encoding))
    _insert(connection, people, taken, now)
    for gallery_id in sorted(changes):
        galleries.record(connection, gallery_id, changes[gallery_id], now)


def known_photos(connection: sa.Connection, digests: Sequence[str]) -> dict[tuple[str, str], str]:
    """Kept photos with these SHA-256 digests: (identity, digest) to the photo's id."""
    query = sa.select(photos.c.identity_id, photos.c.sha256, photos.c.id).where(photos.c.sha256.in_(digests))
    return {(row.identity_id, row.sha256): row.id for row in connection.execute(query.order_by(photos.c.id.desc()))}


def members_called(connection: sa.Connection, gallery_id: str, names: Sequence[str]) -> dict[str, list[str]]:
    """The members of a gallery who bear these names, in id order."""
    query = (
        sa.select(identities.c.name, identities.c.id)
        .join(gallery_members)
        .where(identities.c.name.in_(names) & (gallery_members.c.gallery_id == gallery_id))
        .order_by(identities.c.id)
    )
    found: dict[str, list[str]] = defaultdict(list)
    for name, identity_id in connection.execute(query):
        found[name].append(identity_id)
    return found


def by_external_id(connection: sa.Connection, external_ids: Sequence[str]) -> dict[str, str]:
    """The people who bear these external ids, themselves or by somebody merged into them."""
    query = sa.select(identities.c.external_id, identities.c.id, identities.c.merged_into)
    return {
        row.external_id: survivor(connection, row.merged_into) if row.merged_into else row.id
        for row in connection.execute(query.where(identities.c.external_id.in_(external_ids))).all()
    }


def galleries_of(connection: sa.Connection, identity_ids: Sequence[str]) -> set[tuple[str, str]]:
    """(gallery, identity) wherever these people are."""
    query = sa.select(gallery_members).where(gallery_members.c.identity_id.in_(identity_ids))
    return {(row.gallery_id, row.identity_id) for row in connection.execute(query)}


def names_of(connection: sa.Connection, identity_ids: Sequence[str]) -> dict[str, str]:
    """The names of those of these people who are there."""
    query = sa.select(identities.c.id, identities.c.name).where(identities.c.id.in_(identity_ids))
    return {row.id: row.name for row in connection.execute(query)}


def consents_of(connection: sa.Connection, identity_ids: Sequence[str]) -> dict[str, Consent]:
    """What is on record of the consent of those of these people who are there."""
    c = identities.c
    query = sa.select(c.id, c.consent_basis, c.consent_given_at, c.consent_until).where(c.id.in_(identity_ids))
    return {
        row.id: Consent(basis=row.consent_basis, given_at=row.consent_given_at, until=row.consent_until)
        for row in connection.execute(query)
    }


def _homes(connection: sa.Connection, people: Sequence[NewPerson], taken: Sequence[NewPhoto]) -> dict[str, list[str]]:
    """The galleries of everybody who gets a photo."""
    found: dict[str, list[str]] = defaultdict(list)
    for person in people:
        found[person.row.id].append(person.gallery_id)
    others = {photo.encoding.identity_id for photo in taken} - found.keys()
    if others:
        query = sa.select(gallery_members).where(gallery_members.c.identity_id.in_(others))
        for row in connection.execute(query):
            found[row.identity_id].append(row.gallery_id)
    return found


def _insert(connection: sa.Connection, people: Sequence[NewPerson], taken: Sequence[NewPhoto], now: datetime) -> None:
    person_rows = [
        {
            **msgspec.structs.asdict(p.row),
            **columns_of(p.consent),
            "valid_until": p.valid_until,
            "external_id": p.external_id,
            "hash": row_hash(p.row),
            "created_at": now,
        }
        for p in people
    ]
    member_rows = [{"gallery_id": p.gallery_id, "identity_id": p.row.id} for p in people]
    photo_rows = [
        {
            "id": p.id,
            "identity_id": p.encoding.identity_id,
            "blob": p.blob,
            "sha256": p.sha256,
            "quality": p.quality,
            "created_at": now,
        }
        for p in taken
    ]
    sealed = galleries.sealed_rows(connection, [(p.encoding, None) for p in taken])
    encoding_rows = [{**row, "photo_id": p.id, "created_at": now} for row, p in zip(sealed, taken, strict=True)]
    for table, rows in (
        (identities, person_rows),
        (gallery_members, member_rows),
        (photos, photo_rows),
        (encodings, encoding_rows),
    ):
        insert_rows(connection, table, rows)
