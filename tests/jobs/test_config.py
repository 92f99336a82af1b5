from __future__ import annotations

from pathlib import Path

import pytest

from faces.errors import SettingError
from jobs.broker import make_broker
from jobs.config import Config


def test_without_settings_the_worker_uses_sqlite_in_the_data_folder_and_no_broker(tmp_path: Path) -> None:
    config = Config.read({"DATA_DIR": "/d"}, tmp_path / ".env")
    assert (config.database_url, config.broker_url, config.engine) == ("sqlite:////d/rollcall.db", None, "sface")


@pytest.mark.parametrize(("name", "value"), [("THREADS", "many"), ("WORKER_THREADS", "0")])
def test_a_wrong_setting_names_itself(tmp_path: Path, name: str, value: str) -> None:
    with pytest.raises(SettingError, match=name):
        Config.read({name: value}, tmp_path / ".env")


def test_a_broker_nobody_knows_is_refused() -> None:
    with pytest.raises(SettingError, match="BROKER_URL"):
        make_broker("kafka://h")
