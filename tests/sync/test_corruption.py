"""A copy on disk that is not what it should be is found, wherever the damage lies, and mended."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing

import msgspec
import pytest

from control_plane.store import galleries
from edge.replica import DAMAGED
from faces.gallery import IdentityRow, Row, canonical, key, row_hash
from faces.wire import Position
from tests.sync.world import EdgeSide, World

G = galleries.DEFAULT_GALLERY
PEOPLE = 8

Damage = Callable[[sqlite3.Connection, random.Random], None]


def rows(db: sqlite3.Connection) -> list[tuple[str, str, int, bytes]]:
    return db.execute("SELECT kind, id, hash, body FROM rows WHERE gallery = ? ORDER BY kind, id", (G,)).fetchall()


def flipped(value: int, size: int, chance: random.Random) -> int:
    return value ^ 1 << chance.randrange(size)


def bit_of_a_body(db: sqlite3.Connection, chance: random.Random) -> None:
    kind, row_id, _, body = chance.choice(rows(db))
    place = chance.randrange(len(body))
    changed = bytearray(body)
    changed[place] ^= 1 << chance.randrange(8)
    db.execute("UPDATE rows SET body = ? WHERE kind = ? AND id = ?", (bytes(changed), kind, row_id))


def bit_of_a_hash(db: sqlite3.Connection, chance: random.Random) -> None:
    kind, row_id, row_sum, _ = chance.choice(rows(db))
    db.execute("UPDATE rows SET hash = ? WHERE kind = ? AND id = ?", (flipped(row_sum, 63, chance), kind, row_id))


def bit_of_a_position(db: sqlite3.Connection, chance: random.Random) -> None:
    column = chance.choice(["revision", "checksum"])
    (value,) = db.execute(f"SELECT {column} FROM galleries WHERE id = ?", (G,)).fetchone()
    changed = flipped(value, 40 if column == "revision" else 63, chance)
    db.execute(f"UPDATE galleries SET {column} = ? WHERE id = ?", (changed, G))


def missing(db: sqlite3.Connection, chance: random.Random) -> None:
    kind, row_id, _, _ = chance.choice(rows(db))
    db.execute("DELETE FROM rows WHERE kind = ? AND id = ?", (kind, row_id))


def extra(db: sqlite3.Connection, chance: random.Random) -> None:
    """Somebody more, whose row is sound in itself."""
    row = IdentityRow(f"x{chance.random()}", "Nobody")
    db.execute("INSERT INTO rows VALUES (?, ?, ?, ?, ?)", (G, *key(row), row_hash(row), canonical(row)))


def swapped_rows(db: sqlite3.Connection, chance: random.Random) -> None:
    """Two rows of a kind lie under each other's names."""
    kind = chance.choice(["identity", "encoding"])
    (_, one, *first), (_, two, *second) = chance.sample([row for row in rows(db) if row[0] == kind], 2)
    for row_id, (row_sum, body) in ((one, second), (two, first)):
        db.execute("UPDATE rows SET hash = ?, body = ? WHERE kind = ? AND id = ?", (row_sum, body, kind, row_id))


def swapped_names(db: sqlite3.Connection, chance: random.Random) -> None:
    """Two people bear each other's names, and each row has the right hash: a copy that a careful hand has forged."""
    stored = [msgspec.msgpack.decode(body, type=Row) for kind, _, _, body in rows(db) if kind == "identity"]
    one, two = chance.sample(stored, 2)
    for row, name in ((one, two.name), (two, one.name)):
        forged = msgspec.structs.replace(row, name=name)
        db.execute(
            "UPDATE rows SET hash = ?, body = ? WHERE kind = 'identity' AND id = ?",
            (row_hash(forged), canonical(forged), row.id),
        )


DAMAGES: tuple[Damage, ...] = (
    bit_of_a_body,
    bit_of_a_hash,
    bit_of_a_position,
    missing,
    extra,
    swapped_rows,
    swapped_names,
)


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    world = World()
    for seed in range(PEOPLE):
        world.centre.write(lambda c, seed=seed: world.centre.enroll(c, [G], seed))
    assert world.edges[0].sync()
    yield world
    world.close()


def damage(edge: EdgeSide, how: Damage, seed: int) -> None:
    with closing(sqlite3.connect(edge.place.folder / "galleries.db")) as db, db:
        how(db, random.Random(seed))


@pytest.mark.parametrize("seed", range(100))
def test_a_damaged_copy_is_found_and_mended(world: World, seed: int) -> None:
    edge, how = world.edges[0], DAMAGES[seed % len(DAMAGES)]
    sound, position = edge.rows(G), world.centre.position(G)
    assert edge.replica.position(G) == position
    damage(edge, how, seed)
    if seed % 2:
        edge.restart()
    else:
        edge.replica.verify()
    assert edge.rows(G).items() <= sound.items() or how is extra or how is swapped_names
    found = edge.replica.position(G)
    assert found == DAMAGED or (how is bit_of_a_position and found.revision != position.revision)
    assert edge.sync()
    edge.check_equal()
    assert edge.rows(G) == sound
    assert edge.replica.position(G) == position


@pytest.mark.parametrize("revision", [-1, 0, 3, 10**12])
def test_a_position_that_is_not_the_rows_is_mended(world: World, revision: int) -> None:
    edge = world.edges[0]
    with closing(sqlite3.connect(edge.place.folder / "galleries.db")) as db, db:
        db.execute("UPDATE galleries SET revision = ? WHERE id = ?", (revision, G))
    edge.restart()
    assert edge.replica.position(G) == Position(revision, world.centre.position(G).checksum) or revision < 0
    assert edge.sync()
    edge.check_equal()
