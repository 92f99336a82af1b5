"""The vault: the keys that seal what is biometric, each wrapped by the master key, and who was erased.

It lies outside the database, in the latest copy only, so that no backup of the database brings an erased person back:
what is left there of them is sealed by a key that is nowhere any more.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Final, NamedTuple, TypeVar

import sqlalchemy as sa

from control_plane.store.db import Connection, Database, UtcDateTime
from faces.errors import SettingError
from faces.masterkey import Source
from faces.sealing import ID_BYTES, KEY_BYTES, NONCE_BYTES, Secret, Unreadable, secret_of, unwrap, wrap

T = TypeVar("T")

MOST_CACHED: Final = 50_000
"""Keys held in memory, unwrapped; some hundred bytes each."""

AT_ONCE: Final = 500
POOL: Final = 5

PERSON: Final = "person/"

metadata = sa.MetaData()

# One row: the key that wraps new keys (`master`; null: there is none yet), and `id` by which databases know it.
state = sa.Table(
    "vault",
    metadata,
    sa.Column("id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("master", sa.LargeBinary),
)

# `owner`: what a key is for. `person/ID` seals a person's encodings and thumbnails, `photos/ID` and the like one file,
# `imports/ID` the encodings of an import, `thumbnails/SITE/DAY` those of strangers.
keys = sa.Table(
    "vault_keys",
    metadata,
    sa.Column("id", sa.LargeBinary(ID_BYTES), primary_key=True),
    sa.Column("owner", sa.Text, nullable=False, unique=True),
    sa.Column("master", sa.LargeBinary(ID_BYTES), nullable=False, index=True),
    sa.Column("wrapped", sa.LargeBinary, nullable=False),
)

erased = sa.Table(
    "vault_erased",
    metadata,
    sa.Column("identity_id", sa.String(64), primary_key=True),
    sa.Column("erased_at", UtcDateTime, nullable=False),
)


class Wrapped(NamedTuple):
    """A key as the vault keeps it; `master` is the id of the key that it is wrapped by."""

    id: bytes
    owner: str
    master: bytes
    wrapped: bytes


class Masters:
    """The master keys. They are read anew when one is asked for that is not known: it may just have been exchanged."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self._known: dict[bytes, Secret] = {}

    def get(self, master_id: bytes) -> Secret:
        """Raises SettingError for one that is not there."""
        if master_id not in self._known:
            self._known = {secret.id: secret for secret in self.source.read()}
        if master_id not in self._known:
            raise SettingError(
                f"{self.source.name}: the master key {master_id.hex()} is not there, by which all is sealed",
                remedy="Put it back from where you keep it. Without it, nothing that is sealed can be read.",
            )
        return self._known[master_id]


