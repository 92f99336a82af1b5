"""When a row that a worker holds is free for another one."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa


def free(until: sa.Column[Any], now: datetime, lease: timedelta) -> sa.ColumnElement[bool]:
    """Whether nobody holds a row: its lease has run out, or is longer than any could be and was given by a clock that
    has been set back since. Clocks of workers may be apart by as much as a lease is long."""
    return sa.or_(until.is_(None), until <= now, until > now + 2 * lease)
