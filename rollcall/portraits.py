"""The demo's photos: press portraits in the source distribution of `face_recognition` (MIT), by pip, hash pinned."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from faces.errors import RollcallError

PACKAGE = "face_recognition==1.3.0"
SHA256 = "5e5efdd1686aa566af0d3cc1313b131e4b197657a8ffd03669e6d3fad92705ec"
FOLDER = "face_recognition-1.3.0/tests/test_images/"
NAMES = ("obama.jpg", "obama2.jpg", "obama3.jpg", "biden.jpg")


class NoPortraits(RollcallError):
    """The demo's photos could not be had."""

    code = "no_portraits"


def fetch() -> dict[str, bytes]:
    """The photos by file name, from the cache or through pip; raises NoPortraits."""
    archive = _cache() / "face_recognition-1.3.0.tar.gz"
    if not archive.is_file():
        _download(archive)
    with tarfile.open(archive) as opened:
        return {name: _member(opened, FOLDER + name) for name in NAMES}


def _cache() -> Path:
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "rollcall"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _download(archive: Path) -> None:
    """pip checks the hash; the archive appears in the cache only when it is whole."""
    with tempfile.TemporaryDirectory(dir=archive.parent) as folder:
        wanted = Path(folder) / "portraits.txt"
        wanted.write_text(f"{PACKAGE} --hash=sha256:{SHA256}\n")
        options = ["--no-deps", "--no-binary", "face_recognition", "--require-hashes"]
        command = [sys.executable, "-m", "pip", "download", "--quiet", *options, "-r", str(wanted), "-d", folder]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        found = list(Path(folder).glob("*.tar.gz"))
        if done.returncode or not found:
            raise NoPortraits(
                f"pip could not fetch the demo's photos: {done.stderr.strip().splitlines()[-1:]}",
                remedy="Check that PyPI is in reach, or try your own camera: rollcall up --camera 0",
            )
        found[0].replace(archive)


def _member(opened: tarfile.TarFile, name: str) -> bytes:
    file = opened.extractfile(name)
    if file is None:
        raise NoPortraits(f"{name} is not in the package")
    return file.read()
