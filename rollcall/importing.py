"""`rollcall import faces.zip`: hand an archive to the running product, follow it, and show what was refused."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import requests
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn
from rich.table import Table
from rich.text import Text

from faces.errors import RollcallError
from faces.texts import harmless
from rollcall.access import credentials

ACTIVE = ("pending", "running")
ASK_EVERY_S = 0.3
SHOWN = 40
"""Refusals that are shown; the CSV has all."""


class ImportFailed(RollcallError):
    """The archive was not taken, or the product is not to be reached."""

    code = "import_failed"


def run(archive: Path, url: str, console: Console, *, force: bool = False, dry_run: bool = False) -> None:
    """Import an archive by the product at `url`; raises ImportFailed."""
    try:
        found = _follow(url, _hand_in(archive, url, force, dry_run), console)
        if found["state"] == "failed":
            raise _failed(found["error"])
        _show(url, found, console)
    except requests.RequestException as error:
        raise ImportFailed(
            f"Rollcall does not answer at {url}", remedy="Start it with rollcall up, or name its address with --url."
        ) from error


def _hand_in(archive: Path, url: str, force: bool, dry_run: bool) -> dict[str, Any]:
    asked = {name: "true" for name, wanted in (("force", force), ("dry_run", dry_run)) if wanted}
    with archive.open("rb") as file:
        headers = {"Content-Type": "application/zip", **credentials()}
        answer = requests.post(f"{url}/v1/imports", params=asked, data=file, headers=headers, timeout=600)
    found: dict[str, Any] = answer.json()
    if answer.status_code not in (201, 202):
        raise ImportFailed(found.get("detail") or found["title"], remedy=found.get("remedy", ""))
    return found


def _follow(url: str, found: dict[str, Any], console: Console) -> dict[str, Any]:
    """Show progress until the import has ended; Ctrl-C leaves it running."""
    columns = (TextColumn("Importing"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[pace]}"))
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("", total=None, pace="")
        while found["state"] in ACTIVE:
            _advance(progress, task, found)
            time.sleep(ASK_EVERY_S)
            answer = requests.get(f"{url}/v1/imports/{found['id']}", headers=credentials(), timeout=30)
            answer.raise_for_status()
            found = answer.json()
    return found


def _advance(progress: Progress, task: TaskID, found: dict[str, Any]) -> None:
    rate, left = found["rate_per_s"], found["left_s"]
    pace = "" if rate is None else f"{rate:.0f} a second"
    pace += "" if left is None else f", {left:.0f} s left"
    done = found["total"] - found["pending"]
    progress.update(task, completed=done, total=found["total"] or None, pace=pace)


def _show(url: str, found: dict[str, Any], console: Console) -> None:
    would = "would be " if found["dry_run"] else ""
    console.print(
        f"{found['accepted']} photos {would}enrolled, {found['duplicates']} were already, "
        f"{found['refused']} {would}refused. {sum(found['skipped'].values())} other files were passed over."
    )
    if found["state"] != "done":
        console.print(f"The import is {found['state']}.")
    if found["refused"]:
        _show_refusals(url, found, console)
    if not found["dry_run"]:
        key = ' -H "Authorization: Bearer $ROLLCALL_KEY"' if credentials() else ""
        console.print(f"Take it back: curl -X POST{key} {url}/v1/imports/{found['id']}/undo", soft_wrap=True)


def _show_refusals(url: str, found: dict[str, Any], console: Console) -> None:
    asked = {"state": "refused", "limit": str(SHOWN)}
    answer = requests.get(f"{url}/v1/imports/{found['id']}/items", params=asked, headers=credentials(), timeout=30)
    answer.raise_for_status()
    table = Table("file", "reason", "why")
    for item in answer.json()["items"]:
        # As text: what stands in an archive is never markup, nor anything a terminal obeys.
        table.add_row(*(Text(harmless(item[column] or "")) for column in ("entry", "reason", "message")))
    console.print(table)
    if found["refused"] > SHOWN:
        console.print(f"{found['refused'] - SHOWN} more.")
    console.print(f"All of them: {url}/v1/imports/{found['id']}/refusals.csv", soft_wrap=True)


def _failed(error: dict[str, Any]) -> ImportFailed:
    return ImportFailed(str(error.get("message", "")), remedy=str(error.get("remedy", "")))
