"""Whatever happens on either side and between them, copies come to equal their galleries, and forget whom they must."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from control_plane.store import corrections, galleries, identities, members, merges, sites
from edge import replica
from edge.replica import Replica
from faces.errors import Diverged
from faces.gallery import Kind, SettingsRow, key, row_hash
from faces.replica import advance
from faces.wire import Page
from tests.conftest import NOW
from tests.sync.world import GALLERIES, SITES, Fault, World

EDGES = st.integers(0, len(SITES) - 1)
SOMEBODY = st.integers(0, 99)
SOME_GALLERIES = st.sets(st.sampled_from(GALLERIES), min_size=1)
CRASH = st.sampled_from([False, False, False, True])
FAULTS = st.lists(st.sampled_from(Fault), max_size=6)


class Sync(RuleBasedStateMachine):
    """The control plane's store and two replicas."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World()
        self.centre = self.world.centre
        self.seed = 0
        self.backup = self.centre.place.image()
        self.images = [edge.image() for edge in self.world.edges]

    def teardown(self) -> None:
        self.world.close()

    def _next(self) -> int:
        self.seed += 1
        return self.seed

    def _person(self, number: int) -> str | None:
        people = self.centre.people()
        return people[number % len(people)] if people else None

    @rule(into=SOME_GALLERIES, crash=CRASH)
    def enroll(self, into: set[str], crash: bool) -> None:
        seed = self._next()
        self.centre.write(lambda c: self.centre.enroll(c, sorted(into), seed), crash=crash)

    @rule(whom=SOMEBODY, crash=CRASH)
    def add_encoding(self, whom: int, crash: bool) -> None:
        if person := self._person(whom):
            seed = self._next()
            self.centre.write(lambda c: self.centre.add_encoding(c, person, seed), crash=crash)

    @rule(whom=SOMEBODY, name=st.text(max_size=3).map(str.strip))
    def rename(self, whom: int, name: str) -> None:
        if person := self._person(whom):
            self.centre.write(lambda c: identities.update(c, person, self.centre.now(), name=name))

    @rule(whom=SOMEBODY, days=st.none() | st.integers(-3, 3))
    def change_validity(self, whom: int, days: int | None) -> None:
        if person := self._person(whom):
            until = None if days is None else NOW + timedelta(days=days)
            self.centre.write(lambda c: identities.update(c, person, self.centre.now(), valid_until=until))

    @rule(whom=SOMEBODY, crash=CRASH)
    def erase(self, whom: int, crash: bool) -> None:
        if person := self._person(whom):
            self.centre.erase(person, crash=crash)

    @rule(whom=SOMEBODY)
    def correct(self, whom: int) -> None:
        if person := self._person(whom):
            seed = self._next()
            self.centre.write(lambda c: self.centre.add_encoding(c, person, seed, against=True))

    @rule(whom=SOMEBODY)
    def take_corrections_back(self, whom: int) -> None:
        if person := self._person(whom):

            def work(connection: Any) -> None:
                for correction in corrections.listing(connection, person):
                    corrections.remove(connection, person, correction.id, self.centre.now())

            self.centre.write(work)

    @rule(survivor=SOMEBODY, other=SOMEBODY, crash=CRASH)
    def merge(self, survivor: int, other: int, crash: bool) -> None:
        one, two = self._person(survivor), self._person(other)
        if one and two and one != two:
            self.centre.write(lambda c: merges.merge(c, one, two, self.centre.now()), crash=crash)

    @rule(which=SOMEBODY, crash=CRASH)
    def unmerge(self, which: int, crash: bool) -> None:
        if pairs := self.centre.merged():
            survivor, merged = pairs[which % len(pairs)]
            self.centre.write(lambda c: merges.unmerge(c, survivor, merged, self.centre.now()), crash=crash)

    @rule(whom=SOMEBODY, gallery=st.sampled_from(GALLERIES))
    def join(self, whom: int, gallery: str) -> None:
        if person := self._person(whom):
            self.centre.write(lambda c: members.join(c, gallery, person, self.centre.now()))

    @rule(whom=SOMEBODY, gallery=st.sampled_from(GALLERIES), to=st.none() | st.sampled_from(GALLERIES))
    def leave_or_move(self, whom: int, gallery: str, to: str | None) -> None:
        person = self._person(whom)
        if person is None or gallery not in self.centre.read(lambda c: identities.member_of(c, person)):
            return

        def work(connection: Any) -> None:
            members.leave(connection, gallery, person, self.centre.now())
            if to is not None:
                members.join(connection, to, person, self.centre.now())

        self.centre.write(work)

    @rule(
        gallery=st.sampled_from(GALLERIES),
        kind=st.sampled_from(Kind),
        accept=st.none() | st.sampled_from([0.3, 0.5]),
    )
    def change_settings(self, gallery: str, kind: Kind, accept: float | None) -> None:
        after = SettingsRow(gallery, gallery, kind, accept)
        self.centre.write(lambda c: galleries.change_settings(c, after, self.centre.now()))

    @rule(site=st.sampled_from(SITES), followed=SOME_GALLERIES)
    def follow(self, site: str, followed: set[str]) -> None:
        self.centre.write(lambda c: sites.follow(c, site, sorted(followed)))

    @rule(gallery=st.sampled_from(GALLERIES), back=st.integers(0, 4))
    def compact(self, gallery: str, back: int) -> None:
        upto = self.centre.position(gallery).revision - back
        self.centre.write(lambda c: galleries.compact(c, gallery, upto))

    @rule(rows=st.sampled_from([1, 3, 1000]))
    def cut_pages(self, rows: int) -> None:
        self.centre.page_rows = rows

    @rule(edge=EDGES, faults=FAULTS, hinted=st.booleans())
    def sync(self, edge: int, faults: list[Fault], hinted: bool) -> None:
        self.world.edges[edge].sync(faults, hinted=hinted)

    @rule(edge=EDGES, faults=FAULTS, fuse=st.integers(0, 25), hinted=st.booleans())
    def sync_and_crash(self, edge: int, faults: list[Fault], fuse: int, hinted: bool) -> None:
        self.world.edges[edge].sync(faults, fuse, hinted=hinted)

    @rule(edge=EDGES)
    def crash_the_edge(self, edge: int) -> None:
        self.world.edges[edge].crash()

    @rule()
    def crash_the_control_plane(self) -> None:
        self.centre.restart()

    @rule(edge=EDGES)
    def copy_the_edge(self, edge: int) -> None:
        self.images[edge] = self.world.edges[edge].image()

    @rule(edge=EDGES)
    def restore_the_edge(self, edge: int) -> None:
        self.world.edges[edge].restore(self.images[edge])

    @rule()
    def back_up(self) -> None:
        self.backup = self.centre.place.image()

    @rule()
    def restore_the_backup(self) -> None:
        self.centre.restore(self.backup)

    @rule()
    def settle(self) -> None:
        self.world.settle()

    @invariant()
    def nobody_erased_is_matched(self) -> None:
        self.world.check()