class Vault:
    """Safe for several threads; opened by `open_vault`. `sealing` False: what is written stays plain."""

    def __init__(self, database: Database, masters: Masters, *, sealing: bool = True) -> None:
        self.database = database
        self.masters = masters
        self.sealing = sealing
        self._by_id: dict[bytes, Secret] = {}
        self._by_owner: dict[str, Secret] = {}
        self._lock = threading.Lock()

    @property
    def id(self) -> int:
        """By which a database knows that this is the vault that it belongs to."""
        with self.database.read() as connection:
            return int(connection.execute(sa.select(state.c.id)).scalar_one())

    def of_owners(self, owners: Iterable[str]) -> dict[str, Secret]:
        """The keys of owners who keep theirs until they are gone for good; made where there are none.

        What is new is durable on return: before anything that it seals.
        """
        wanted = set(owners)
        found = self._cached(self._by_owner, wanted)
        if missing := wanted - found.keys():
            found |= self._kept(self._made(missing))
        return found

    def fresh(self, owners: Iterable[str]) -> dict[str, Secret]:
        """As `of_owners`, of owners that may go and come again, as files do: nothing is taken from memory."""
        return self._made(set(owners))

    def known(self, owners: Iterable[str]) -> dict[str, Secret]:
        """The keys of those of the owners who have one."""
        wanted = set(owners)
        found = self._cached(self._by_owner, wanted)
        if missing := wanted - found.keys():
            found |= self._kept(self.looked_up(missing))
        return found

    def looked_up(self, owners: Iterable[str]) -> dict[str, Secret]:
        """As `known`, and nothing is taken from memory."""
        return self._looked_up(keys.c.owner, set(owners))

    def by_id(self, ids: Iterable[bytes]) -> dict[bytes, Secret]:
        """The keys with these ids; raises Unreadable where one is gone."""
        wanted = set(ids)
        found = self._cached(self._by_id, wanted)
        if missing := wanted - found.keys():
            found |= {secret.id: secret for secret in self._kept(self._looked_up(keys.c.id, missing)).values()}
        if gone := wanted - found.keys():
            raise Unreadable(
                f"the key {min(gone).hex()} is gone: whoever it was of was erased, or the vault is another"
            )
        return found

    def add(self, owner: str, secret: Secret) -> None:
        """Keep a key that was made elsewhere; durable on return."""
        with self.database.write() as connection:
            connection.execute(keys.insert().values(**self._wrapped(connection, owner, secret)._asdict()))

    def destroy(self, owners: Iterable[str]) -> None:
        """Have keys be nowhere any more; owners without one are no error."""
        gone = sorted(set(owners))
        if not gone:
            return
        with self.database.write() as connection:
            for some in _parts(gone):
                connection.execute(keys.delete().where(keys.c.owner.in_(some)))
        self._forget()
        self.database.truncate_wal()

    def destroy_days(self, prefix: str, before: str) -> None:
        """Destroy the keys of days, by their owners: `prefix` and a day before this one."""
        old = keys.c.owner.startswith(prefix, autoescape=True) & (keys.c.owner < prefix + before)
        with self.database.write() as connection:
            gone = connection.execute(keys.delete().where(old)).rowcount
        if gone:
            self._forget()
            self.database.truncate_wal()

    def erase(self, identity_ids: Mapping[str, datetime]) -> None:
        """Destroy the keys of people, and note that they were erased, and when. May be repeated."""
        if not identity_ids:
            return
        with self.database.write() as connection:
            noted = _told(connection, identity_ids)
            rows = [{"identity_id": i, "erased_at": at} for i, at in identity_ids.items() if i not in noted]
            if rows:
                connection.execute(erased.insert(), rows)
        self.destroy(person(i) for i in identity_ids)

    def erasures(self) -> dict[str, datetime]:
        """Everybody who was ever erased, and when."""
        with self.database.read() as connection:
            return dict(connection.execute(sa.select(erased.c.identity_id, erased.c.erased_at)).all())

    def scrub(self) -> bool:
        """Keep no copy of destroyed keys in freed pages; False while somebody reads."""
        return self.database.scrub(table.name for table in metadata.sorted_tables)

    def close(self) -> None:
        self.database.close()

    def _cached(self, cache: Mapping[T, Secret], wanted: Iterable[T]) -> dict[T, Secret]:
        with self._lock:
            return {name: cache[name] for name in wanted if name in cache}

    def _kept(self, found: dict[str, Secret]) -> dict[str, Secret]:
        with self._lock:
            if len(self._by_id) + len(found) > MOST_CACHED:
                self._by_id.clear()
                self._by_owner.clear()
            self._by_owner |= found
            self._by_id |= {secret.id: secret for secret in found.values()}
        return found

    def _forget(self) -> None:
        with self._lock:
            self._by_id.clear()
            self._by_owner.clear()

    def _looked_up(self, column: sa.ColumnElement[T], values: Iterable[T]) -> dict[str, Secret]:
        try:
            with self.database.read() as connection:
                return self._found(connection, column, values)
        except SettingError:
            # The master key was exchanged between the look at the rows and the one at the key: then they say another.
            with self.database.read() as connection:
                return self._found(connection, column, values)

    def _found(self, connection: Connection, column: sa.ColumnElement[T], values: Iterable[T]) -> dict[str, Secret]:
        found: dict[str, Secret] = {}
        for some in _parts(sorted(values)):  # type: ignore[type-var]
            found |= self._unwrapped(_rows(connection, column.in_(some)))
        return found

    def _unwrapped(self, rows: Iterable[Wrapped]) -> dict[str, Secret]:
        return {row.owner: unwrap(self.masters.get(row.master), row.wrapped, row.id, row.owner) for row in rows}

    def _made(self, owners: set[str]) -> dict[str, Secret]:
        if not owners:
            return {}
        found = self.looked_up(owners)
        if not (missing := owners - found.keys()):
            return found
        with self.database.write() as connection:
            lock_state(connection)
            found |= self._found(connection, keys.c.owner, missing)
            new = {owner: new_secret() for owner in sorted(owners - found.keys())}
            rows = [self._wrapped(connection, owner, secret)._asdict() for owner, secret in new.items()]
            if rows:
                connection.execute(keys.insert(), rows)
        return found | new

    def _wrapped(self, connection: Connection, owner: str, secret: Secret) -> Wrapped:
        """A key as it is kept, wrapped by the master key that counts now: it cannot be exchanged meanwhile."""
        master = self.masters.get(_master(connection))
        return Wrapped(secret.id, owner, master.id, wrap(master, secret, owner, os.urandom(NONCE_BYTES)))


