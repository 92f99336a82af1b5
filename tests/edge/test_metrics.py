from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest
import requests
from prometheus_client.parser import text_string_to_metric_families

from edge.metrics import CameraFigures, Figures, Metrics, MetricsPage
from edge.outlook import View
from faces.errors import SettingError
from faces.wire import CameraStatus, Funnel

DOOR = CameraStatus(name='the "door"', up=True, fps=12.5, dropped=3, funnel=Funnel(recognised=7, too_small=2))
FIGURES = Figures(
    cameras=[CameraFigures(DOOR, captured=90, looked=40, losses=1, decoding_s=0.5, view=View.DARK)],
    spooled=4,
    events={"delivered": 9, "refused": 1, "dropped": 2},
    unconfirmed_s=31.0,
    failing={"sync": True, "delivery": False},
    hangs=2,
)


@pytest.fixture
def metrics() -> Metrics:
    return Metrics(lambda: FIGURES)


@pytest.fixture
def page(metrics: Metrics) -> Iterator[MetricsPage]:
    page = MetricsPage(metrics, "127.0.0.1", 0)
    serving = threading.Thread(target=page.run)
    serving.start()
    yield page
    page.stop()
    serving.join(10)


def scraped(url: str) -> dict[tuple[str, ...], float]:
    """Every sample by its name and its labels' values."""
    text = requests.get(url, timeout=5).text
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    return {(sample.name, *sample.labels.values()): sample.value for sample in samples}


def test_prometheus_reads_how_the_edge_fares(metrics: Metrics, page: MetricsPage) -> None:
    metrics.took("detect", 0.003)
    metrics.took("detect", 0.03)
    found = scraped(page.url)
    door = DOOR.name
    assert found["rollcall_edge_camera_up", door] == 1
    assert found["rollcall_edge_camera_fps", door] == 12.5
    assert found["rollcall_edge_camera_captured_frames_total", door] == 90
    assert found["rollcall_edge_camera_looked_frames_total", door] == 40
    assert found["rollcall_edge_camera_dropped_frames_total", door] == 3
    assert found["rollcall_edge_camera_losses_total", door] == 1
    assert found["rollcall_edge_camera_decoding_seconds_total", door] == 0.5
    assert found["rollcall_edge_faces_total", door, "recognised"] == 7
    assert found["rollcall_edge_faces_total", door, "too_small"] == 2
    assert [found["rollcall_edge_camera_view", door, view] for view in ("clear", "dark", "frozen")] == [0, 1, 0]
    assert found["rollcall_edge_spooled_events",] == 4
    assert [found["rollcall_edge_events_total", word] for word in ("delivered", "refused", "dropped")] == [9, 1, 2]
    assert found["rollcall_edge_unconfirmed_seconds",] == 31
    assert (found["rollcall_edge_failing", "sync"], found["rollcall_edge_failing", "delivery"]) == (1, 0)
    assert found["rollcall_edge_hangs_total",] == 2
    assert found["rollcall_edge_threads",] >= 1
    assert found["process_resident_memory_bytes",] > 1e6
    assert found["process_open_fds",] > 3
    assert found["rollcall_edge_stage_seconds_count", "detect"] == 2
    assert found["rollcall_edge_stage_seconds_sum", "detect"] == pytest.approx(0.033)
    assert found["rollcall_edge_stage_seconds_bucket", "0.005", "detect"] == 1


def test_nothing_else_is_served(page: MetricsPage) -> None:
    assert requests.get(page.url.replace("metrics", ""), timeout=5).status_code == 404
    assert requests.get(page.url, headers={"Host": "rebound.example"}, timeout=5).status_code == 403
    assert page.url.startswith("http://127.0.0.1:")


def test_a_port_that_is_taken_stops_the_start(metrics: Metrics) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(SettingError, match="METRICS_PORT"):
        MetricsPage(metrics, "127.0.0.1", taken.getsockname()[1])
