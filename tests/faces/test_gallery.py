from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from faces.encoding import SFACE, to_bytes, unit
from faces.gallery import NOBODY, EncodingRow, Gallery, IdentityRow, Key, Kind, Row, SettingsRow, checksum, row_hash

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def vector(seed: int) -> np.ndarray:
    return unit(np.random.default_rng(seed).normal(size=128).astype(np.float32))


def near(base: np.ndarray, distance: float) -> np.ndarray:
    """A unit vector at just this cosine distance from `base`."""
    other = vector(999)
    other = unit(other - (other @ base) * base)
    cosine = 1 - distance
    return unit((cosine * base + np.sqrt(1 - cosine**2) * other).astype(np.float32))


def template(row_id: str, identity_id: str, data: np.ndarray, *, against: bool = False, model: str = SFACE) -> Row:
    return EncodingRow(row_id, identity_id, model, to_bytes(data), against)


def person(identity_id: str, name: str = "", **validity: datetime) -> Row:
    return IdentityRow(identity_id, name or identity_id, {}, **validity)


ANN, BOB = vector(1), vector(2)
TWO = [person("a", "Ann"), person("b", "Bob"), template("1", "a", ANN), template("2", "b", BOB)]


def test_the_nearest_identity_and_the_runner_up_are_found() -> None:
    match = Gallery.of(SFACE, TWO).search(near(ANN, 0.3)[None])[0]
    assert match.nearest is not None
    assert (match.nearest.name, match.nearest.distance) == ("Ann", pytest.approx(0.3, abs=1e-5))
    assert match.runner_up is not None
    assert match.runner_up.name == "Bob"


def test_an_identity_is_as_near_as_its_nearest_encoding_and_never_its_own_runner_up() -> None:
    gallery = Gallery.of(SFACE, [*TWO, template("3", "a", near(ANN, 0.1)), template("4", "a", near(ANN, 0.5))])
    match = gallery.search(ANN[None])[0]
    assert match.nearest is not None
    assert match.nearest.distance == pytest.approx(0, abs=1e-5)
    assert match.runner_up is not None
    assert match.runner_up.identity_id == "b"


def test_an_empty_gallery_knows_nobody() -> None:
    assert Gallery.empty(SFACE).search(np.stack([ANN, BOB])) == [NOBODY, NOBODY]


def test_a_gallery_of_one_has_no_runner_up() -> None:
    match = Gallery.of(SFACE, [TWO[0], TWO[2]]).search(BOB[None])[0]
    assert match.nearest is not None
    assert match.runner_up is None


@given(st.integers(0, 1000), st.integers(1, 8), st.integers(1, 30))
def test_searching_many_probes_at_once_is_searching_each(seed: int, probes: int, people: int) -> None:
    random = np.random.default_rng(seed)
    owners = random.integers(0, people, size=people * 2)
    rows: list[Row] = [person(f"p{i}") for i in range(people)]
    rows += [template(f"e{n}", f"p{owner}", vector(seed * 1000 + n)) for n, owner in enumerate(owners)]
    gallery = Gallery.of(SFACE, rows)
    wanted = np.stack([vector(5_000_000 + seed * 10 + n) for n in range(probes)])
    together = gallery.search(wanted)
    brute = [
        sorted((1 - float(vector(seed * 1000 + n) @ w), f"p{owner}") for n, owner in enumerate(owners)) for w in wanted
    ]
    for match, order, alone in zip(together, brute, wanted, strict=True):
        assert match.nearest is not None
        assert match.nearest.distance == pytest.approx(order[0][0], abs=1e-5)
        assert match.nearest.identity_id == order[0][1]
        single = gallery.search(alone[None])[0]
        assert single.nearest is not None
        assert single.nearest.identity_id == match.nearest.identity_id


def test_a_correction_nearer_than_the_persons_own_encodings_makes_them_no_candidate() -> None:
    probe = near(ANN, 0.3)
    wrong = template("x", "a", near(probe, 0.1), against=True)
    match = Gallery.of(SFACE, [*TWO, wrong]).search(np.stack([probe, ANN]))
    assert [m.nearest.name if m.nearest else None for m in match] == ["Bob", "Ann"]


def test_people_outside_their_validity_are_no_candidates_at_that_time() -> None:
    rows = [person("a", valid_from=NOW, valid_until=NOW + timedelta(hours=1)), template("1", "a", ANN)]
    gallery = Gallery.of(SFACE, rows)
    at = [NOW - timedelta(seconds=1), NOW, NOW + timedelta(minutes=59), NOW + timedelta(hours=1)]
    assert [gallery.search(ANN[None], at=t)[0].nearest is not None for t in at] == [False, True, True, False]
    assert gallery.search(ANN[None])[0].nearest is not None


def test_encodings_of_another_model_are_never_compared() -> None:
    gallery = Gallery.of(SFACE, [person("a"), template("1", "a", ANN, model="face_recognition")])
    assert gallery.search(ANN[None]) == [NOBODY]


def test_an_encoding_without_its_identity_is_not_searched() -> None:
    assert Gallery.of(SFACE, [template("1", "a", ANN)]).search(ANN[None]) == [NOBODY]


def test_changing_a_gallery_leaves_the_old_one_as_it_was() -> None:
    before = Gallery.of(SFACE, TWO)
    after = before.changed([person("a", "Anna")], [Key("encoding", "2"), Key("identity", "b")])
    assert [len(before), len(after)] == [2, 1]
    nearest = after.search(ANN[None])[0].nearest
    assert nearest is not None
    assert nearest.name == "Anna"


def test_changing_is_building_from_the_changed_rows() -> None:
    grown = Gallery.of(SFACE, TWO[:1]).changed(TWO[1:], [])
    assert np.array_equal(grown.matrix, Gallery.of(SFACE, TWO).matrix)
    assert grown.matrix.flags.c_contiguous


@given(st.permutations(TWO))
def test_a_checksum_does_not_depend_on_the_order(rows: list[Row]) -> None:
    assert checksum(map(row_hash, rows)) == checksum(map(row_hash, TWO))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (person("a", "Ann"), person("a", "Anna")),
        (person("a"), person("a", valid_until=NOW)),
        (IdentityRow("a", "Ann", {"room": "1"}), IdentityRow("a", "Ann", {"room": "2"})),
        (template("1", "a", ANN), template("1", "b", ANN)),
        (template("1", "a", ANN), template("1", "a", ANN, against=True)),
        (template("1", "a", ANN), template("1", "a", near(ANN, 1e-3))),
        (SettingsRow("g", "g"), SettingsRow("g", "g", Kind.DENY)),
        (SettingsRow("g", "g"), SettingsRow("g", "g", th_accept=0.4)),
    ],
)
def test_every_field_of_a_row_counts_in_its_hash(one: Row, other: Row) -> None:
    assert row_hash(one) != row_hash(other)


def test_the_order_of_attributes_does_not_count() -> None:
    one, other = IdentityRow("a", "A", {"x": 1, "y": 2}), IdentityRow("a", "A", {"y": 2, "x": 1})
    assert row_hash(one) == row_hash(other)


def test_hashes_fit_sqls_bigint() -> None:
    assert all(-(2**63) <= row_hash(person(str(i))) < 2**63 for i in range(1000))
