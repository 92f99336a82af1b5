from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.replica import DAMAGED, Replica
from faces.encoding import DIMENSIONS, to_bytes
from faces.errors import Diverged
from faces.gallery import EncodingRow, IdentityRow, Key, Kind, Row, checksum, key, row_hash
from faces.wire import START, Followed, Page, Position

G1 = Followed(id="g1", name="staff", kind=Kind.ALLOW, position=START)
G2 = Followed(id="g2", name="banned", kind=Kind.DENY, position=START)


def identity(number: int, name: str = "Ada") -> IdentityRow:
    return IdentityRow(f"i{number}", f"{name} {number}")


def encoding(number: int) -> EncodingRow:
    vector = np.zeros(DIMENSIONS, np.float32)
    vector[number % DIMENSIONS] = 1
    return EncodingRow(f"e{number}", f"i{number}", "sface", to_bytes(vector))


def person(number: int) -> list[Row]:
    return [identity(number), encoding(number)]


def total(rows: Iterable[Row]) -> int:
    return checksum(row_hash(row) for row in rows)


class Source:
    """What the gallery itself would say: pages that follow each other."""

    def __init__(self, gallery: str = "g1") -> None:
        self.gallery = gallery
        self.rows: dict[Key, Row] = {}
        self.revision = 0

    @property
    def position(self) -> Position:
        return Position(self.revision, total(self.rows.values()))

    def page(self, put: Iterable[Row] = (), removed: Iterable[Key] = ()) -> Page:
        put, removed, after = list(put), list(removed), self.revision
        for named in removed:
            self.rows.pop(named, None)
        self.rows |= {key(row): row for row in put}
        self.revision += 1
        return Page(gallery=self.gallery, after=after, position=self.position, put=put, removed=removed)


def opened(path: Path) -> Replica:
    return Replica(path / "galleries.db", "sface")


def rows_of(replica: Replica, gallery: str = "g1") -> dict[Key, Row]:
    (held,) = [held for held in replica.held if held.id == gallery]
    rows: list[Row] = [*held.gallery.identities.values(), *held.gallery.encodings.values()]
    return {key(row): row for row in rows}


@pytest.fixture
def source() -> Source:
    return Source()


@pytest.fixture
def replica(tmp_path: Path) -> Iterable[Replica]:
    replica = opened(tmp_path)
    replica.follow([G1])
    yield replica
    replica.close()


def test_a_new_copy_stands_at_the_start(replica: Replica) -> None:
    assert replica.position("g1") == START
    assert len(replica.held[0].gallery) == 0


def test_a_page_moves_rows_and_position_on(replica: Replica, source: Source) -> None:
    replica.apply(source.page(put=[*person(1), *person(2)]))
    replica.apply(source.page(put=[identity(2, "Bea")], removed=[Key("identity", "i1"), Key("encoding", "e1")]))
    assert replica.position("g1") == source.position
    assert rows_of(replica) == source.rows
    assert replica.held[0].gallery.ids == ("i2",)


def test_a_copy_starts_from_the_disk(tmp_path: Path, source: Source) -> None:
    replica = opened(tmp_path)
    replica.follow([G1, G2])
    replica.apply(source.page(put=person(1)))
    replica.close()
    replica = opened(tmp_path)
    assert [(held.id, held.name, held.kind) for held in replica.held] == [
        ("g1", "staff", Kind.ALLOW),
        ("g2", "banned", Kind.DENY),
    ]
    assert replica.position("g1") == source.position
    assert rows_of(replica) == source.rows
    replica.close()


@pytest.mark.parametrize(
    "wrong",
    [
        lambda page: Page(gallery="g1", after=7, position=page.position, put=page.put, removed=[]),
        lambda page: Page(gallery="g1", after=1, position=Position(2, 123), put=page.put, removed=[]),
        lambda page: Page(gallery="g1", after=1, position=page.position, put=page.put[:1], removed=[]),
    ],
)
def test_a_page_that_does_not_fit_changes_nothing(replica: Replica, source: Source, wrong: Any) -> None:
    replica.apply(source.page(put=person(1)))
    before = replica.held
    with pytest.raises(Diverged):
        replica.apply(wrong(source.page(put=person(2))))
    assert replica.held is before
    replica.verify()
    assert replica.position("g1") == before[0].position


def test_a_snapshot_replaces_everything(replica: Replica, source: Source) -> None:
    replica.apply(source.page(put=person(1)))
    rows = [*person(2), *person(3)]
    replica.start_over("g1", Position(9, total(rows)), rows)
    assert replica.position("g1") == Position(9, total(rows))
    assert rows_of(replica) == {key(row): row for row in rows}


@pytest.mark.parametrize(
    ("rows", "position"), [(person(2), Position(9, 1)), (person(2) * 3, Position(9, total(person(2))))]
)
def test_a_snapshot_that_does_not_add_up_changes_nothing(
    replica: Replica, source: Source, rows: list[Row], position: Position
) -> None:
    replica.apply(source.page(put=person(1)))
    with pytest.raises(Diverged):
        replica.start_over("g1", position, rows)
    assert replica.position("g1") == source.position
    assert rows_of(replica) == source.rows


def test_held_is_the_same_while_nothing_changes(replica: Replica) -> None:
    before = replica.held
    replica.follow([Followed(id="g1", name="staff", kind=Kind.ALLOW, position=Position(8, 8))])
    assert replica.held is before


def test_a_gallery_that_changes_its_kind_keeps_its_rows(replica: Replica, source: Source) -> None:
    replica.apply(source.page(put=person(1)))
    replica.follow([Followed(id="g1", name="watched", kind=Kind.WATCH, position=START)])
    assert (replica.held[0].name, replica.held[0].kind) == ("watched", Kind.WATCH)
    assert rows_of(replica) == source.rows


