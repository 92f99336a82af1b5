from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner

from rollcall.cli import cli
from rollcall.doctor import box
from rollcall.up import free_port


@pytest.fixture(autouse=True)
def _brief(brief: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(box, "MEASURED_S", 0.05)


def test_the_doctor_looks_at_all_that_an_edge_needs(data: Path, tmp_path: Path) -> None:
    environ = {
        "VIDEO_SOURCE": str(data / "video" / "stage.mp4"),
        "CAMERA": "door",
        "DATA_DIR": str(tmp_path / "edge"),
        "CONTROL_PLANE_URL": f"http://127.0.0.1:{free_port()}",
        "EDGE_CONFIG": "/dev/null",
    }
    result = CliRunner().invoke(cli, ["doctor", "--json"], env=environ)
    report = msgspec.json.decode(result.stdout)
    verdicts = {finding["name"]: finding["verdict"] for finding in report["findings"]}
    assert verdicts.keys() >= {"machine", "model", "machine: cameras", "disk: room", "camera door", "network: reach"}
    assert (verdicts["model"], verdicts["camera door"], verdicts["network: reach"]) == ("good", "good", "fault")
    assert result.exit_code == 1, "nothing listens there"
    assert not (tmp_path / "edge").exists(), "looking changes nothing"


def test_a_weight_file_that_is_not_the_pinned_one_is_a_fault(tmp_path: Path, data: Path) -> None:
    for name in ("face_detection_yunet_2023mar_int8bq.onnx", "face_recognition_sface_2021dec_int8bq.onnx"):
        (tmp_path / name).write_bytes(b"another")
    environ = {
        "VIDEO_SOURCE": str(data / "video" / "stage.mp4"),
        "MODELS": str(tmp_path),
        "DATA_DIR": str(tmp_path / "edge"),
        "CONTROL_PLANE_URL": f"http://127.0.0.1:{free_port()}",
        "EDGE_CONFIG": "/dev/null",
    }
    result = CliRunner().invoke(cli, ["doctor"], env=environ)
    assert "SHA-256" in " ".join(result.stdout.split())


def test_wrong_settings_are_told_of() -> None:
    result = CliRunner().invoke(cli, ["doctor"], env={"SCALE": "seven"})
    assert result.exit_code == 1
    assert "SCALE is not a number" in result.stdout
