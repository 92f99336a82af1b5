from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from control_plane.store.unknowns import Known
from faces.encoding import FACE_RECOGNITION, SFACE, distances, many_from_bytes, mean_encoding, to_bytes, unit
from faces.engine import Engine, enroll
from faces.errors import Refused
from jobs.alike import ALIKE, Grouped, grouped


def directions(*angles: float) -> list[bytes]:
    """Encodings in a plane, by their angle in degrees: cosine distance 0.35 is 49.5 degrees."""
    vectors = np.zeros((len(angles), 128), np.float32)
    vectors[:, 0], vectors[:, 1] = np.cos(np.radians(angles)), np.sin(np.radians(angles))
    return [to_bytes(unit(v)) for v in vectors]


def known(encodings: list[bytes], held: dict[int, str] | None = None, model: str = SFACE) -> list[Known]:
    return [Known(n, model, data, (held or {}).get(n)) for n, data in enumerate(encodings)]


def run(rows: list[Known]) -> Grouped:
    names = (f"u{n}" for n in itertools.count())
    return grouped(rows, lambda: next(names))


def finally_in(rows: list[Known], found: Grouped) -> dict[int, str]:
    """The group of each position when all is done."""
    held = {row.position: row.unknown_id or found.joined[row.position] for row in rows}
    for gone, into in found.merged.items():
        held = {position: into if name == gone else name for position, name in held.items()}
    return held


def test_who_is_near_a_groups_mean_joins_it_and_who_is_not_begins_one() -> None:
    rows = known(directions(0, 20, 170, 30, 180))
    assert finally_in(rows, run(rows)) == {0: "u0", 1: "u0", 2: "u1", 3: "u0", 4: "u1"}


def test_a_group_that_is_there_keeps_its_id() -> None:
    rows = known(directions(0, 20, 10), {0: "old", 1: "old"})
    found = run(rows)
    assert (found.new, found.joined) == ({}, {2: "old"})


def test_groups_whose_means_meet_become_the_older_one() -> None:
    rows = known(directions(0, 60, 35, 30), {0: "a", 1: "b"})
    found = run(rows)
    assert found.merged == {"b": "a"}
    assert set(finally_in(rows, found).values()) == {"a"}


def test_encodings_of_two_models_are_never_compared() -> None:
    rows = [*known(directions(0)), Known(1, FACE_RECOGNITION, directions(0)[0], None)]
    held = finally_in(rows, run(rows))
    assert held[0] != held[1]


@settings(max_examples=60)
@given(st.lists(st.integers(0, 359), min_size=1, max_size=20), st.integers(0, 20))
def test_no_two_groups_are_near_in_the_end_and_a_repeat_changes_nothing(angles: list[int], cut: int) -> None:
    encodings = directions(*angles)
    held: dict[int, str] = {}
    for upto in (min(cut, len(angles)), len(angles)):
        rows = known(encodings[:upto], held)
        found = run(rows)
        held = {p: f"{upto}-{name}" if name in found.new else name for p, name in finally_in(rows, found).items()}
    again = run(known(encodings, held))
    assert (again.new, again.joined, again.merged) == ({}, {}, {})
    matrix = many_from_bytes(encodings)
    members = [[p for p in held if held[p] == name] for name in set(held.values())]
    means = np.stack([mean_encoding(SFACE, matrix[positions]) for positions in members])
    apart = distances(SFACE, means, means) + 2 * np.eye(len(means), dtype=np.float32)
    assert apart.min() > ALIKE[SFACE] - 1e-5


@pytest.fixture(scope="module")
def looks(data: Path, engine: Engine) -> list[tuple[str, bytes]]:
    """Encodings of 25 people with up to five photos each, in a mixed order."""
    found = []
    for person in sorted((data / "people").iterdir())[:25]:
        for photo in sorted(person.iterdir())[:5]:
            try:
                looked = enroll.enroll(engine, photo.read_bytes())
            except Refused:
                continue
            found.append((person.name, to_bytes(looked.encoding)))
    order = np.random.default_rng(1).permutation(len(found))
    return [found[n] for n in order]


def test_real_strangers_come_together_and_nobody_else_with_them(looks: list[tuple[str, bytes]]) -> None:
    rows = known([data for _, data in looks])
    held = finally_in(rows, run(rows))
    groups: dict[str, list[str]] = {}
    for position, name in held.items():
        groups.setdefault(name, []).append(looks[position][0])
    pure = sum(max(map(group.count, group)) for group in groups.values()) / len(looks)
    people = {name for name, _ in looks}
    largest = {name: max(group.count(name) for group in groups.values()) for name in people}
    complete = sum(largest.values()) / len(looks)
    assert pure >= 0.99
    assert complete >= 0.85
    assert ALIKE[SFACE] < 0.45
