from __future__ import annotations

import os
from pathlib import Path

import pytest

from bench.soak_edge import HOUR_S, WARM_UP_S, Sample, judged, measure


def test_what_grows_is_seen() -> None:
    grows = judged([Sample(5.0 * n, 300 + 0.01 * n, 20 + n // 50, 30 + n // 50) for n in range(100)])
    assert grows["slope_mb_an_hour"] == pytest.approx(7.2)
    assert (grows["threads_first"], grows["threads_last"]) == (20, 21)
    assert (grows["handles_first"], grows["handles_last"]) == (30, 31)


def test_what_comes_and_goes_does_not_grow() -> None:
    same = judged([Sample(5.0 * n, 300 + n // 4 % 2, 20 + n % 2, 30 + n % 2) for n in range(100)])
    assert abs(same["slope_mb_an_hour"]) < 0.5
    assert (same["threads_first"], same["handles_first"]) == (same["threads_last"], same["handles_last"])


def test_a_sample_is_of_the_process_asked_for() -> None:
    ours = Sample.of(os.getpid(), 1.0)
    assert ours.rss_mb > 10
    assert ours.threads >= 1
    assert ours.handles >= 3


@pytest.mark.usefixtures("data", "gstreamer")
def test_an_edge_lives_through_a_moment_of_it(tmp_path: Path) -> None:
    samples = measure(tmp_path, cameras=1, warm_up_s=5.0, seconds=5.0, every_s=0.5)
    assert len(samples) >= 4
    assert samples[-1].rss_mb > 100, "it is the edge that is looked at"


@pytest.mark.soak
@pytest.mark.timeout(HOUR_S + WARM_UP_S + 300)
@pytest.mark.usefixtures("data", "gstreamer")
def test_for_an_hour_at_full_load_nothing_grows(tmp_path: Path) -> None:
    found = judged(measure(tmp_path, cameras=8, warm_up_s=WARM_UP_S, seconds=HOUR_S))
    assert found["slope_mb_an_hour"] <= 1.0
    assert found["threads_last"] <= found["threads_first"]
    assert found["handles_last"] <= found["handles_first"]
