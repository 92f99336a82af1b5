"""A compaction, an erasure and a crash that meet at the revision where a copy stands: it comes out whole, whatever
their order."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import Any

import pytest

from control_plane.store import galleries, identities
from tests.sync.world import Crash, EdgeSide, Fuse, World

G = galleries.DEFAULT_GALLERY


@pytest.fixture
def world() -> Iterator[World]:
    world = World()
    yield world
    world.close()


class LastCommit(Fuse):
    """A connection whose process dies just before it commits, or just after."""

    def __init__(self, db: sqlite3.Connection, *, committed: bool) -> None:
        super().__init__(db, -1)
        self._committed = committed

    def execute(self, *given: Any) -> Any:
        if given[0] == "COMMIT":
            if self._committed:
                self._db.execute("COMMIT")
            self._left = 0
        return super().execute(*given)


def crash_in_a_round(edge: EdgeSide, *, committed: bool) -> None:
    real = edge.replica._db
    edge.replica._db = LastCommit(real, committed=committed)  # type: ignore[assignment]
    with pytest.raises(Crash):
        edge.syncer.step()
    edge.replica._db = real
    edge.crash()


def people(world: World) -> tuple[str, str]:
    """Ann, who will be erased, and Bob, who is renamed."""
    for seed in (1, 2):
        world.centre.write(lambda c, seed=seed: world.centre.enroll(c, [G], seed))
    ann, bob = world.centre.people()
    return ann, bob


def rename(world: World, person: str, name: str) -> None:
    world.centre.write(lambda c: identities.update(c, person, world.centre.now(), name=name))


@pytest.mark.parametrize("page_rows", [1, 1000])
@pytest.mark.parametrize("crash", ["before commit", "after commit"])
@pytest.mark.parametrize("erased", [-1, 0, 1], ids=["erased at R-1", "erased at R", "erased at R+1"])
@pytest.mark.parametrize("compacted", [-1, 0, 1], ids=["compacted before", "compacted at R", "compacted after"])
def test_hostile_35_a_copy_at_revision_r_comes_out_whole(
    world: World, compacted: int, erased: int, crash: str, page_rows: int
) -> None:
    world.centre.page_rows = page_rows
    edge = world.edges[0]
    ann, bob = people(world)
    assert edge.sync()
    if erased <= 0:
        world.centre.erase(ann)
    if erased < 0:
        rename(world, bob, "Bob, once more")
    assert edge.sync()
    here = edge.replica.position(G)
    assert here == world.centre.position(G)
    if erased > 0:
        world.centre.erase(ann)
    for name in ("Bo", "Bobby"):
        rename(world, bob, name)
    world.centre.write(lambda c: galleries.compact(c, G, here.revision + compacted))

    begun = edge.line.snapshots
    crash_in_a_round(edge, committed=crash == "after commit")
    assert (edge.replica.position(G) == here) == (crash == "before commit")
    world.check()
    assert edge.sync()
    world.settle()
    assert edge.rows(G).keys() == world.centre.rows(G).keys()
    assert ann not in edge.replica.held[0].gallery.identities
    assert edge.replica.held[0].gallery.identities[bob].name == "Bobby"
    assert (edge.line.snapshots > begun) == (compacted > 0), "only a copy before the compaction starts over"
