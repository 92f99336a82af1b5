"""`rollcall migrate`: the schema is brought up to date before a new version starts."""

from __future__ import annotations

import os
from pathlib import Path

from rich.console import Console

from control_plane.config import Config
from control_plane.store import schema, version
from control_plane.store.db import Database, utcnow


def run(data: Path, console: Console) -> None:
    """Migrate the database of the control plane on this data folder. Started twice at once, one waits for the other."""
    database = Database(Config.read({**os.environ, "DATA_DIR": str(data.resolve())}).database_url)
    try:
        before = database.seen(version.current)
        schema.migrate(database, utcnow())
        after = database.seen(version.current)
    finally:
        database.close()
    changed = f"was {before or 'empty'} and is {after} now" if before != after else f"is up to date ({after})"
    console.print(f"The schema {changed}.")
