"""`manifest.csv` in an archive: whose photo each file is, in the words of whoever made it."""

from __future__ import annotations

import csv
import io
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, time

from faces.consent import NONE, Consent
from faces.errors import Invalid, Reason, Refused
from faces.texts import acts, attributes

NAME = "manifest.csv"
MAX_BYTES = 16 << 20
MAX_COLUMNS = 40
MAX_FIELD_CHARS = 4096
LONGEST_ID = 200
MOMENTS = ("valid_until", "consent_given_at", "consent_until")
KNOWN = ("file", "name", "external_id", "gallery", "consent_basis", *MOMENTS)


@dataclass(frozen=True, slots=True)
class Line:
    """What the manifest says of one file. `fault` is what cannot be used of it, if so."""

    name: str = ""
    external_id: str | None = None
    gallery_id: str | None = None
    valid_until: datetime | None = None
    attributes: dict[str, str] = field(default_factory=dict)
    consent: Consent = NONE
    fault: str = ""


def read(data: bytes, galleries: Mapping[str, str], max_lines: int) -> dict[str, Line]:
    """The lines by file. `galleries` gives the ids of those a line may name, by id and by name.

    Raises Refused for a manifest that cannot be read; a line that cannot be used costs its own file only.
    """
    rows = csv.reader(io.StringIO(_text(data), newline=""), delimiter=_delimiter(data), strict=True)
    try:
        columns = [c.strip().lower() for c in next(rows, [])]
        if "file" not in columns or len(set(columns)) != len(columns) or len(columns) > MAX_COLUMNS:
            raise _bad("its first line names the columns; one of them is 'file', and none comes twice")
        if not all(_kept(c) for c in columns):
            raise _bad(f"the name of a column is longer than {MAX_FIELD_CHARS} characters, or no text")
        lines: dict[str, Line] = {}
        for number, row in enumerate(rows):
            if number >= max_lines:
                raise _bad(f"it has more than {max_lines} lines")
            if any(cell.strip() for cell in row):
                _add(lines, dict(zip(columns, (cell.strip() for cell in row), strict=False)), galleries)
    except csv.Error as error:
        raise _bad(str(error)) from error
    return lines


def _add(lines: dict[str, Line], cells: dict[str, str], galleries: Mapping[str, str]) -> None:
    file = unicodedata.normalize("NFC", cells.get("file", ""))
    lines[file] = Line(fault="the manifest names it twice") if file in lines else _line(cells, galleries)


def _line(cells: dict[str, str], galleries: Mapping[str, str]) -> Line:
    if not all(_kept(cell) for cell in cells.values()):
        return Line(fault="the manifest's line is no text that is kept")
    if len(external_id := cells.get("external_id", "")) > LONGEST_ID or acts(external_id):
        return Line(fault=f"external_id in the manifest is longer than {LONGEST_ID} characters, or no text")
    gallery = cells.get("gallery", "")
    if gallery and gallery not in galleries:
        return Line(fault=f"the manifest names a gallery that is not there: {gallery[:64]!r}")
    moments: dict[str, datetime | None] = {}
    for name in MOMENTS:
        try:
            moments[name] = _moment(cells.get(name, ""), begins=name == "consent_given_at")
        except (ValueError, OverflowError):
            return Line(fault=f"{name} in the manifest is no date")
    given_at, until = moments["consent_given_at"], moments["consent_until"]
    consent = Consent(basis=cells.get("consent_basis") or None, given_at=given_at, until=until)
    others = {k: v for k, v in cells.items() if k and k not in KNOWN and v}
    try:
        consent.check()
        attributes(others)
    except Invalid as error:
        return Line(fault=f"in the manifest {error.message}")
    return Line(
        name=cells.get("name", ""),
        external_id=external_id or None,
        gallery_id=galleries.get(gallery),
        valid_until=moments["valid_until"],
        attributes=others,
        consent=consent,
    )


def _kept(text: str) -> bool:
    return len(text) <= MAX_FIELD_CHARS and "\0" not in text


def _moment(text: str, *, begins: bool) -> datetime | None:
    """A time in UTC unless it says otherwise; of a date alone, its first moment or its last."""
    if not text:
        return None
    moment = datetime.fromisoformat(text)
    if len(text) <= 10:
        moment = datetime.combine(moment.date(), time.min if begins else time.max)
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _text(data: bytes) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _bad("it is not UTF-8") from error


def _delimiter(data: bytes) -> str:
    """Spreadsheets write semicolons where a comma is the decimal mark."""
    first = data.partition(b"\n")[0]
    return ";" if first.count(b";") > first.count(b",") else ","


def _bad(why: str) -> Refused:
    return Refused(Reason.BAD_MANIFEST, f"The archive's manifest.csv cannot be used: {why}.", remedy="Correct it.")
