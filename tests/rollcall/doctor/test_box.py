from __future__ import annotations

import pytest

from faces.engine import Engine
from rollcall.doctor import box
from rollcall.doctor.box import Stages
from rollcall.doctor.finding import Verdict

STAGES = Stages(decode_s=0.0004, detect_s=0.003, encode_s=0.008)


def test_larger_pictures_make_fewer_cameras() -> None:
    assert [STAGES.cameras(*size, cores=2) for size in box.SIZES] == [22, 7, 3]


@pytest.mark.parametrize(("cameras", "verdict"), [(22, Verdict.GOOD), (23, Verdict.WARNING)])
def test_more_cameras_than_it_carries_are_told_of(cameras: int, verdict: Verdict) -> None:
    stages, found = box.judged(STAGES, 2, cameras)
    assert stages.figures == pytest.approx({"decode": 2500, "detect": 333.33, "encode": 125}, abs=0.01)
    assert found.verdict is verdict
    assert found.figures["cameras_1280x720"] == 7


def test_each_stage_is_measured(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(box, "MEASURED_S", 0.05)
    measured = [box.measured(engine, 0.5) for _ in range(3)]
    # The quickest of each: whatever else the machine does takes its time, too.
    stages = Stages(*map(min, zip(*measured, strict=True)))
    assert all(0 < seconds < 1 for seconds in stages)
    assert stages.encode_s > stages.decode_s
