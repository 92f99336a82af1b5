"""`rollcall up`: the all-in-one in the foreground, printing decisions until it is interrupted."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import requests
from rich.console import Console
from websockets.exceptions import WebSocketException

from control_plane.store.db import utcnow
from control_plane.store.keys import Role
from control_plane.store.sites import DEFAULT_SITE
from edge import credential
from edge.config import Config as EdgeConfig
from edge.credential import MEMBERSHIP
from faces.settings import read_dotenv
from rollcall import joining
from rollcall.access import database_of, known, needed, own_key
from rollcall.feed import events, line
from rollcall.supervisor import Supervisor
from rollcall.up import Place, start_centre, start_edge


def run(place: Place, settings: Mapping[str, str], console: Console) -> None:
    """Run until Ctrl-C or SIGTERM; processes that die are started again."""
    place.check_ports()
    with Supervisor(logs=place.data / "logs") as supervisor:
        with console.status("Starting"):
            start_centre(supervisor, place)
        _join(place)
        start_edge(supervisor, place, settings)
        console.print(f"Rollcall runs. Dashboard: [link={place.url}]{place.url}[/]  Logs: {place.data / 'logs'}")
        console.print("Ctrl-C ends it.\n")
        cursor = _newest(place)
        while True:
            cursor = _follow(supervisor, place, console, cursor)
            time.sleep(1)


def _follow(supervisor: Supervisor, place: Place, console: Console, cursor: int) -> int:
    """Print events until the connection ends; returns how far it got."""
    supervisor.check()
    with suppress(OSError, WebSocketException):
        for event in events(place.url, after=cursor, headers=_credentials(place)):
            supervisor.check()
            if event is not None:
                console.print(line(event))
                cursor = event["position"]
    return cursor


def _newest(place: Place) -> int:
    asked = {"order": "newest", "limit": "1"}
    answer = requests.get(f"{place.url}/v1/events", params=asked, headers=_credentials(place), timeout=10).json()
    return int(answer["items"][0]["position"]) if answer["items"] else 0


def _join(place: Place) -> None:
    """Have the all-in-one's own edge join, so that it goes on when keys come to be needed; unless it was given a key.
    One whose credential was revoked stays out."""
    if "EDGE_KEY" in {**read_dotenv(Path(".env")), **os.environ}:
        return
    folder = place.data / "edge"
    held = credential.read(folder / MEMBERSHIP, lambda: _edge(folder).opener())
    with database_of(place.data) as database, database.write() as connection:
        if held and known(connection, held[1].key or ""):
            return
        token = joining.token_for(connection, DEFAULT_SITE)
    joining.join(place.url, token, folder)


def _edge(folder: Path) -> EdgeConfig:
    """The settings of the edge on this folder but for its cameras, as far as they are those of this process."""
    return EdgeConfig.read({**os.environ, "EDGE_CONFIG": os.devnull, "DATA_DIR": str(folder)}, Path(".env"))


def _credentials(place: Place) -> dict[str, str]:
    """What this console reads decisions with, where keys are needed: a key of its own."""
    with database_of(place.data) as database, database.write() as connection:
        if not needed(connection):
            return {}
        key = own_key(connection, place.data / "console.key", Role.VIEWER, utcnow())
    return {"Authorization": f"Bearer {key}"}
