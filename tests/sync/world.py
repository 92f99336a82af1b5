"""A control plane's store and the replicas of two edges, joined without sockets: every call is encoded and decoded as
on the wire, and may be lost, doubled or answered late. Either side may crash, and be restored from an earlier copy."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from enum import StrEnum
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

import numpy as np
import sqlalchemy as sa

from control_plane.store import erasures, galleries, identities, schema, sites
from control_plane.store.db import Connection, Database, new_id
from control_plane.store.tables import encodings
from control_plane.store.tables import identities as people_table
from edge.plane import OutOfReach, Unanswered
from edge.replica import DAMAGED, Replica
from edge.uplink import Syncer
from faces import wire
from faces.encoding import SFACE, from_bytes, to_bytes, unit
from faces.errors import Compacted, Diverged, Invalid, NotFound, RollcallError
from faces.gallery import EncodingRow, Gallery, Key, Row, SettingsRow, checksum, key, row_hash
from faces.wire import Followed, Hello, Hint, Page, Position, Report, Welcome
from tests.conftest import NOW

T = TypeVar("T")

GALLERIES = (galleries.DEFAULT_GALLERY, "staff", "banned")
SITES = (sites.DEFAULT_SITE, "annex")
QUIET_ROUNDS = 4
MEMORY = Path("/dev/shm")
"""Where files are quick, if the system has it: what a crash leaves is copied, not pulled from a disk."""


class Crash(BaseException):
    """The power goes."""


class Fault(StrEnum):
    """What becomes of one call."""

    NONE = "none"
    LOST = "the request is lost"
    UNANSWERED = "the reply is lost"
    DOUBLED = "the request arrives twice"
    LATE = "an earlier reply arrives in its place"


@cache
def template() -> bytes:
    """A migrated database's file, made once."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "rollcall.db"
        database = Database(f"sqlite:///{path}")
        schema.migrate(database, NOW)
        database.truncate_wal()
        database.close()
        return path.read_bytes()


def vector(seed: int) -> bytes:
    return to_bytes(unit(np.random.default_rng(seed).normal(size=128).astype(np.float32)))


