from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from edge.config import SETTINGS, Config, Loop, Pace
from faces.errors import SettingError


def test_every_setting_is_a_field_and_its_default_can_be_read() -> None:
    config = Config.read({})
    assert sorted([*(setting.name.lower() for setting in SETTINGS), "cameras"]) == sorted(config.__dataclass_fields__)


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
        ("control_plane_url", None),
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
        ("CAMERA", "x" * 65),
        ("MAX_FPS", "0"),
        ("CAMERAS_AT_ONCE", "0"),
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


CAMERAS = """
scale = 0.4
ws_enable = false

[[camera]]
name = "door"
source = "rtsp://user:secret@10.0.0.7/stream"

[[camera]]
name = "gate"
source = 1
scale = 0.25
max_fps = 10
th_accept = 0.4
"""


def config_of(tmp_path: Path, written: str, **environ: str) -> Config:
    (tmp_path / "edge.toml").write_text(written)
    return Config.read({"EDGE_CONFIG": str(tmp_path / "edge.toml"), **environ})


def test_without_a_file_there_is_the_one_camera_of_the_settings() -> None:
    (camera,) = Config.read({"VIDEO_SOURCE": "films/a.mp4", "CAMERA": "door", "SCALE": "1"}).cameras
    assert (camera.name, camera.source, camera.scale, camera.max_fps) == ("door", "films/a.mp4", 1.0, 30.0)


def test_a_file_names_cameras_each_with_what_is_its_own(tmp_path: Path) -> None:
    config = config_of(tmp_path, CAMERAS, COOLDOWN="7")
    door, gate = config.cameras
    assert (door.name, door.source) == ("door", "rtsp://user:secret@10.0.0.7/stream")
    assert (door.scale, door.max_fps, door.th_accept, door.cooldown) == (0.4, 30.0, None, 7.0)
    assert (gate.name, gate.source) == ("gate", 1)
    assert (gate.scale, gate.max_fps, gate.th_accept, gate.cooldown) == (0.25, 10.0, 0.4, 7.0)
    assert not config.ws_enable
    assert "user:secret" not in repr(config)


def test_the_environment_wins_over_the_file_of_cameras(tmp_path: Path) -> None:
    door, gate = config_of(tmp_path, CAMERAS, SCALE="0.9").cameras
    assert (door.scale, gate.scale) == (0.9, 0.25), "what a camera says of itself counts all the same"


def test_the_file_beside_it_is_read_by_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("rollcall-edge.toml").write_text(CAMERAS)
    assert [camera.name for camera in Config.read({}).cameras] == ["door", "gate"]


def test_an_empty_file_names_no_cameras(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("rollcall-edge.toml").write_text(CAMERAS)
    assert [c.name for c in Config.read({"EDGE_CONFIG": os.devnull, "CAMERA": "one"}).cameras] == ["one"]


@pytest.mark.parametrize(
    ("written", "told", "remedy"),
    [
        ("scale = 0.5\n\nzoom = 2\n", "line 3: there is no zoom here", "Known: video_pace, "),
        ("video_source = 0", "line 1: there is no video_source here", "Known: "),
        (
            CAMERAS + "zoom = 2",
            "line 15: there is no zoom here",
            "Known: name, source, pace, loop, scale, max_fps, cooldown, th_accept, threshold.",
        ),
        (CAMERAS.replace("0.25", "2"), "line 12: SCALE is not a number from 0.05 to 1", "SCALE: "),
        (CAMERAS.replace("0.25", "[1]"), "line 12: scale is no text, number, true or false", "Write it"),
        (CAMERAS.replace('"gate"', '"door"'), "line 9: there is a camera door already", "Name it otherwise."),
        (CAMERAS.replace("source = 1", ""), "line 9: the camera has no source", "Each [[camera]] has both."),
        (CAMERAS.replace('"door"', '""'), "line 5: the camera has no name", "Each [[camera]] has both."),
        ('[camera]\nname = "door"', "line 1: camera is no table of its own", "Write [[camera]]"),
        ("scale = ", "Invalid value (at ", "It is to be TOML"),
    ],
)
def test_a_wrong_file_is_told_with_its_place_and_the_remedy(
    tmp_path: Path, written: str, told: str, remedy: str
) -> None:
    with pytest.raises(SettingError) as raised:
        config_of(tmp_path, written)
    assert raised.value.message.startswith(f"{tmp_path}/edge.toml")
    assert told in raised.value.message
    assert raised.value.remedy.startswith(remedy)
    assert "secret" not in raised.value.message


def test_a_file_that_is_named_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="cannot be read: No such file"):
        Config.read({"EDGE_CONFIG": str(tmp_path / "none.toml")})