def bytes_on_disk(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.iterdir())


def test_what_is_erased_leaves_no_byte_on_the_disk(tmp_path: Path, replica: Replica, source: Source) -> None:
    kept, erased = encoding(1), encoding(2)
    replica.apply(source.page(put=[*person(1), *person(2)]))
    replica.apply(source.page(removed=[Key("identity", "i2"), Key("encoding", "e2")]))
    assert kept.data in bytes_on_disk(tmp_path)
    assert erased.data not in bytes_on_disk(tmp_path)
    assert b"Ada 2" not in bytes_on_disk(tmp_path)


def test_a_gallery_no_longer_followed_is_erased(tmp_path: Path, replica: Replica, source: Source) -> None:
    replica.follow([G1, G2])
    replica.apply(source.page(put=person(1)))
    replica.follow([G2])
    assert [held.id for held in replica.held] == ["g2"]
    assert encoding(1).data not in bytes_on_disk(tmp_path)


DAMAGE = {
    "another body": "UPDATE rows SET body = zeroblob(600) WHERE id = 'e1'",
    "a body that has become text": "UPDATE rows SET body = 'x' || substr(body, 2) WHERE id = 'e1'",
    "a key that is no text": "UPDATE rows SET id = CAST(x'FFFE' AS TEXT) WHERE id = 'e1'",
    "no hash": "UPDATE rows SET hash = 'none' WHERE id = 'e1'",
    "a row missing": "DELETE FROM rows WHERE id = 'i2'",
    "a row too many": "INSERT INTO rows SELECT gallery, kind, 'e9', hash, body FROM rows WHERE id = 'e1'",
    "an old row": "UPDATE rows SET hash = hash + 1 WHERE id = 'e2'",
    "a position of the past": "UPDATE galleries SET checksum = checksum + 1",
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
@pytest.mark.parametrize("restarted", [True, False])
def test_a_damaged_copy_is_noticed_and_names_nobody_wrongly(
    tmp_path: Path, source: Source, damage: str, restarted: bool
) -> None:
    replica = opened(tmp_path)
    replica.follow([G1])
    replica.apply(source.page(put=[*person(1), *person(2)]))
    other = sqlite3.connect(tmp_path / "galleries.db")
    with other:
        other.execute(damage)
    other.close()
    if restarted:
        replica.close()
        replica = opened(tmp_path)
    else:
        replica.verify()
    assert replica.position("g1") == DAMAGED
    assert rows_of(replica).items() <= source.rows.items()
    replica.start_over("g1", source.position, list(source.rows.values()))
    replica.verify()
    assert rows_of(replica) == source.rows
    replica.close()


def test_a_copy_that_makes_no_sense_is_begun_anew(tmp_path: Path, source: Source) -> None:
    replica = opened(tmp_path)
    replica.follow([G1])
    replica.apply(source.page(put=person(1)))
    replica.close()
    other = sqlite3.connect(tmp_path / "galleries.db")
    other.executescript("UPDATE galleries SET kind = 'friends'")
    other.close()
    replica = opened(tmp_path)
    assert replica.held == ()
    replica.close()


def test_a_file_that_is_no_database_is_begun_anew(tmp_path: Path) -> None:
    (tmp_path / "galleries.db").write_bytes(b"not a database" * 1000)
    replica = opened(tmp_path)
    assert replica.held == ()
    replica.follow([G1])
    assert replica.position("g1") == START
    replica.close()


class Crash(BaseException):
    """The power goes."""


class Failing:
    """A connection whose process dies before its n-th statement."""

    def __init__(self, db: sqlite3.Connection, left: int) -> None:
        self._db, self._left = db, left

    def _step(self, *args: Any, many: bool = False) -> Any:
        if self._left == 0:
            raise Crash
        self._left -= 1
        return self._db.executemany(*args) if many else self._db.execute(*args)

    def execute(self, *args: Any) -> Any:
        return self._step(*args)

    def executemany(self, *args: Any) -> Any:
        return self._step(*args, many=True)


ROWS = st.one_of(st.integers(1, 5).map(identity), st.integers(1, 5).map(encoding))
KEYS = st.one_of(
    st.integers(1, 5).map(lambda n: Key("identity", f"i{n}")), st.integers(1, 5).map(lambda n: Key("encoding", f"e{n}"))
)
CHANGES = st.tuples(st.lists(ROWS, max_size=4, unique_by=key), st.lists(KEYS, max_size=2, unique=True))


@settings(max_examples=60)
@given(changes=st.lists(CHANGES, min_size=1, max_size=6), cut=st.integers(0, 40), snapshot=st.booleans())
def test_a_crash_at_any_statement_leaves_the_old_or_the_new_whole(
    changes: list[tuple[list[Row], list[Key]]], cut: int, snapshot: bool
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        source, replica = Source(), opened(Path(folder))
        replica.follow([G1])
        real = replica._db
        replica._db = Failing(real, cut)  # type: ignore[assignment]
        whole = {START: dict(source.rows)}
        try:
            for put, removed in changes:
                page = source.page(put, [named for named in removed if named not in {key(row) for row in put}])
                whole[source.position] = dict(source.rows)
                if snapshot:
                    replica.start_over("g1", source.position, list(source.rows.values()))
                else:
                    replica.apply(page)
        except Crash:
            pass
        real.close()
        after = opened(Path(folder))
        assert after.position("g1") in whole, "a position that never was, or DAMAGED"
        assert rows_of(after) == whole[after.position("g1")]
        after.close()