class Place:
    """A folder of database files that can be copied as they lie there, and put back."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()

    def image(self) -> dict[str, bytes]:
        """What a power cut would leave; SQLite makes the index of its log (-shm) anew."""
        return {p.name: p.read_bytes() for p in self.folder.iterdir() if not p.name.endswith("-shm")}

    def put_back(self, image: dict[str, bytes]) -> None:
        shutil.rmtree(self.folder)
        self.folder.mkdir()
        for name, data in image.items():
            (self.folder / name).write_bytes(data)


class Centre:
    """The control plane's side: its store, and what the API does with it."""

    def __init__(self, folder: Path) -> None:
        self.place = Place(folder)
        self.erased: dict[str, list[bytes]] = {}
        """The encodings of those who were erased, to look for them."""
        self.void: set[str] = set()
        """Edges that have lost what they reported."""
        self.ticks = 0
        self.page_rows = 3
        self.place.put_back({"rollcall.db": template()})
        self._open()
        self.write(self._found)

    def _open(self) -> None:
        self.database = Database(f"sqlite:///{self.place.folder / 'rollcall.db'}")

    def _found(self, connection: Connection) -> None:
        for name in GALLERIES[1:]:
            galleries.create(connection, SettingsRow(name, name), self.now())
        sites.create(connection, "annex", ["staff", "banned"], self.now(), "annex")
        sites.follow(connection, sites.DEFAULT_SITE, ["default", "staff"])

    def now(self) -> datetime:
        """A clock that moves on with every look, so that ids are in the order of their making."""
        self.ticks += 1
        return NOW + timedelta(seconds=self.ticks)

    def read(self, work: Callable[[Connection], T]) -> T:
        with self.database.read() as connection:
            return work(connection)

    def write(self, work: Callable[[Connection], T], *, crash: bool = False) -> T | None:
        """Do something in a transaction; with `crash` the power goes before it is committed."""
        try:
            with self.database.write() as connection:
                result = work(connection)
                if crash:
                    raise Crash
                return result
        except Crash:
            self.restart()
            return None

    def restart(self) -> None:
        image = self.place.image()
        self.database.close()
        self.place.put_back(image)
        self._open()

    def restore(self, image: dict[str, bytes]) -> None:
        self.database.close()
        self.place.put_back(image)
        self._open()

    def close(self) -> None:
        self.database.close()

    def people(self) -> list[str]:
        query = sa.select(people_table.c.id).where(people_table.c.merged_into.is_(None)).order_by(people_table.c.id)
        return self.read(lambda c: list(c.execute(query).scalars()))

    def merged(self) -> list[tuple[str, str]]:
        """Everybody who was merged into somebody who is there, with that one before them."""
        into = people_table.c.merged_into
        query = sa.select(into, people_table.c.id).where(into.in_(self.people())).order_by(people_table.c.id)
        return self.read(lambda c: [(row.merged_into, row.id) for row in c.execute(query)])

    def enroll(self, connection: Connection, gallery_ids: Sequence[str], seed: int) -> None:
        person = identities.create(connection, f"person {seed}", gallery_ids, self.now())
        self.add_encoding(connection, person, seed)

    def add_encoding(self, connection: Connection, person: str, seed: int, *, against: bool = False) -> None:
        now = self.now()
        identities.add_encoding(connection, EncodingRow(new_id(now), person, SFACE, vector(seed), against), now)

    def erase(self, person: str, *, crash: bool = False) -> None:
        def work(connection: Connection) -> dict[str, list[bytes]]:
            of = sa.select(encodings.c.data).where(encodings.c.identity_id == person)
            data = list(connection.execute(of).scalars())
            everybody = identities.tree(connection, person)
            identities.erase(connection, person, self.now())
            return dict.fromkeys(everybody, data)

        self.erased |= self.write(work, crash=crash) or {}

    def forgotten(self, person: str, edge: str) -> set[str]:
        """The galleries in which the control plane says that an edge has forgotten a person; none if it was restored
        to a time before the erasure."""
        try:
            told = self.read(lambda c: erasures.get(c, person))
        except NotFound:
            return set()
        return {confirmed.gallery_id for confirmed in told.confirmed if confirmed.edge_id == edge}

    def rows(self, gallery: str) -> dict[Key, Row]:
        return self.read(lambda c: {key(row): row for row in galleries.snapshot(c, gallery)[1]})

    def position(self, gallery: str) -> Position:
        return self.read(lambda c: galleries.position(c, gallery))

    def check(self) -> None:
        """What the counters say of each gallery is what its rows say."""
        for gallery in GALLERIES:
            assert (
                self.read(lambda c, g=gallery: galleries.recomputed_checksum(c, g)) == self.position(gallery).checksum
            )


