"""`rollcall up`: the all-in-one in the foreground, printing decisions until it is interrupted."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import suppress

import requests
from rich.console import Console
from websockets.exceptions import WebSocketException

from rollcall.feed import events, line
from rollcall.supervisor import Supervisor
from rollcall.up import Place, start_centre, start_edge


def run(place: Place, settings: Mapping[str, str], console: Console) -> None:
    """Run until Ctrl-C or SIGTERM; processes that die are started again."""
    place.check_ports()
    with Supervisor(logs=place.data / "logs") as supervisor:
        with console.status("Starting"):
            start_centre(supervisor, place)
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
        for event in events(place.url, after=cursor):
            supervisor.check()
            if event is not None:
                console.print(line(event))
                cursor = event["position"]
    return cursor


def _newest(place: Place) -> int:
    answer = requests.get(f"{place.url}/v1/events", params={"order": "newest", "limit": "1"}, timeout=10).json()
    return int(answer["items"][0]["position"]) if answer["items"] else 0
