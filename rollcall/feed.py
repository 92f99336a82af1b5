"""Decisions as they happen, read from the control plane's stream with a cursor and printed for people."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from rich.text import Text
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Subprotocol

from faces.wire import WATCH_PROTOCOL

PROTOCOL = Subprotocol(WATCH_PROTOCOL)


class Feed:
    """One connection to `/ws/face-stream` that asks for events. `None` from `events` means: nothing just now."""

    def __init__(self, base_url: str, *, after: int = 0) -> None:
        url = base_url.replace("http", "ws", 1) + "/ws/face-stream"
        self._cursor = after
        self._socket: ClientConnection = connect(url, subprotocols=[PROTOCOL], compression=None, max_size=None)
        self._socket.send(json.dumps({"type": "events", "after": after}))

    def events(self, *, every_s: float = 0.2) -> Iterator[dict[str, Any] | None]:
        """Events in order as they come; ends when the connection does."""
        while True:
            try:
                message = self._socket.recv(timeout=every_s)
            except TimeoutError:
                yield None
                continue
            except ConnectionClosed:
                return
            if isinstance(message, str):
                told = json.loads(message)
                if told.get("type") == "event":
                    yield told

    def close(self) -> None:
        self._socket.close()


STYLES = {"PASS": "bold green", "REJECT": "bold red"}


def line(event: dict[str, Any]) -> Text:
    """One event for a person: time, verdict, name, distance, camera. Control characters in a name do nothing."""
    text = Text()
    moment = datetime.fromisoformat(event["captured_at"]).astimezone()
    text.append(f"{moment:%H:%M:%S}  ", style="dim")
    status = event.get("status") or event["kind"]
    text.append(f"{status:<12}", style=STYLES.get(status, "yellow"))
    name = "".join(c for c in event.get("name") or "somebody unknown" if c.isprintable())
    text.append(f"{name:<24} ")
    if event.get("distance") is not None:
        text.append(f"distance {event['distance']:.3f}  ")
    text.append(f"camera {event['camera']}", style="dim")
    return text