def open_vault(url: str, source: Source, *, sealing: bool = True) -> Vault:
    """The vault by its URL, made where there is none, with the master key that it was used with last.

    Raises SettingError where that key is not to be had. Without `sealing` there need not be any, as long as nothing was
    ever sealed.
    """
    database = Database(url, pool_size=POOL)
    try:
        make_tables(database)
        masters = Masters(source)
        with database.write() as connection:
            _one_by_one(connection)
            lock_state(connection)
            _begin(connection, masters, sealing=sealing)
    except BaseException:
        database.close()
        raise
    return Vault(database, masters, sealing=sealing)


def new_secret() -> Secret:
    return secret_of(os.urandom(ID_BYTES + KEY_BYTES))


def person(identity_id: str) -> str:
    """The owner that a person is."""
    return f"{PERSON}{identity_id}"


def make_tables(database: Database) -> None:
    """Make the tables where they are not there yet. Two that do so at once do it one after the other."""
    with database.write() as connection:
        _one_by_one(connection)
        metadata.create_all(connection)


def _one_by_one(connection: Connection) -> None:
    """Hold what is not there yet, and so has no row to be held by. SQLite has one writer anyway."""
    if connection.dialect.name != "sqlite":
        connection.execute(sa.text("SELECT pg_advisory_xact_lock(7365114)"))


def _begin(connection: Connection, masters: Masters, *, sealing: bool) -> None:
    """Have a master key that counts, and see that it is there."""
    row = connection.execute(sa.select(state)).one_or_none()
    if row is None:
        connection.execute(state.insert().values(id=int.from_bytes(os.urandom(ID_BYTES), "big") >> 1))
    master = None if row is None else row.master
    if master is None and sealing:
        made = masters.source.make(os.urandom(KEY_BYTES)) if masters.source.is_file else masters.source.read()
        master = made[0].id
        connection.execute(state.update().values(master=master))
    if master is not None:
        masters.get(bytes(master))


def lock_state(connection: Connection) -> None:
    """Hold the vault's state until the transaction ends. SQLite has one writer anyway."""
    connection.execute(sa.select(state.c.id).with_for_update()).all()


def _master(connection: Connection) -> bytes:
    master = connection.execute(sa.select(state.c.master).with_for_update(read=True)).scalar()
    if master is None:
        raise SettingError("ENCRYPT: there is no master key yet", remedy="Start the control plane again.")
    return bytes(master)


def _rows(connection: Connection, where: sa.ColumnElement[bool]) -> list[Wrapped]:
    return [
        Wrapped(bytes(row.id), row.owner, bytes(row.master), bytes(row.wrapped))
        for row in connection.execute(sa.select(keys).where(where))
    ]


def _told(connection: Connection, identity_ids: Iterable[str]) -> set[str]:
    return {
        found
        for some in _parts(sorted(identity_ids))
        for found in connection.execute(sa.select(erased.c.identity_id).where(erased.c.identity_id.in_(some))).scalars()
    }


def _parts(values: Sequence[T]) -> Iterator[Sequence[T]]:
    for start in range(0, len(values), AT_ONCE):
        yield values[start : start + AT_ONCE]
