from __future__ import annotations

import io
import zipfile

import pytest

from faces.errors import Reason, Refused
from jobs import archive


def opened(**files: bytes) -> zipfile.ZipFile:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as made:
        for name, data in files.items():
            made.writestr(name.replace("__slash__", "/"), data)
    return zipfile.ZipFile(io.BytesIO(buffer.getvalue()))


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("katya.jpg", "katya"),
        ("Katya Ivanova.JPEG", "Katya Ivanova"),
        ("katya/1.jpg", "katya"),
        ("katya/2.webp", "katya"),
        ("__MACOSX/katya.jpg", None),
        ("__MACOSX/._katya.jpg", None),
        (".hidden.jpg", None),
        ("katya/.hidden.jpg", None),
        (".git/1.jpg", None),
        ("notes.txt", None),
        ("katya.jpg.exe", None),
        ("a/b/c.jpg", None),
        ("../katya.jpg", None),
        ("/katya.jpg", None),
        (" .jpg", None),
        ("", None),
    ],
)
def test_a_files_path_says_whom_it_shows(path: str, name: str | None) -> None:
    assert archive.person(path) == name


def test_the_plan_names_the_photos_in_the_archives_order() -> None:
    plan = archive.plan(opened(**{"zero.jpg": b"1", "readme.md": b"2", "ema__slash__1.png": b"3"}))
    assert [(e.path, e.name) for e in plan] == [("zero.jpg", "zero"), ("ema/1.png", "ema")]


def test_an_entry_is_counted_while_it_is_inflated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "MAX_ENTRY_BYTES", 1000)
    bomb = opened(**{"a.jpg": bytes(10**6), "b.jpg": bytes(1000)})
    first, second = archive.plan(bomb)
    with pytest.raises(Refused) as refusal:
        archive.read(bomb, first)
    assert refusal.value.reason == Reason.TOO_LARGE
    assert len(archive.read(bomb, second)) == 1000


def test_an_archive_of_too_many_entries_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "MAX_ENTRIES", 1)
    with pytest.raises(Refused, match="names 2 entries"):
        archive.plan(opened(**{"a.jpg": b"", "b.jpg": b""}))


def test_a_damaged_entry_is_refused_alone() -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as made:
        made.writestr("a.jpg", b"A" * 100)
        made.writestr("b.jpg", b"B" * 100)
    damaged = zipfile.ZipFile(io.BytesIO(buffer.getvalue().replace(b"AAAA", b"AxAA", 1)))
    first, second = archive.plan(damaged)
    with pytest.raises(Refused):
        archive.read(damaged, first)
    assert archive.read(damaged, second) == b"B" * 100
