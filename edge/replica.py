"""The edge's copy of the galleries that its site follows: rows on disk, matrices in memory, both of one position.

Used by one thread at a time; `held` may be read by any.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from itertools import islice
from pathlib import Path

import msgspec

from edge.decide import Held
from edge.lease import Spent
from edge.seal import PLAIN, SEALED_ROW, Seal
from faces.errors import Diverged
from faces.gallery import Gallery, Key, Kind, Row, bytes_hash, canonical, checksum, key
from faces.replica import advance
from faces.sealing import Unreadable, about
from faces.wire import START, Followed, Page, Position

log = logging.getLogger("edge.replica")

DAMAGED = Position(-1, 0)
"""Where a copy stands that is not what it should be: nowhere, so that it starts over."""

CHUNK = 500
"""How many rows of a snapshot are stored at once."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS galleries (
    id TEXT PRIMARY KEY, name TEXT NOT NULL, kind TEXT NOT NULL, revision INTEGER NOT NULL, checksum INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS rows (
    gallery TEXT NOT NULL, kind TEXT NOT NULL, id TEXT NOT NULL, hash INTEGER NOT NULL, body BLOB NOT NULL,
    PRIMARY KEY (gallery, kind, id)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS dropped (gallery TEXT PRIMARY KEY);
CREATE TABLE IF NOT EXISTS site (only INTEGER PRIMARY KEY CHECK (only = 1), lease_days REAL);
CREATE TABLE IF NOT EXISTS engine (only INTEGER PRIMARY KEY CHECK (only = 1), model TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS lease (only INTEGER PRIMARY KEY CHECK (only = 1), seconds REAL NOT NULL, at REAL NOT NULL);
"""

_decode = msgspec.msgpack.Decoder(Row).decode


class _Unreadable(Exception):
    """The file is there, and is not what was written."""


@contextmanager
def _reading() -> Iterator[None]:
    """Tell a damaged file from one that cannot be read now: locked, or on a disk that fails."""
    try:
        yield
    except sqlite3.OperationalError:
        raise
    except (sqlite3.DatabaseError, ValueError) as error:
        raise _Unreadable(str(error)) from error


class Replica:
    """Opens the copy on disk, so that recognition starts with no control plane in reach.

    `model` is the one whose encodings are searched: the engine's, until galleries have gone by another one.
    """

    def __init__(self, path: Path, model: str, seal: Seal = PLAIN) -> None:
        self.held: tuple[Held, ...] = ()
        self.removals = 0
        """How often anybody may have been taken out."""
        self._path = path
        self._seal = seal
        self.model = model
        try:
            self._open()
        except _Unreadable as error:
            self._discard(error)

    def _open(self) -> None:
        self._db = sqlite3.connect(self._path, check_same_thread=False, isolation_level=None)
        self._db.text_factory = lambda text: text.decode("utf-8", "replace")
        try:
            with _reading():
                for pragma in ("journal_mode=WAL", "synchronous=FULL", "secure_delete=ON"):
                    self._db.execute(f"PRAGMA {pragma}")
                self._db.executescript(_SCHEMA)
                self._seal_plain()
                self._load()
                self._scrub_if_it_can()
        except BaseException:
            self._db.close()
            raise

    def _discard(self, error: Exception) -> None:
        """A file that cannot be read holds nothing to keep: the control plane has it all."""
        log.error("the galleries on disk cannot be read (%s): starting over", error)
        for suffix in ("", "-wal", "-shm"):
            Path(f"{self._path}{suffix}").unlink(missing_ok=True)
        self._open()

    def close(self) -> None:
        self._db.close()

    def spent(self) -> Spent | None:
        """What was saved of the lease. It lies with the galleries: who takes it away takes them away."""
        row = self._db.execute("SELECT CAST(seconds AS REAL), CAST(at AS REAL) FROM lease").fetchone()
        return Spent(*row) if row else None

    def save_spent(self, spent: Spent) -> None:
        self._db.execute("INSERT OR REPLACE INTO lease VALUES (1, ?, ?)", spent)

    def lease_days(self) -> float | None:
        """What the site says of the lease, as far as is known here."""
        row = self._db.execute("SELECT CAST(lease_days AS REAL) FROM site").fetchone()
        return row[0] if row else None

    def save_lease_days(self, days: float | None) -> None:
        self._db.execute("INSERT OR REPLACE INTO site VALUES (1, ?)", (days,))

    def verify(self) -> None:
        """Recompute every checksum from the rows on disk. A damaged copy keeps its sound rows and starts over."""
        try:
            with _reading():
                self._load()
        except _Unreadable as error:
            self._db.close()
            self._discard(error)

    def change_model(self, model: str) -> None:
        """Search the encodings of another model from now on. A gallery held is searched as it was, until a snapshot
        takes its place or `adopt` says that its rows are those of the new model already."""
        # Whoever starts before that has come goes by the one that the rows are of.
        self._db.execute("INSERT OR IGNORE INTO engine VALUES (1, ?)", (self.model,))
        self.model = model

    def adopt(self) -> None:
        """All galleries are up to date: their rows are to be searched by the model as it is now."""
        stale = [held for held in self.held if held.gallery.model != self.model]
        if stale:
            with self._transaction(removing=False):
                self._store_model()
        for held in stale:
            rows: list[Row] = [*held.gallery.identities.values(), *held.gallery.encodings.values()]
            rows += [held.gallery.settings] if held.gallery.settings else []
            self._swap(replace(held, gallery=Gallery.of(self.model, rows)))

    def _load(self) -> None:
        stored = self._db.execute("SELECT CAST(model AS TEXT) FROM engine").fetchone()
        self.model = stored[0] if stored else self.model
        galleries = self._db.execute("SELECT id, name, kind, revision, checksum FROM galleries ORDER BY id").fetchall()
        self.held = tuple(
            self._loaded(gallery, name, Kind(kind), Position(revision, total))
            for gallery, name, kind, revision, total in galleries
        )

    def _loaded(self, gallery: str, name: str, kind: Kind, position: Position) -> Held:
        stored = self._db.execute(
            "SELECT kind, id, CAST(hash AS INTEGER), CAST(body AS BLOB) FROM rows WHERE gallery = ?", (gallery,)
        )
        rows: list[Row] = []
        total = 0
        sound = True
        for row_kind, row_id, row_sum, body in stored:
            row = self._sound(gallery, Key(row_kind, row_id), row_sum, body)
            total ^= row_sum
            if row is None:
                sound = False
            else:
                rows.append(row)
        if position != DAMAGED and not (sound and total == position.checksum):
            log.error("gallery %s on disk is not what revision %d says: starting over", gallery, position.revision)
            position = DAMAGED
            self._store_position(gallery, position)
        return Held(gallery, name, kind, position, Gallery.of(self.model, rows))

    def _sound(self, gallery: str, named: Key, row_sum: int, body: bytes) -> Row | None:
        """The row if it is what was once stored under this name."""
        try:
            body = self._seal.unseal(body, _about(gallery, named))
            row: Row = _decode(body)
        except (Unreadable, msgspec.MsgspecError):
            return None
        return row if bytes_hash(body) == row_sum and key(row) == named else None

    def _seal_plain(self) -> None:
        """Seal what an edge that did not seal has written."""
        plain = f"SELECT gallery, kind, id, CAST(body AS BLOB) FROM rows WHERE NOT {SEALED_ROW} LIMIT {CHUNK}"
        change = "UPDATE rows SET body = ? WHERE gallery = ? AND kind = ? AND id = ?"
        while self._seal.sealing and (rows := self._db.execute(plain).fetchall()):
            with self._transaction(removing=True):
                sealed = [(self._seal.seal(body, _about(of[0], Key(*of[1:]))), *of) for *of, body in rows]
                self._db.executemany(change, sealed)

    def follow(self, followed: Sequence[Followed]) -> None:
        """Begin copies of galleries that are new, and erase those no longer followed."""
        before = {held.id: held for held in self.held}
        if {g.id: (g.name, g.kind) for g in followed} == {h.id: (h.name, h.kind) for h in self.held}:
            return
        with self._transaction(removing=True):
            for gallery in before.keys() - {new.id for new in followed}:
                self._db.execute("DELETE FROM rows WHERE gallery = ?", (gallery,))
                self._db.execute("DELETE FROM galleries WHERE id = ?", (gallery,))
                self._db.execute("INSERT OR IGNORE INTO dropped VALUES (?)", (gallery,))
            for new in followed:
                self._db.execute("DELETE FROM dropped WHERE gallery = ?", (new.id,))
                self._db.execute(
                    "INSERT INTO galleries VALUES (?, ?, ?, ?, ?)"
                    " ON CONFLICT (id) DO UPDATE SET name = excluded.name, kind = excluded.kind",
                    (new.id, new.name, new.kind, START.revision, START.checksum),
                )
        empty = Gallery.empty(self.model)
        self.removals += 1
        self.held = tuple(
            replace(before[new.id], name=new.name, kind=new.kind)
            if new.id in before
            else Held(new.id, new.name, new.kind, START, empty)
            for new in followed
        )

    def dropped(self) -> list[str]:
        """Galleries whose copies were erased, and of which the control plane has not been told so."""
        return [gallery for (gallery,) in self._db.execute("SELECT gallery FROM dropped ORDER BY gallery")]

    def told_dropped(self, gallery: str) -> None:
        self._db.execute("DELETE FROM dropped WHERE gallery = ?", (gallery,))

    def position(self, gallery: str) -> Position:
        """Where the copy of a followed gallery stands."""
        return self._held(gallery).position

    def apply(self, page: Page) -> None:
        """Move a gallery on by one page: rows and position in one transaction, then the matrix. Raises Diverged, and
        then nothing has changed."""
        held = self._held(page.gallery)
        put = advance(held.position, page, self._hashes(page))
        gallery = held.gallery.changed(page.put, page.removed)
        with self._transaction(removing=bool(page.removed)):
            for kind, row_id in page.removed:
                self._db.execute(
                    "DELETE FROM rows WHERE gallery = ? AND kind = ? AND id = ?", (page.gallery, kind, row_id)
                )
            bodies = {key(row): canonical(row) for row in page.put}
            self._put("INSERT OR REPLACE", page.gallery, put, put.values(), bodies.values())
            self._store_position(page.gallery, page.position)
        self.removals += any(Key(*removed).kind == "identity" for removed in page.removed)
        self._swap(replace(held, position=page.position, gallery=gallery))

    def start_over(self, gallery: str, position: Position, rows: Iterable[Row]) -> None:
        """Replace a copy by a snapshot, whose rows are stored as they come. Raises Diverged, and then nothing has
        changed."""
        held = self._held(gallery)
        with self._transaction(removing=held.position != START):
            self._db.execute("DELETE FROM rows WHERE gallery = ?", (gallery,))
            fresh = Gallery.of(self.model, self._stored(held, position, rows))
            self._store_position(gallery, position)
            if held.gallery.model != self.model:
                self._store_model()
        self.removals += 1
        self._swap(replace(held, position=position, gallery=fresh))

    def _stored(self, held: Held, position: Position, rows: Iterable[Row]) -> Iterator[Row]:
        """The rows of a snapshot once they are stored; raises Diverged at the end if they are not what it says."""
        total, rows = 0, iter(rows)
        while chunk := list(islice(rows, CHUNK)):
            bodies = [canonical(row) for row in chunk]
            hashes = [bytes_hash(body) for body in bodies]
            total ^= checksum(hashes)
            try:
                self._put("INSERT", held.id, map(key, chunk), hashes, bodies)
            except sqlite3.IntegrityError as error:
                raise Diverged(f"the snapshot at revision {position.revision} holds a row twice") from error
            yield from chunk
        if total != position.checksum:
            raise Diverged(f"the snapshot's checksum at revision {position.revision} does not come out")

    def _held(self, gallery: str) -> Held:
        return next(held for held in self.held if held.id == gallery)

    def _swap(self, new: Held) -> None:
        self.held = tuple(new if held.id == new.id else held for held in self.held)

    def _hashes(self, page: Page) -> dict[Key, int]:
        """The hashes of the page's rows that are here already."""
        found: dict[Key, int] = {}
        for named in {key(row) for row in page.put} | {Key(*removed) for removed in page.removed}:
            row = self._db.execute(
                "SELECT hash FROM rows WHERE gallery = ? AND kind = ? AND id = ?", (page.gallery, *named)
            ).fetchone()
            if row:
                found[named] = row[0]
        return found

    def _put(self, how: str, gallery: str, keys: Iterable[Key], hashes: Iterable[int], bodies: Iterable[bytes]) -> None:
        self._db.executemany(
            f"{how} INTO rows VALUES (?, ?, ?, ?, ?)",
            (
                (gallery, *of, row_sum, self._seal.seal(body, _about(gallery, of)))
                for of, row_sum, body in zip(keys, hashes, bodies, strict=True)
            ),
        )

    def _store_model(self) -> None:
        self._db.execute("INSERT OR REPLACE INTO engine VALUES (1, ?)", (self.model,))

    def _store_position(self, gallery: str, position: Position) -> None:
        self._db.execute(
            "UPDATE galleries SET revision = ?, checksum = ? WHERE id = ?",
            (position.revision, position.checksum, gallery),
        )

    def scrub(self) -> None:
        """Have no byte of removed rows left on the disk: to be done before it is said that they are gone.

        SQLite overwrites a row that is deleted, but not the copies it has left in its pages whenever it moved the row,
        nor those in its log.
        """
        if self._db.execute("PRAGMA user_version").fetchone()[0]:
            self._db.execute("VACUUM")
            self._db.execute("PRAGMA user_version = 0")
        self._truncate()

    def _scrub_if_it_can(self) -> None:
        """On a disk that is full an edge recognises all the same; nothing is said to be gone before it is scrubbed."""
        try:
            self.scrub()
        except sqlite3.OperationalError as error:
            log.warning("who was taken out still lies on the disk (%s)", error)

    def _truncate(self) -> None:
        self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    @contextmanager
    def _transaction(self, *, removing: bool) -> Iterator[None]:
        """All or nothing, on the disk when it ends. With `removing` the file's user_version says that there is
        something to scrub, whatever happens before that is done."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            if removing:
                self._db.execute("PRAGMA user_version = 1")
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")
        # It is done: that the disk has no room to take it from the log yet is for `scrub` to say.
        with suppress(sqlite3.OperationalError):
            self._truncate()


def _about(gallery: str, of: Key) -> bytes:
    """What a row's sealed body is bound to."""
    return about("row", gallery, *of)
