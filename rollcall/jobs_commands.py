"""The commands for what has failed: what is there, and having it done over."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from rollcall.options import CENTRE, data_in
from rollcall.terminal import text_console

if TYPE_CHECKING:
    from control_plane.store.db import Connection, Database
    from control_plane.store.failures import Failure, Kind

KINDS = ["delivery", "enrollment", "identification", "import", "import_photo", "reencoded_photo"]
AUDITED = {"delivery": "delivery.retry", "reencoded_photo": "reencoding.retry"}
"""Those that can be retried."""


@click.group()
def jobs() -> None:
    """Work that has failed for good, and having it done over."""


@jobs.command()
@click.option("--last", type=click.IntRange(1, 100_000), default=50, show_default=True, help="How many of each kind.")
@click.option("--json", "as_json", is_flag=True, help="Print them as JSON.")
@data_in(CENTRE)
def failed(last: int, as_json: bool, data: Path) -> None:
    """Show what has failed, the newest first, how much of each kind, and the broker's dead letters."""
    from control_plane.store import failures
    from rollcall.access import database_of

    with database_of(data) as database, database.read() as connection:
        counts = failures.counts(connection)
        found = [failure for kind in counts for failure in failures.newest(connection, kind, last)]
    dead = _dead_letters()
    if as_json:
        report = {"counts": counts, "failures": found, "dead_letters": dead}
        click.echo(msgspec.json.format(msgspec.json.encode(report)).decode())
        return
    console = text_console()
    if found:
        console.print(_table(found))
    console.print(", ".join(f"{kind}: {number}" for kind, number in counts.items()) or "Nothing has failed.")
    if dead is not None:
        console.print("dead letters: " + ", ".join(f"{queue} {number}" for queue, number in dead.items()))


@jobs.command()
@click.argument("ids", metavar="ID...", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="Whatever can be.")
@click.option("--kind", type=click.Choice(KINDS), help="With --all: of this kind alone.")
@data_in(CENTRE)
def retry(ids: tuple[str, ...], everything: bool, kind: str | None, data: Path) -> None:
    """Have what has failed done over, by its ID, while workers go on. What has not failed (any more) is left alone.

    Ends with 1 if something that was named could not be retried.
    """
    from control_plane.store.failures import Kind
    from rollcall.access import database_of

    if bool(ids) == everything or (kind and ids):
        raise click.UsageError("Give IDs, or --all and perhaps --kind.")
    with database_of(data) as database:
        if ids:
            number, obstacles = _retry_named(database, ids)
        else:
            number = sum(_retry_all(database, wanted) for wanted in ([Kind(kind)] if kind else Kind))
            obstacles = {}
    click.echo(f"{number} will be done over.")
    for failure_id, why in obstacles.items():
        click.echo(f"{failure_id}: {why}", err=True)
    if obstacles:
        sys.exit(1)


def _retry_named(database: Database, ids: Sequence[str]) -> tuple[int, dict[str, str]]:
    """How many are done over, and why others are not."""
    from control_plane.store import failures

    with database.write() as connection:
        found = failures.named(connection, ids)
        done = _retried(connection, found)
    obstacles = dict.fromkeys(ids, "there is none, or it has not failed (any more)")
    obstacles |= {failure.id: failure.obstacle for failure in found if failure.obstacle}
    return len(done), {i: why for i, why in obstacles.items() if i not in done}


def _retry_all(database: Database, kind: Kind) -> int:
    """How many of a kind are done over, a page of them at a time."""
    from control_plane.store import failures

    number, after = 0, ""
    while True:
        with database.write() as connection:
            page = failures.page(connection, kind, after)
            number += len(_retried(connection, page))
        if not page:
            return number
        # Behind them, so that those that fail anew at once are not met again.
        after = page[-1].id


def _retried(connection: Connection, found: Sequence[Failure]) -> set[str]:
    """The ids of those that are done over, noted in the audit log."""
    from control_plane.store import audit, failures
    from control_plane.store.db import utcnow
    from rollcall.access import actor

    now = utcnow()
    done = failures.retry(connection, found, now)
    for kind, action in AUDITED.items():
        ids = [failure.id.partition(":") for failure in done if failure.kind == kind]
        audit.did(connection, actor(), action, now, [(one, other or None) for one, _, other in ids])
    return {failure.id for failure in done}


def _dead_letters() -> dict[str, int] | None:
    """By queue; None where there is no broker, or none in reach."""
    from control_plane.config import Config
    from control_plane.dispatch import broker_failures, dead_letters

    url = Config.read(os.environ).broker_url
    if url is None:
        return None
    out_of_reach: tuple[type[Exception], ...] = (*broker_failures(url), OSError)
    try:
        return dead_letters(url)
    except out_of_reach as error:
        Console(stderr=True).print(f"The broker does not answer: {type(error).__name__}. Look at BROKER_URL.")
        return None


def _table(found: Sequence[Failure]) -> Table:
    shown = Table("kind", Column("id", no_wrap=True), "failed at", "why", "attempts", "retry")
    for failure in found:
        why = ": ".join(filter(None, (failure.reason, failure.message)))
        cells = failure.kind, failure.id, f"{failure.at:%Y-%m-%d %H:%M}", why
        attempts = "" if failure.attempts is None else str(failure.attempts)
        shown.add_row(*(Text(cell) for cell in cells), attempts, failure.obstacle or "yes")
    return shown
