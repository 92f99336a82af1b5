"""Decisions as they happen, read from the control plane's stream with a cursor and printed for people."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import datetime
from typing import Any

from rich.text import Text
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Subprotocol

from faces.texts import harmless
from faces.wire import WATCH_PROTOCOL

PROTOCOL = Subprotocol(WATCH_PROTOCOL)


def events(
    base_url: str, *, after: int = 0, every_s: float = 0.2, headers: Mapping[str, str] | None = None
) -> Iterator[dict[str, Any] | None]:
    """Events after a position in order, as they come; ends when the connection does.

    `None` says that there is nothing just now, so that the caller can look after other things.
    """
    url = base_url.replace("http", "ws", 1) + "/ws/face-stream"
    with connect(url, subprotocols=[PROTOCOL], additional_headers=headers, compression=None, max_size=None) as socket:
        socket.send(json.dumps({"type": "events", "after": after}))
        with suppress(ConnectionClosed):
            while True:
                yield _next(socket, every_s)


def _next(socket: ClientConnection, timeout_s: float) -> dict[str, Any] | None:
    try:
        message = socket.recv(timeout=timeout_s)
    except TimeoutError:
        return None
    told: dict[str, Any] = json.loads(message) if isinstance(message, str) else {}
    return told if told.get("type") == "event" else None


STYLES = {"PASS": "bold green", "REJECT": "bold red"}


def line(event: dict[str, Any]) -> Text:
    """One event for a person: time, verdict, name, distance, camera. No character of a name does anything."""
    text = Text()
    moment = datetime.fromisoformat(event["captured_at"]).astimezone()
    text.append(f"{moment:%H:%M:%S}  ", style="dim")
    status = event.get("status") or event["kind"]
    text.append(f"{status:<12}", style=STYLES.get(status, "yellow"))
    text.append(f"{harmless(event.get('name') or 'somebody unknown'):<24} ")
    if event.get("distance") is not None:
        text.append(f"distance {event['distance']:.3f}  ")
    text.append(f"camera {harmless(event['camera'])}", style="dim")
    return text
