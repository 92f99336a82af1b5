"""Encodings as a whole: which models everybody has, and of which kept photos more could be made."""

from __future__ import annotations

from collections import defaultdict

import msgspec
import sqlalchemy as sa

from control_plane.store.tables import encodings, identities, photos


class KeptPhoto(msgspec.Struct, frozen=True):
    """A kept photo, and the models it has been encoded with."""

    id: str
    blob: str
    models: frozenset[str]


class Encoded(msgspec.Struct, frozen=True):
    """A person, and the models of their encodings, of a kept photo or not."""

    id: str
    name: str
    models: frozenset[str]


def data_of(connection: sa.Connection, identity_id: str) -> set[bytes]:
    """The bytes of an identity's encodings."""
    return set(connection.execute(sa.select(encodings.c.data).where(encodings.c.identity_id == identity_id)).scalars())


def by_person(connection: sa.Connection) -> list[tuple[Encoded, list[KeptPhoto]]]:
    """Everybody with their kept photos, in id order."""
    models: dict[str, set[str]] = defaultdict(set)
    of_photo: dict[str, set[str]] = defaultdict(set)
    columns = sa.select(encodings.c.identity_id, encodings.c.photo_id, encodings.c.model)
    for identity_id, photo_id, model in connection.execute(columns.where(encodings.c.against.is_(False))):
        models[identity_id].add(model)
        if photo_id is not None:
            of_photo[photo_id].add(model)
    kept: dict[str, list[KeptPhoto]] = defaultdict(list)
    for row in connection.execute(sa.select(photos.c.id, photos.c.identity_id, photos.c.blob).order_by(photos.c.id)):
        kept[row.identity_id].append(KeptPhoto(row.id, row.blob, frozenset(of_photo[row.id])))
    people = connection.execute(sa.select(identities.c.id, identities.c.name).order_by(identities.c.id))
    return [(Encoded(i, name, frozenset(models[i])), kept[i]) for i, name in people]
