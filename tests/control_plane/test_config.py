from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest

from control_plane.config import SETTINGS, Config
from faces.errors import SettingError

NO_FILE = Path("/nonexistent")


def test_nothing_set_is_the_documented_defaults() -> None:
    config = Config.read({}, NO_FILE)
    assert (config.host, config.port, config.stream_port) == ("127.0.0.1", 5000, 3001)
    assert config.database_url == "sqlite:///rollcall-data/rollcall.db"
    assert config.broker_url is None
    assert (config.max_photo_bytes, config.max_archive_bytes) == (20 << 20, 4 << 30)


def test_every_setting_is_a_field_and_says_what_it_means() -> None:
    assert [s.name.lower() for s in SETTINGS] == [f.name for f in fields(Config)]
    assert all(s.meaning for s in SETTINGS)


def test_the_database_lies_in_the_data_folder_unless_it_is_named() -> None:
    assert Config.read({"DATA_DIR": "/srv/x"}, NO_FILE).database_url == "sqlite:////srv/x/rollcall.db"
    assert Config.read({"DATABASE_URL": "postgresql://h/x"}, NO_FILE).database_url == "postgresql://h/x"


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "localhost"])
def test_addresses_of_this_machine_alone_are_known(host: str) -> None:
    assert Config.read({"HOST": host}, NO_FILE).alone
    assert not Config.read({"HOST": host, "TRUSTED_PROXIES": "10.0.0.1"}, NO_FILE).alone, "others come by the proxy"


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "example.org", "127.0.0.1.example.org", "127.1"])
def test_any_other_address_counts_as_one_that_others_reach(host: str) -> None:
    assert not Config.read({"HOST": host}, NO_FILE).alone


def test_origins_are_a_list_of_origins() -> None:
    told = {"ORIGINS": "https://Rollcall.example, http://localhost:8080"}
    assert Config.read(told, NO_FILE).origins == {"https://rollcall.example", "http://localhost:8080"}
    for wrong in ("*", "rollcall.example", "https://a/path", "null", "https://a,"):
        with pytest.raises(SettingError, match="ORIGINS"):
            Config.read({"ORIGINS": wrong}, NO_FILE)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "x"),
        ("PORT", "65536"),
        ("STREAM_PORT", "-1"),
        ("BROKER_URL", "http://h"),
        ("MAX_PHOTO_BYTES", "0"),
        ("MAX_ARCHIVE_BYTES", "4 GB"),
    ],
)
def test_a_wrong_setting_names_itself(name: str, value: str) -> None:
    with pytest.raises(SettingError, match=f"^{name} "):
        Config.read({name: value}, NO_FILE)
