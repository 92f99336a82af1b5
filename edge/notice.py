"""What may happen to a camera, as values."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import NamedTuple


class Change(StrEnum):
    """What may happen to a camera."""

    LOST = "lost"
    BACK = "back"
    DARK = "dark"
    FROZEN = "frozen"
    CLEAR = "clear"
    END = "end"


class Notice(NamedTuple):
    """That it happened."""

    change: Change
    at: datetime
    reason: str = ""
