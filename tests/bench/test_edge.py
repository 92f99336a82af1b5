"""The edge bench measures what it says, and names whom the film shows."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench import edge


def test_a_small_run_accounts_for_all_its_time(data: Path) -> None:
    figures = edge.measure(data, 20)
    assert figures["frames"] == 20
    assert figures["ratio_frames_per_s"] > 0
    assert figures["wrongly_named"] == []
    stages = figures["ms_per_frame"]
    assert set(stages) == {"decode", "detect", "refine", "encode", "rest"}
    assert min(stages.values()) >= 0
    assert sum(stages.values()) == pytest.approx(1000 / figures["frames_per_s"]["ours"], rel=0.02)
    assert figures["decode_only_ratio"] == pytest.approx(sum(stages.values()) / stages["decode"], rel=0.02)
    assert 0 < figures["calls"]["detect"] < 20


@pytest.mark.parametrize(
    ("passed", "rightly", "wrongly"),
    [
        ([(90, edge.MIRANDA), (215, edge.OBAMA)], [edge.OBAMA, edge.MIRANDA], []),
        ([(10, edge.MIRANDA), (10, edge.LACAMOIRE)], [], []),
        ([(90, edge.LACAMOIRE), (215, edge.MIRANDA)], [], [edge.LACAMOIRE, edge.MIRANDA]),
        ([(81, edge.MIRANDA)], [], [edge.MIRANDA]),
    ],
)
def test_a_name_is_right_only_where_the_film_shows_the_person(
    passed: list[tuple[int, str]], rightly: list[str], wrongly: list[str]
) -> None:
    assert edge.named(passed) == {"rightly_named": rightly, "wrongly_named": wrongly}
