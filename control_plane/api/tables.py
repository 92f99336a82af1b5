"""Lines of CSV that a spreadsheet shows and never runs."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable

CSV = "text/csv; charset=utf-8"
BOM = "\ufeff"
"""What a table begins with that is meant for spreadsheets: without it they take UTF-8 for something else."""

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
"""What a spreadsheet takes for the beginning of a formula."""


def line(cells: Iterable[object]) -> str:
    """One line. Text that would be a formula gets an apostrophe before it, as OWASP advises."""
    buffer = io.StringIO()
    csv.writer(buffer, quoting=csv.QUOTE_ALL).writerow(_safe(cell) for cell in cells)
    return buffer.getvalue()


def _safe(cell: object) -> object:
    text = "" if cell is None else str(cell)
    return f"'{text}" if isinstance(cell, str) and text.lstrip().startswith(_FORMULA) else text