def play(runs: int, start: int, *, steps: int = 50, phases: Sequence[Phase] = tuple(Phase)) -> None:
    """So many histories of so many steps, the same ones for the same `start`."""

    class Settled(Sync):
        def teardown(self) -> None:
            try:
                self.world.settle()
            finally:
                super().teardown()

    options = settings(
        max_examples=runs,
        stateful_step_count=steps,
        database=None,
        phases=phases,
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(seed(start)(Settled), settings=options)  # type: ignore[no-untyped-call]


def test_copies_that_are_left_in_peace_equal_their_galleries() -> None:
    play(20, 1)


@pytest.mark.soak
@pytest.mark.timeout(7200)
def test_a_thousand_histories() -> None:
    play(1000, random.randrange(1 << 32))


def believing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The checksum of a page is not checked."""

    def believed(position: Any, page: Page, held: Any) -> Any:
        try:
            return advance(position, page, held)
        except Diverged:
            return {key(row): row_hash(row) for row in page.put}

    monkeypatch.setattr(replica, "advance", believed)


def in_two_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """The position is stored in another transaction than the rows."""
    store = Replica._store_position

    def stored(self: Replica, gallery: str, position: Any) -> None:
        if self._db.in_transaction:
            self._db.execute("COMMIT")
            self._db.execute("BEGIN IMMEDIATE")
        store(self, gallery, position)

    monkeypatch.setattr(Replica, "_store_position", stored)


def cut_short(monkeypatch: pytest.MonkeyPatch) -> None:
    """A page ends where it is full, though what it holds is superseded beyond its end."""
    monkeypatch.setattr(galleries, "_page_end", lambda connection, gallery_id, after, upto: upto)


@pytest.mark.parametrize("plant", [believing, in_two_steps, cut_short])
def test_a_planted_fault_is_caught(plant: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch)
    with pytest.raises(AssertionError, match=CAUGHT[plant]):
        play(300, SOON[plant], phases=[Phase.generate])


SOON = {believing: 11, in_two_steps: 3, cut_short: 0}
"""Where to start so that it does not take long; any start will do."""

CAUGHT = {
    believing: "a copy is not what the gallery is",
    in_two_steps: "a crash has damaged a copy",
    cut_short: "a page of its own history does not fit",
}
