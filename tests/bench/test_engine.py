"""The engine bench measures what it says, and the encodings are the library's."""

from __future__ import annotations

from pathlib import Path

from bench import engine


def test_a_small_run_finds_the_engines_equal_to_the_library_and_faster(data: Path) -> None:
    figures = engine.measure(data / "people", 6)
    assert figures["faces"] == 6
    assert figures["max_abs_difference"] < 1e-4
    assert figures["ratio_face_recognition"] > 5
    assert figures["ratio_sface"] > 2
