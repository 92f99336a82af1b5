from __future__ import annotations

from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from bench.cameras import CAMERAS, FILM, Still, Witness, film_cameras, measure, scene
from edge.config import Config
from edge.frames import Frame, Sight, Stillness
from faces.engine import Engine
from tests.conftest import NOW


@pytest.mark.usefixtures("data")
def test_the_idle_scene_is_still_and_shows_nobody(engine: Engine) -> None:
    pictures = scene(engine)
    stillness = Stillness()
    stillness.at(pictures[0])
    stillness.looked()
    assert all(stillness.at(picture) for picture in pictures)
    assert not any(np.array_equal(picture, pictures[0]) for picture in pictures[1:])
    assert engine.detect(pictures[0][..., ::-1], 0.5) == []


@pytest.mark.usefixtures("data")
def test_the_idle_camera_decodes_the_film_and_shows_the_scene() -> None:
    pictures = [np.full((2, 2, 3), value, np.uint8) for value in (1, 2)]
    still = Still(pictures)
    shown = [still.retrieve()[1][0, 0, 0] for _ in islice(iter(still.grab, False), 3)]
    assert shown == [1, 2, 1]
    still.release()


def test_every_camera_plays_the_film(tmp_path: Path, data: Path) -> None:
    (tmp_path / "edge.toml").write_text(film_cameras(CAMERAS))
    cameras = Config.read({"EDGE_CONFIG": str(tmp_path / "edge.toml")}).cameras
    assert {camera.source for camera in cameras} == {str(FILM)}
    assert len({camera.name for camera in cameras}) == CAMERAS


def test_only_what_falls_into_the_measured_time_counts() -> None:
    witness = Witness()
    sight = Sight(Frame("a", 1, NOW, 0.0, np.zeros((9, 9, 3), np.uint8)), (), ())
    witness.offer(sight)
    witness.counting = True
    witness.offer(sight)
    assert witness.looked == {"a": 1}


@pytest.mark.soak
def test_the_whole_bench_has_its_figures(data: Path, tmp_path: Path) -> None:
    figures = measure(tmp_path, 2, 6.0)
    assert figures["events"] > 0
    assert figures["capture_to_event_ms"]["p50"] <= figures["capture_to_event_ms"]["p95"]
    assert figures["processed_fps_min"] > 1
    assert figures["idle_camera_core_share"] < 0.5
