from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from faces.encoding import FACE_RECOGNITION, SFACE, distances, from_bytes, mean_encoding, to_bytes, unit
from faces.errors import Invalid


def vectors(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, 128)).astype(np.float32)


@given(st.integers(0, 2**32 - 1))
def test_an_encoding_survives_its_bytes_to_the_bit(seed: int) -> None:
    vector = vectors(1, seed)[0]
    assert len(to_bytes(vector)) == 512
    assert np.array_equal(from_bytes(to_bytes(vector)), vector)


@pytest.mark.parametrize("length", [0, 511, 513, 1024])
def test_another_length_is_no_encoding(length: int) -> None:
    with pytest.raises(Invalid, match="512 bytes"):
        from_bytes(bytes(length))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_number_that_is_not_finite_is_no_encoding(bad: float) -> None:
    vector = vectors(1)[0]
    vector[7] = bad
    with pytest.raises(Invalid, match="finite"):
        to_bytes(vector)
    with pytest.raises(Invalid, match="finite"):
        from_bytes(vector.tobytes())


def test_unit_vectors_have_length_one_and_zero_stays_zero() -> None:
    units = unit(np.vstack([vectors(3), np.zeros((1, 128), np.float32)]))
    assert np.linalg.norm(units, axis=1) == pytest.approx([1, 1, 1, 0], abs=1e-6)


def test_cosine_distance_is_zero_to_itself_and_two_to_its_opposite() -> None:
    probe = unit(vectors(1))
    assert distances(SFACE, probe, np.vstack([probe, -probe]))[0] == pytest.approx([0, 2], abs=1e-6)


def test_euclidean_distance_is_numpys() -> None:
    probes, others = vectors(3), vectors(5, seed=1)
    expected = np.linalg.norm(probes[:, None] - others[None], axis=2)
    assert distances(FACE_RECOGNITION, probes, others) == pytest.approx(expected, abs=1e-4)


def test_the_mean_of_a_cosine_model_has_unit_length_and_of_another_does_not() -> None:
    some = unit(vectors(3))
    assert np.linalg.norm(mean_encoding(SFACE, some)) == pytest.approx(1, abs=1e-6)
    assert mean_encoding(FACE_RECOGNITION, some) == pytest.approx(some.mean(axis=0), abs=1e-6)
