"""`rollcall reencode`: have the running product change its engine, follow it, and switch when it is ready."""

from __future__ import annotations

import time
from typing import Any

import requests
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.text import Text

from faces.errors import RollcallError
from rollcall.access import credentials

ASK_EVERY_S = 0.3
SHOWN = 40
"""Refusals and losses that are shown; `/v1/reencodings` has all."""


class NotChanged(RollcallError):
    """The engine is not changed, or the product is not to be reached."""

    code = "not_changed"


def run(url: str, console: Console, engine: str | None, *, accept_losses: bool = False) -> None:
    """Change to an engine (None: the one before); raises NotChanged. Ctrl-C leaves the encoding going on."""
    product = _Product(url)
    found = product.begin(engine or product.previous())
    while found["state"] != "switched":
        found = _follow(product, found, console)
        _show(product, found, console)
        if found["losses"] and not accept_losses:
            raise NotChanged(
                f"{found['losses']} people would not be recognised any more: galleries stay with the engine before.",
                remedy="Give them photos that the engine takes and run this again, or add --accept-losses.",
            )
        found = product.switch(found, accept_losses)
    console.print(f"Galleries go by {found['model']} now, and edges follow. Back: rollcall reencode --back")
    if found["corrections"]:
        console.print(f"{found['corrections']} corrections were of the engine before and do not count for this one.")
    for gallery in found["thresholds"]:
        console.print(f"Gallery {gallery} has a TH_ACCEPT of its own: was it chosen for another engine?", markup=False)


def clean_up(url: str, console: Console) -> None:
    """Remove the encodings of the engines before; raises NotChanged."""
    removed = _Product(url).ask("POST", "/cleanup")["removed"]
    console.print(f"{removed} encodings removed.")


class _Product:
    """The running product, asked about changes of its engine. Raises NotChanged for whatever it refuses."""

    def __init__(self, url: str) -> None:
        self._url = url

    def ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        try:
            answer = requests.request(
                method, f"{self._url}/v1/reencodings{path}", json=body, headers=credentials(), timeout=600
            )
            found: dict[str, Any] = answer.json()
        except requests.RequestException as error:
            remedy = "Start it with rollcall up, or name its address with --url."
            raise NotChanged(f"Rollcall does not answer at {self._url}", remedy=remedy) from error
        if answer.status_code >= 400:
            raise NotChanged(found.get("detail") or found.get("title", ""), remedy=found.get("remedy", ""))
        return found

    def all(self) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = self.ask("GET", "?limit=500")["items"]
        return items

    def previous(self) -> str:
        switched = [found for found in self.all() if found["state"] == "switched"]
        if not switched or switched[-1]["from_model"] is None:
            raise NotChanged("the engine was never changed")
        return str(switched[-1]["from_model"])

    def begin(self, engine: str) -> dict[str, Any]:
        """A change that is under way already, or a new one."""
        under_way = [f for f in self.all() if f["model"] == engine and f["state"] in ("running", "ready")]
        return under_way[0] if under_way else self.ask("POST", "", {"engine": engine})

    def switch(self, found: dict[str, Any], accept_losses: bool) -> dict[str, Any]:
        """The change after the switch; still running if photos have come in the last moment."""
        try:
            return self.ask("POST", f"/{found['id']}/switch", {"accept_losses": accept_losses})
        except NotChanged:
            now = self.ask("GET", f"/{found['id']}")
            if now["encoded"] + now["refused"] == now["photos"]:
                raise
            return now


def _follow(product: _Product, found: dict[str, Any], console: Console) -> dict[str, Any]:
    columns = (TextColumn("Encoding"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("", total=None)
        while True:
            progress.update(task, completed=found["encoded"] + found["refused"], total=found["photos"] or None)
            if found["state"] != "running" and found["encoded"] + found["refused"] >= found["photos"]:
                return found
            if found["state"] not in ("running", "ready"):
                raise NotChanged(f"the change was {found['state']}")
            time.sleep(ASK_EVERY_S)
            found = product.ask("GET", f"/{found['id']}")


def _show(product: _Product, found: dict[str, Any], console: Console) -> None:
    console.print(f"{found['encoded']} photos are encoded with {found['model']}, {found['refused']} were refused.")
    for photo in product.ask("GET", f"/{found['id']}/refusals")["items"][:SHOWN]:
        console.print(Text(f"  {photo['name']}: a photo was refused ({photo['reason']}): {photo['message']}"))
    lost = product.ask("GET", f"/{found['id']}/losses")["items"]
    if lost:
        console.print(f"{len(lost)} people would not be recognised any more:")
    for person in lost[:SHOWN]:
        console.print(Text(f"  {person['name']}"))
