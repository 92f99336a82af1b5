"""The engine bench compares like with like: the same chips give the library's encodings."""

from __future__ import annotations

from pathlib import Path

from bench import engine


def test_a_small_run_finds_the_encodings_equal_to_the_librarys(data: Path) -> None:
    figures = engine.measure(data / "people", 6)
    assert figures["faces"] == 6
    assert figures["max_abs_difference"] < 1e-4
    assert {"ratio_face_recognition", "ratio_sface"} <= set(figures)
