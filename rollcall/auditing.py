"""The audit log on the command line."""

from __future__ import annotations

from datetime import UTC
from typing import ClassVar

from rich.table import Column, Table
from rich.text import Text

from control_plane.store import audit
from control_plane.store.audit import Wanted
from control_plane.store.chain import Head
from control_plane.store.db import Connection
from faces.errors import RollcallError


class Tampered(RollcallError):
    """A row of the audit log is not what was written."""

    code: ClassVar[str] = "tampered"


def table(connection: Connection, last: int, actor: str | None, concerning: str | None) -> Table:
    """The newest rows, the newest last."""
    wanted = Wanted(actor=actor, concerning=concerning)
    shown = Table("position", "at", "actor", "action", Column("what", no_wrap=True), "from", "outcome")
    for row in reversed(audit.listing(connection, limit=last, newest_first=True, wanted=wanted)):
        what = " ".join(filter(None, (row.resource_id, row.other_id)))
        cells = f"{row.at.astimezone(UTC):%Y-%m-%d %H:%M:%S}", row.actor, row.action, what, row.address, row.outcome
        shown.add_row(str(row.position), *(Text(cell) for cell in cells))
    return shown


def verified(connection: Connection, anchor: str | None) -> Head:
    """The head of a log that is whole; raises Tampered, naming the first row that is not as it was written."""
    fault = audit.verify(connection, Head.read(anchor) if anchor else None)
    if fault is not None:
        raise Tampered(f"row {fault.position} of the audit log: {fault.why}", remedy="Compare it with a backup.")
    return audit.head(connection)
