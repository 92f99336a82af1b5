"""WS_URL: the original's message for every frame, pushed to a stream server by a thread of its own."""

from __future__ import annotations

import base64
import logging
import threading
from typing import Any

import msgspec
from websockets.exceptions import WebSocketException
from websockets.sync.client import ClientConnection, connect

from edge.frames import Sight
from edge.latest import LatestOfEach
from edge.repeat import Backoff
from edge.silence import bound_silence
from faces.engine import images
from faces.events import Status
from faces.wire import Seen

log = logging.getLogger("edge.stream")

MOST_BYTES = 1 << 24
"""The longest message of others that the server may send on to us."""


def message(sight: Sight, jpeg: bytes) -> dict[str, Any]:
    """The original's message: the first face in its fields, and all of them in `faces`."""
    faces = [_face(seen) for seen in sight.seen]
    nobody = {"name": None, "distance": None, "status": Status.NO_FACE, "box": None}
    return {
        "type": "face_event",
        **(faces[0] if faces else nobody),
        "timestamp": int(sight.frame.captured_at.timestamp()),
        "frame": base64.b64encode(jpeg).decode(),
        "camera": sight.frame.camera,
        "faces": faces,
    }


def _face(seen: Seen) -> dict[str, Any]:
    distance = None if seen.distance is None else round(seen.distance, 4)
    return {"name": seen.name or "UNKNOWN", "distance": distance, "status": seen.status, "box": list(seen.box)}


class Stream:
    """Pushes the newest sight whenever the last one has been sent, of one camera after the other."""

    def __init__(self, url: str, quality: int) -> None:
        self._url = url
        self._quality = quality
        self._backoff = Backoff(0.5, 4.0)
        self._stopping = threading.Event()
        self._sights: LatestOfEach[Sight | None] = LatestOfEach()

    def offer(self, sight: Sight) -> None:
        """Take what is sent next; never waits."""
        self._sights.put(sight.frame.camera, sight)

    def run(self) -> None:
        while not self._stopping.is_set():
            try:
                with connect(
                    self._url, compression=None, max_size=MOST_BYTES, open_timeout=5, close_timeout=1
                ) as server:
                    bound_silence(server.socket)
                    log.info("the stream server is connected")
                    self._backoff.reset()
                    self._push(server)
            except (OSError, WebSocketException) as error:
                log.warning("no stream server: %s", type(error).__name__)
            self._stopping.wait(self._backoff.wait_s())

    def stop(self) -> None:
        self._stopping.set()
        self._sights.put("", None)

    def _push(self, server: ClientConnection) -> None:
        while not self._stopping.is_set():
            sight = self._sights.take(1.0)
            if sight:
                jpeg = images.jpeg(sight.frame.picture, self._quality)
                server.send(msgspec.json.encode(message(sight, jpeg)).decode())
            _discard(server)


def _discard(server: ClientConnection) -> None:
    """Read away what the server sends on from others: unread, it would hold up the server."""
    try:
        while True:
            server.recv(timeout=0)
    except TimeoutError:
        return
