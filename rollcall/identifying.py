"""`rollcall identify photo.jpg`: ask the running product who is on a photo, and show the answer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import requests
from rich.console import Console
from rich.table import Table
from rich.text import Text

from faces.errors import RollcallError
from rollcall.access import credentials

WAIT_S = 30


class NotIdentified(RollcallError):
    """The photo was refused, or the product is not to be reached."""

    code = "not_identified"


def run(photo: Path, url: str, console: Console, galleries: Sequence[str] = ()) -> None:
    """Show who is on a photo, by the product at `url`; raises NotIdentified."""
    try:
        answer = requests.post(
            f"{url}/v1/identify",
            params={"galleries": ",".join(galleries)},
            files={"image": photo.read_bytes()},
            headers={"Prefer": f"wait={WAIT_S}", **credentials()},
            timeout=WAIT_S + 10,
        )
        found: dict[str, Any] = answer.json()
    except requests.RequestException as error:
        raise NotIdentified(
            f"Rollcall does not answer at {url}", remedy="Start it with rollcall up, or name its address with --url."
        ) from error
    if answer.status_code != 201:
        message = found.get("detail") or found.get("title") or "there is no answer yet"
        raise NotIdentified(message, remedy=found.get("remedy") or "Is the worker running?")
    table = Table("face", "decision", "who", "distance", "threshold")
    for number, face in enumerate(found["faces"], start=1):
        nearest = face["match"] or next(iter(face["candidates"]), None)
        decision = face["reason"] or face["status"] + ("" if face["match"] else " (nearest)")
        row = [str(number), decision]
        row += (
            [nearest["name"], f"{nearest['distance']:.3f}", f"{nearest['threshold']:.2f}"] if nearest else ["", "", ""]
        )
        table.add_row(*(Text(cell) for cell in row))
    console.print(table)
