from __future__ import annotations

from enum import StrEnum
from pathlib import Path

import pytest

from faces.errors import SettingError
from faces.settings import Setting, flag, number, one_of, read, read_dotenv, text, url, whole


class Pace(StrEnum):
    SLOW = "slow"
    FAST = "fast"


@pytest.mark.parametrize(
    ("parse", "given_text", "expected"),
    [
        (flag, "True", True),
        (flag, "off", False),
        (whole(1, 9), "9", 9),
        (number(0, 1), "0.5", 0.5),
        (one_of(Pace), "fast", Pace.FAST),
        (url("http"), "http://h:1/x/", "http://h:1/x"),
    ],
)
def test_a_setting_is_read_into_its_type(parse: object, given_text: str, expected: object) -> None:
    assert Setting("X", "", "x", parse).read(given_text) == expected  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("parse", "given_text"),
    [
        (flag, "maybe"),
        (whole(1, 9), "10"),
        (whole(1, 9), "-1"),
        (whole(1, 9), "1.5"),
        (number(0, 1), "nan"),
        (number(0, 1), "2"),
        (one_of(Pace), "medium"),
        (url("http"), "ftp://h"),
        (url("http"), "http:///secret"),
        (text, "a\nb"),
    ],
)
def test_a_wrong_setting_names_itself_and_never_repeats_what_was_written(parse: object, given_text: str) -> None:
    with pytest.raises(SettingError, match=r"^SECRET_THING ") as error:
        Setting("SECRET_THING", "", "a thing", parse).read(given_text)  # type: ignore[arg-type]
    assert given_text not in error.value.message.replace("from 0 to 1", "").replace("from 1 to 9", "")
    assert error.value.remedy == "SECRET_THING: a thing."


def test_the_environment_wins_over_the_file_and_an_empty_value_is_the_default() -> None:
    settings = (Setting("A", "1", "", whole(0, 9)), Setting("B", "2", "", whole(0, 9)), Setting("C", "", "", text))
    assert read(settings, {"A": "5", "B": ""}, {"A": "7", "C": "x"}) == {"a": 5, "b": 2, "c": "x"}


def test_a_dotenv_file_is_read_as_people_write_it(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text("# cameras\nA=1\nexport B = \"two # 2\"\nC=rtsp://u:p#1@h/ # comment\nnonsense\nD='x'\n")
    assert read_dotenv(file) == {"A": "1", "B": "two # 2", "C": "rtsp://u:p#1@h/", "D": "x"}


def test_a_dotenv_file_that_is_no_text_is_told_as_one(tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(b"\xffPORT=5000")
    with pytest.raises(SettingError, match="cannot be read"):
        read_dotenv(tmp_path / ".env")


def test_no_dotenv_file_is_no_settings(tmp_path: Path) -> None:
    assert read_dotenv(tmp_path / ".env") == {}


def test_a_secret_may_stand_in_a_file_and_what_is_said_outright_wins(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("from the file\n")
    table = (Setting("WORD", "", "a word", text),)
    assert read(table, {"WORD_FILE": str(secret)}, {"WORD": "from .env"}) == {"word": "from the file"}
    assert read(table, {"WORD_FILE": str(secret), "WORD": "outright"}, {}) == {"word": "outright"}
    with pytest.raises(SettingError, match="WORD_FILE"):
        read(table, {"WORD_FILE": str(tmp_path / "none")}, {})


def test_where_a_setting_has_that_name_itself_it_means_what_it_says(tmp_path: Path) -> None:
    table = (Setting("KEY", "", "a key", text), Setting("KEY_FILE", "", "where it is", text))
    assert read(table, {"KEY_FILE": str(tmp_path)}, {}) == {"key": None, "key_file": str(tmp_path)}
