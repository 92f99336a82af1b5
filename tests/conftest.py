"""What all tests share: the real faces beside the project, and one real engine."""

from __future__ import annotations

from pathlib import Path

import pytest

from faces import engine as engines

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of real photos and films; the test skips where it is absent."""
    if not DATA.is_dir():
        pytest.skip(f"no test data at {DATA}")
    return DATA


@pytest.fixture(scope="session")
def engine() -> engines.Engine:
    return engines.load("sface")
