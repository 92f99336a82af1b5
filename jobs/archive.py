"""What an archive of photos holds, read from its directory alone."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import PurePosixPath

from faces.errors import Reason, Refused

PHOTOS = frozenset({".jpg", ".jpeg", ".png", ".webp"})
MAX_ENTRIES = 100_000
MAX_ENTRY_BYTES = 20 * 2**20


@dataclass(frozen=True, slots=True)
class Entry:
    """One photo in an archive, and the name of the person it shows."""

    path: str
    name: str


def plan(archive: zipfile.ZipFile) -> list[Entry]:
    """The photos of an archive in its own order: `katya.jpg` and `katya/1.jpg` are both of katya.

    Hidden files, `__MACOSX` and other kinds of files are passed over. Raises Refused for an archive that names too
    many entries.
    """
    infos = archive.infolist()
    if len(infos) > MAX_ENTRIES:
        raise Refused(
            Reason.TOO_LARGE, f"The archive names {len(infos)} entries; {MAX_ENTRIES} are the most that is taken."
        )
    found: dict[str, Entry] = {}
    for info in infos:
        name = person(info.filename)
        if name is not None and not info.is_dir():
            found.setdefault(info.filename, Entry(info.filename, name))
    return list(found.values())


def person(path: str) -> str | None:
    """Whom a file shows by its path in the archive; None if it is not to be looked at."""
    parts = PurePosixPath(path).parts
    if any(part.startswith((".", "__MACOSX", "/")) for part in parts) or not 1 <= len(parts) <= 2:
        return None
    if PurePosixPath(path).suffix.lower() not in PHOTOS:
        return None
    name = parts[0] if len(parts) == 2 else PurePosixPath(path).stem
    return name.strip() or None


def read(archive: zipfile.ZipFile, entry: Entry) -> bytes:
    """An entry's bytes, counted while they are inflated; raises Refused if they are too many or cannot be read."""
    try:
        with archive.open(entry.path) as file:
            data = file.read(MAX_ENTRY_BYTES + 1)
    except (zipfile.BadZipFile, OSError, RuntimeError, NotImplementedError, EOFError) as error:
        raise Refused(Reason.NOT_AN_IMAGE, "This entry of the archive cannot be read.") from error
    if len(data) > MAX_ENTRY_BYTES:
        raise Refused(Reason.TOO_LARGE, f"This entry is larger than {MAX_ENTRY_BYTES // 2**20} MB.")
    return data
