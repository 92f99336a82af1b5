"""What an archive of photos holds, planned from its directory alone: whose photo each entry is, or why not."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import BinaryIO

from faces.consent import NONE, Consent
from faces.errors import Reason, Refused
from faces.texts import acts, harmless
from jobs import directory, manifest
from jobs.directory import Limits, Place
from jobs.manifest import Line

PHOTOS = frozenset({".jpg", ".jpeg", ".png", ".webp"})
LONGEST_PATH = 1024
LONGEST_NAME = 200
SHOWN = 200
"""Characters of an entry's path that are kept to show it."""


@dataclass(frozen=True, slots=True)
class Item:
    """One photo in an archive: where it lies and whose it is, or the refusal."""

    entry: str
    place: Place | None = None
    name: str = ""
    external_id: str | None = None
    gallery_id: str | None = None
    valid_until: datetime | None = None
    attributes: dict[str, str] = field(default_factory=dict)
    consent: Consent = NONE
    refusal: Refused | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """An archive's photos in its own order, and how many entries of each other kind were passed over."""

    items: list[Item]
    skipped: dict[str, int]


def plan(file: BinaryIO, limits: Limits, galleries: Mapping[str, str]) -> Plan:
    """Plan an archive: `katya.jpg` and `katya/1.jpg` are both of katya, unless `manifest.csv` says otherwise.

    `galleries` gives the ids of the galleries that a manifest may name. Raises Refused for an archive, or a
    manifest, that cannot be used at all.
    """
    entries = directory.entries(file, limits)
    lines = _manifest(file, entries, limits, galleries)
    planner = _Planner(lines)
    for entry in entries:
        planner.take(entry)
    planner.miss()
    return Plan(planner.items, dict(planner.skipped))


def read(file: BinaryIO, place: Place, limits: Limits) -> bytes:
    """An entry's bytes; raises Refused if they are too many, or not what the directory says."""
    return directory.read(file, place, limits.max_entry_bytes)


def kind(path: str) -> str:
    """Why an entry is passed over: folder, hidden, manifest or other; empty: it is a photo."""
    parts = path.split("/")
    if path.endswith("/"):
        return "folder"
    if any(part.startswith(".") or part == "__MACOSX" for part in parts):
        return "hidden"
    if path.lower() == manifest.NAME:
        return "manifest"
    return "" if _suffix(parts[-1]) in PHOTOS else "other"


def unsafe(path: str) -> str:
    """What is wrong with a path that no ordinary program would write; empty: nothing."""
    parts = path.removesuffix("/").split("/")
    if len(path.encode(errors="replace")) > LONGEST_PATH:
        return "its name is too long"
    if acts(path):
        return "its name holds control characters"
    if "\\" in path or re.match(r"[A-Za-z]:", path) or path.startswith("/"):
        return "its name is a path of one particular machine"
    if any(part in ("", ".", "..") for part in parts):
        return "its name leads elsewhere"
    return ""


def person(path: str) -> str:
    """Whom a photo shows by its path; raises Refused if the path does not say."""
    parts = path.split("/")
    if len(parts) > 2:
        raise _bad_name("it lies too deep: a photo is NAME.jpg, or NAME/any.jpg")
    return _checked(parts[0] if len(parts) == 2 else parts[0].rpartition(".")[0])


class _Planner:
    def __init__(self, lines: dict[str, Line]) -> None:
        self.items: list[Item] = []
        self.skipped: Counter[str] = Counter()
        self._lines = lines
        self._first: dict[str, str] = {}
        self._met: set[str] = set()

    def take(self, entry: directory.Entry) -> None:
        path = unicodedata.normalize("NFC", entry.name)
        try:
            if fault := unsafe(path):
                raise _bad_name(fault)
            if entry.link:
                raise _bad_name("it is a link to another file")
            if passed := kind(path):
                self.skipped[passed] += 1
                return
            self.items.append(self._photo(path, entry))
        except Refused as refusal:
            self.items.append(Item(_shown(path), refusal=refusal))

    def miss(self) -> None:
        """What the manifest names and the archive has not is an outcome too."""
        for file in (f for f in self._lines if f not in self._met):
            message = "the manifest names a file that is not in the archive"
            self.items.append(Item(_shown(file), refusal=Refused(Reason.BAD_MANIFEST, message)))

    def _photo(self, path: str, entry: directory.Entry) -> Item:
        self._met.add(path)
        first = self._first.setdefault(path.casefold(), path)
        if first is not path:
            raise Refused(
                Reason.DUPLICATE_ENTRY,
                "the archive holds an entry of this name already",
                remedy="Give each photo a name of its own.",
                detail={"first": _shown(first)},
            )
        if entry.fault:
            remedy = "Make the archive anew, without a password."
            raise Refused(Reason.UNREADABLE_ENTRY, f"this entry cannot be read: {entry.fault}", remedy=remedy)
        line = self._lines.get(path, Line())
        if line.fault:
            raise Refused(Reason.BAD_MANIFEST, line.fault, remedy="Correct the manifest, and import this photo again.")
        return Item(
            _shown(path),
            entry.place,
            _checked(line.name) if line.name else person(path),
            line.external_id,
            line.gallery_id,
            line.valid_until,
            line.attributes,
            line.consent,
        )


def _manifest(
    file: BinaryIO, entries: list[directory.Entry], limits: Limits, galleries: Mapping[str, str]
) -> dict[str, Line]:
    found = [e for e in entries if e.name.lower() == manifest.NAME]
    if not found:
        return {}
    if len(found) > 1 or found[0].fault or found[0].link:
        raise Refused(Reason.BAD_MANIFEST, "The archive's manifest.csv is there twice, or cannot be read.")
    data = directory.read(file, found[0].place, manifest.MAX_BYTES)
    return manifest.read(data, galleries, limits.max_entries)


def _suffix(name: str) -> str:
    return "." + name.rpartition(".")[2].lower() if "." in name else ""


def _checked(name: str) -> str:
    name = unicodedata.normalize("NFC", name).strip()
    if not name or len(name) > LONGEST_NAME:
        raise _bad_name(f"it gives no name of 1 to {LONGEST_NAME} characters")
    if acts(name):
        raise _bad_name("it gives a name that holds control characters")
    return name


def _shown(path: str) -> str:
    """A path as it can be shown anywhere: cut, and without characters that would do something."""
    return harmless(path[:SHOWN])


def _bad_name(why: str) -> Refused:
    return Refused(
        Reason.BAD_ENTRY_NAME,
        f"this entry is not taken: {why}",
        remedy="Name each photo after its person (katya.jpg), or put it into a folder of that name.",
    )
