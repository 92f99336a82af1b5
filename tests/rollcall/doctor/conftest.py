from __future__ import annotations

import pytest

from rollcall.doctor import camera


@pytest.fixture
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    """A camera is watched briefly, and at whatever pace: that of this machine is not asked for."""
    monkeypatch.setattr(camera, "WATCHED_S", 2.0)
    for name, any_pace in (("LEAST_FPS", 0.0), ("PAUSE_S", 60.0), ("UNEVEN", 60.0)):
        monkeypatch.setattr(camera, name, any_pace)
