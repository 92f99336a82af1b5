from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from edge.config import SETTINGS, Config, Loop, Pace
from faces.errors import SettingError


def test_every_setting_is_a_field_and_its_default_can_be_read() -> None:
    config = Config.read({})
    assert sorted(setting.name.lower() for setting in SETTINGS) == sorted(config.__dataclass_fields__)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("video_source", 0),
        ("scale", 0.5),
        ("cooldown", 5.0),
        ("th_accept", None),
        ("threshold", 0.6),
        ("show_window", False),
        ("webhook_url", None),
        ("ws_enable", True),
        ("ws_url", None),
        ("ws_jpeg_quality", 70),
        ("control_plane_url", "http://127.0.0.1:5000"),
        ("video_pace", Pace.REALTIME),
        ("video_loop", Loop.ONCE),
        ("data_dir", Path("edge-data")),
    ],
)
def test_the_defaults_are_those_of_the_original(name: str, value: Any) -> None:
    assert getattr(Config.read({}), name) == value


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("VIDEO_SOURCE", "2", 2),
        ("VIDEO_SOURCE", "rtsp://user:pass@192.168.1.10:554/stream1", "rtsp://user:pass@192.168.1.10:554/stream1"),
        ("VIDEO_SOURCE", "films/stage.mp4", "films/stage.mp4"),
        ("COOLDOWN", "0.5", 0.5),
        ("TH_ACCEPT", "0.4", 0.4),
        ("SHOW_WINDOW", "True", True),
        ("WS_ENABLE", "false", False),
        ("CONTROL_PLANE_URL", "https://plane.example/", "https://plane.example"),
        ("VIDEO_PACE", "every_frame", Pace.EVERY_FRAME),
        ("SCALE", " 0.25 ", 0.25),
        ("SCALE", "", 0.5),
    ],
)
def test_a_setting_is_read_from_the_environment(name: str, text: str, value: Any) -> None:
    assert getattr(Config.read({name: text}), name.lower()) == value


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("VIDEO_SOURCE", "file:///etc/passwd"),
        ("VIDEO_SOURCE", "concat://a|b"),
        ("VIDEO_SOURCE", "a\x00b"),
        ("SCALE", "0"),
        ("SCALE", "1.5"),
        ("SCALE", "half"),
        ("COOLDOWN", "-1"),
        ("COOLDOWN", "nan"),
        ("TH_ACCEPT", "inf"),
        ("THRESHOLD", "2.5"),
        ("SHOW_WINDOW", "maybe"),
        ("WEBHOOK_URL", "ftp://gate"),
        ("WEBHOOK_URL", "http://"),
        ("WEBHOOK_URL", "http://gate:99999/"),
        ("WS_URL", "http://host/ws"),
        ("WS_JPEG_QUALITY", "0"),
        ("WS_JPEG_QUALITY", "70.5"),
        ("CONTROL_PLANE_URL", "127.0.0.1:5000"),
        ("VIDEO_PACE", "fast"),
        ("VIDEO_LOOP", "twice"),
        ("PREVIEW_PORT", "70000"),
        ("THREADS", "0"),
        ("CAMERA", "door\x1b[2J"),
    ],
)
def test_a_wrong_setting_stops_the_start_and_names_itself(name: str, text: str) -> None:
    with pytest.raises(SettingError) as raised:
        Config.read({name: text})
    assert raised.value.message.startswith(f"{name} ")
    assert raised.value.remedy.startswith(f"{name}: ")


def test_a_wrong_setting_never_repeats_what_was_written() -> None:
    with pytest.raises(SettingError) as raised:
        Config.read({"WEBHOOK_URL": "htp://user:secret@gate/"})
    assert "secret" not in raised.value.message + raised.value.remedy


def test_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    dotenv = tmp_path / ".env"
    dotenv.write_text("SCALE=0.25\nCOOLDOWN=7\n")
    config = Config.read({"SCALE": "1"}, dotenv)
    assert (config.scale, config.cooldown) == (1.0, 7.0)


def test_no_file_is_no_error(tmp_path: Path) -> None:
    assert Config.read({}, tmp_path / ".env") == Config.read({})


def test_a_file_that_is_no_text_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(b"\xff\xfe\xfa")
    with pytest.raises(SettingError, match=r"\.env cannot be read"):
        Config.read({}, tmp_path / ".env")