class Line:
    """The control plane as one edge reaches it; `faults` says what becomes of the calls to come."""

    def __init__(self, centre: Centre, edge: str) -> None:
        self.faults: list[Fault] = []
        self.snapshots = 0
        self._fresh = False
        self._centre = centre
        self._edge = edge
        self._earlier: dict[str, list[bytes]] = {}

    def proves(self, gallery: str, position: Position) -> bool:
        """Whether the page that arrived last must fit a copy that stands there."""
        return self._fresh and self._centre.read(lambda c: galleries.stood_at(c, gallery, position))

    def hello(self, hello: Hello) -> Welcome:
        def work(connection: Connection) -> Welcome:
            return sites.welcome(connection, self._edge, hello, wire.WIRE, self._centre.now())

        return wire.decode(self._call("hello", lambda: wire.encode(self._centre.write(work))), Welcome)

    def followed(self) -> list[Followed]:
        def work(connection: Connection) -> list[Followed]:
            return galleries.followed(connection, sites.site_of(connection, self._edge))

        return wire.decode(self._call("followed", lambda: wire.encode(self._centre.read(work))), list[Followed])

    def changes(self, gallery: str, after: int) -> Page:
        def work(connection: Connection) -> Page:
            return galleries.page(connection, gallery, after, limit=self._centre.page_rows)

        late = self._next is Fault.LATE
        data = self._call("changes", lambda: wire.encode(self._centre.read(work)))
        self._fresh = not late
        return wire.decode(data, Page)

    @contextmanager
    def snapshot(self, gallery: str) -> Iterator[tuple[Position, Iterator[Row]]]:
        def work(connection: Connection) -> bytes:
            return b"".join(wire.pack_rows(*galleries.snapshot(connection, gallery)))

        self.snapshots += 1
        data = self._call("snapshot", lambda: self._centre.read(work))
        head, rows = wire.read_snapshot(data[i : i + 700] for i in range(0, len(data), 700))
        if head.gallery != gallery:
            raise Invalid("a snapshot of another gallery")
        yield head.position, rows

    def report(self, gallery: str, report: Report) -> None:
        def take() -> bytes:
            self._centre.write(lambda c: sites.report(c, self._edge, gallery, report, self._centre.now()))
            self._centre.void.discard(self._edge)
            return b""

        self._call("report", take)

    @property
    def _next(self) -> Fault:
        return self.faults[0] if self.faults else Fault.NONE

    def _call(self, kind: str, answer: Callable[[], bytes]) -> bytes:
        fault = self.faults.pop(0) if self.faults else Fault.NONE
        if fault is Fault.LOST:
            raise OutOfReach("nothing is heard")
        try:
            data = answer()
            if fault is Fault.DOUBLED:
                data = answer()
        except Compacted:
            raise
        except RollcallError as error:
            raise Unanswered(error.message, 409) from error
        earlier = self._earlier.setdefault(kind, [])
        earlier.append(data)
        if fault is Fault.UNANSWERED:
            raise OutOfReach("no reply")
        return earlier[len(earlier) // 2] if fault is Fault.LATE else data


class Fuse:
    """A replica's connection whose process dies before its n-th statement."""

    def __init__(self, db: sqlite3.Connection, left: int) -> None:
        self._db = db
        self._left = left

    def _burn(self) -> None:
        if self._left == 0:
            raise Crash
        self._left -= 1

    @property
    def in_transaction(self) -> bool:
        return self._db.in_transaction

    def execute(self, *given: Any) -> Any:
        self._burn()
        return self._db.execute(*given)

    def executemany(self, *given: Any) -> Any:
        self._burn()
        return self._db.executemany(*given)

    def close(self) -> None:
        self._db.close()


class Copy(Replica):
    """The edge's replica, watched: which galleries it started over, and that it never does so without a reason."""

    def __init__(self, path: Path, line: Line) -> None:
        self.started_over: set[str] = set()
        self._line = line
        super().__init__(path, SFACE)

    def apply(self, page: Page) -> None:
        proven = self._line.proves(page.gallery, self.position(page.gallery))
        try:
            super().apply(page)
        except Diverged as error:
            if proven:
                raise AssertionError("a page of its own history does not fit a copy") from error
            raise

    def start_over(self, gallery: str, position: Position, rows: Any) -> None:
        super().start_over(gallery, position, rows)
        self.started_over.add(gallery)


class EdgeSide:
    """One edge: its disk, its replica and its end of the line."""

    def __init__(self, centre: Centre, folder: Path, name: str, site: str) -> None:
        self.id = name
        self.place = Place(folder)
        self.line = Line(centre, name)
        self._centre = centre
        self._hello = Hello(
            name=name, site=None if site == sites.DEFAULT_SITE else site, version="1", engine=SFACE, cameras=[]
        )
        self._open()

    def _open(self) -> None:
        self.replica = Copy(self.place.folder / "galleries.db", self.line)
        self.syncer = Syncer(self.line, self.replica, self._hello, lambda: None)  # type: ignore[arg-type]

    def sync(self, faults: Sequence[Fault] = (), fuse: int | None = None, *, hinted: bool = False) -> bool:
        """One round of the edge, of all galleries or of those `hinted` at; False if it failed. With `fuse` the power
        goes before its n-th statement."""
        for held in self.replica.held if hinted else ():
            self.syncer.hint(Hint(held.id, self._centre.position(held.id).revision))
        before = {held.id: held.position for held in self.replica.held}
        self.replica.started_over.clear()
        self.line.faults = list(faults)
        if fuse is not None:
            self.replica._db = Fuse(self.replica._db, fuse)  # type: ignore[assignment]
        try:
            self.syncer.step()
            failed = False
        except RollcallError:
            failed = True
        except Crash:
            self.crash()
            return False
        finally:
            self.line.faults = []
            if isinstance(self.replica._db, Fuse):
                self.replica._db = self.replica._db._db
        self._check_order(before)
        return not failed

    def _check_order(self, before: dict[str, Position]) -> None:
        for held in self.replica.held:
            if held.id in before and held.id not in self.replica.started_over:
                assert held.position.revision >= before[held.id].revision, "a revision fell without a fresh start"

    def crash(self) -> None:
        """The power goes and comes back: what was committed is there, whole, and nothing else."""
        image = self.place.image()
        self.replica.close()
        self.place.put_back(image)
        self._open()
        assert all(held.position != DAMAGED for held in self.replica.held), "a crash has damaged a copy"

    def restart(self) -> None:
        self.replica.close()
        self._open()

    def image(self) -> dict[str, bytes]:
        return self.place.image()

    def restore(self, image: dict[str, bytes]) -> None:
        """Bring an earlier disk back. What the control plane knows of this edge is void until it reports again."""
        self.replica.close()
        self.place.put_back(image)
        self._open()
        self._centre.void.add(self.id)

    def close(self) -> None:
        self.replica.close()

    def rows(self, gallery: str) -> dict[Key, Row]:
        """What is held in memory, as it would be searched."""
        held = self.replica._held(gallery).gallery
        rows: list[Row] = [*held.identities.values(), *held.encodings.values()]
        return {key(row): row for row in [*rows, *([held.settings] if held.settings else [])]}

    def check_forgotten(self) -> None:
        """Nobody whose erasure this edge has confirmed is held, or found by their own face."""
        for person, data in self._centre.erased.items():
            forgotten = set() if self.id in self._centre.void else self._centre.forgotten(person, self.id)
            for held in self.replica.held:
                if held.id in forgotten:
                    self._check_absent(held.gallery, person, data)

    @staticmethod
    def _check_absent(gallery: Gallery, person: str, data: list[bytes]) -> None:
        assert person not in gallery.identities, "an erased person is still held"
        assert all(e.identity_id != person for e in gallery.encodings.values()), "an erased face is still held"
        for match in gallery.search(np.stack([from_bytes(d) for d in data])) if data else []:
            assert all(found is None or found.identity_id != person for found in match), "an erased person is matched"

    def check_equal(self) -> None:
        """This edge holds what its site follows, row by row, and each checksum comes out from the rows."""
        followed = self._centre.read(lambda c: galleries.followed(c, sites.site_of(c, self.id)))
        assert [held.id for held in self.replica.held] == [gallery.id for gallery in followed]
        self.replica.verify()
        for gallery in followed:
            rows = self.rows(gallery.id)
            assert rows == self._centre.rows(gallery.id), "a copy is not what the gallery is"
            assert self.replica.position(gallery.id) == gallery.position
            assert checksum(row_hash(row) for row in rows.values()) == gallery.position.checksum


class World:
    """One control plane and two edges, in a folder of their own."""

    def __init__(self) -> None:
        self._folder = TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None)
        path = Path(self._folder.name)
        self.centre = Centre(path / "centre")
        self.edges = [EdgeSide(self.centre, path / f"edge-{site}", f"edge-{site}", site) for site in SITES]

    def close(self) -> None:
        for edge in self.edges:
            edge.close()
        self.centre.close()
        self._folder.cleanup()

    def settle(self) -> None:
        """Let both edges sync until nothing changes any more; then every copy equals its gallery."""
        for edge in self.edges:
            for _ in range(QUIET_ROUNDS):
                if edge.sync() and edge.sync():
                    break
            edge.check_equal()
        self.centre.check()
        self.check()

    def check(self) -> None:
        for edge in self.edges:
            edge.check_forgotten()
