from __future__ import annotations

import contextlib
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollcall.face_db import NotAGallery, read

PEOPLE = {name: np.random.default_rng(seed).normal(size=128) for seed, name in enumerate(("katya", "zero", "Émile"))}


@pytest.mark.parametrize("protocol", range(6))
def test_a_gallery_is_read_in_every_protocol(protocol: int) -> None:
    found = read(pickle.dumps(PEOPLE, protocol=protocol))
    assert list(found) == list(PEOPLE)
    for name, vector in PEOPLE.items():
        assert found[name].dtype == np.float32
        assert found[name] == pytest.approx(vector, abs=1e-6)


def test_an_empty_gallery_holds_nobody() -> None:
    assert read(pickle.dumps({})) == {}


class Command:
    """What a hostile file would do: run a command when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (f"touch {self.mark}",)


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("where", ["alone", "as a value", "as a name", "inside an array's state"])
def test_a_file_that_would_run_a_command_is_refused_and_runs_nothing(tmp_path: Path, protocol: int, where: str) -> None:
    command = Command(tmp_path / "ran")
    hostile: object = {
        "alone": command,
        "as a value": {**PEOPLE, "x": command},
        "as a name": {command: PEOPLE["zero"]},
        "inside an array's state": {"x": np.array([command] * 128, dtype=object)},
    }[where]
    with pytest.raises(NotAGallery, match="no gallery of the original"):
        read(pickle.dumps(hostile, protocol=protocol))
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "other",
    [
        ["katya"],
        {"katya": "text"},
        {"katya": np.zeros(127)},
        {"katya": np.zeros((2, 64))},
        {"katya": np.full(128, np.nan)},
        {"katya": np.zeros(128, np.int64)},
        {7: np.zeros(128)},
    ],
)
def test_another_pickle_is_refused(other: object) -> None:
    with pytest.raises(NotAGallery):
        read(pickle.dumps(other))


@given(st.integers(0, 4000), st.binary(max_size=8))
def test_a_damaged_file_is_refused_or_read_and_nothing_else_happens(at: int, junk: bytes) -> None:
    data = pickle.dumps(PEOPLE)
    damaged = data[:at] + junk + data[at + len(junk) :]
    with contextlib.suppress(NotAGallery):
        assert all(v.shape == (128,) for v in read(damaged).values())


@given(st.integers(0, 4000))
def test_a_file_that_breaks_off_is_refused(length: int) -> None:
    data = pickle.dumps(PEOPLE)
    with pytest.raises(NotAGallery):
        read(data[: min(length, len(data) - 1)])
