"""The WebSocket to the control plane: hints and watchers come down, live frames and status go up. It carries only what
may be lost."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping

from websockets.exceptions import ConnectionClosed, WebSocketException
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Subprotocol

from edge.frames import Sight, live
from edge.latest import LatestOfEach
from edge.repeat import Backoff
from edge.silence import bound_silence
from faces import wire
from faces.engine import images
from faces.errors import Invalid
from faces.wire import Hint, LinkDown, LinkStatus, Ordered, Watch

log = logging.getLogger("edge.link")

STATUS_EVERY_S = 5.0

STEADY_S = 10.0
"""A link that ends sooner is made again with growing waits, as one that does not come up."""

FRAMES_PER_S = 15
"""Live frames sent of each camera, at most."""

MOST_BYTES = 1 << 20
"""The longest message taken from the control plane."""


def link_url(control_plane: str) -> str:
    """Where the link is, next to the control plane's HTTP."""
    scheme, _, rest = control_plane.partition("://")
    return f"{'wss' if scheme == 'https' else 'ws'}://{rest}/v1/edge/link"


class Leases:
    """Which cameras are watched, and until when (seconds of a clock that never steps)."""

    def __init__(self) -> None:
        self._until: dict[str, float] = {}

    def take(self, watch: Watch, now: float) -> None:
        self._until[watch.camera] = now + watch.lease_s

    def valid(self, camera: str, now: float) -> bool:
        return now < self._until.get(camera, 0.0)

    def count(self, now: float) -> int:
        """How many cameras are watched."""
        return sum(now < until for until in list(self._until.values()))

    def clear(self) -> None:
        self._until.clear()


class Link:
    """Holds the link. `hinted` is called when there is something to sync, with the hint if there was one; `status` for
    what is sent of the edge; `ordered` when there are camera orders to fetch. `clock` is one nobody sets."""

    def __init__(
        self,
        url: str,
        headers: Callable[[], Mapping[str, str]],
        *,
        hinted: Callable[[Hint | None], None],
        ordered: Callable[[], None],
        status: Callable[[], LinkStatus],
        quality: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._url = url
        self._clock = clock
        self._headers = headers
        self._hinted = hinted
        self._ordered = ordered
        self._status = status
        self._quality = quality
        self._backoff = Backoff(0.25, 4.0)
        self._stopping = threading.Event()
        self._leases = Leases()
        self._sights: LatestOfEach[Sight | None] = LatestOfEach()
        self._connection: ClientConnection | None = None

    def offer(self, sight: Sight) -> None:
        """Take what may be sent, if anybody watches that camera; never waits."""
        if self._leases.valid(sight.frame.camera, time.monotonic()):
            self._sights.put(sight.frame.camera, sight)

    def run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._hold()
            except (OSError, WebSocketException) as error:
                log.debug("no link: %s", type(error).__name__)
            self._leases.clear()
            self._stopping.wait(self._backoff.wait_s())

    def stop(self) -> None:
        self._stopping.set()
        if self._connection:
            self._connection.close()

    def _hold(self) -> None:
        with connect(
            self._url,
            subprotocols=[Subprotocol(wire.LINK_PROTOCOL)],
            additional_headers=self._headers(),
            compression=None,
            max_size=MOST_BYTES,
            open_timeout=5,
            close_timeout=1,
        ) as connection:
            bound_silence(connection.socket)
            self._connection = connection
            if self._stopping.is_set():
                # `stop` came before there was a connection to close.
                return
            up_since = self._clock()
            log.info("the link is up")
            # Hints may have been missed while there was no link.
            self._hinted(None)
            sender = threading.Thread(target=self._send, args=(connection,), name="link-sender", daemon=True)
            sender.start()
            try:
                for message in connection:
                    self._received(message)
            finally:
                self._connection = None
                connection.close()
                self._sights.put("", None)
                sender.join()
                if self._clock() - up_since >= STEADY_S:
                    self._backoff.reset()
                log.info("the link is down")

    def _received(self, message: str | bytes) -> None:
        try:
            value: LinkDown = wire.decode_text(message, LinkDown)  # type: ignore[arg-type]
        except Invalid as error:
            log.warning("a message on the link is not understood: %s", error)
            return
        if isinstance(value, Hint):
            self._hinted(value)
        elif isinstance(value, Ordered):
            self._ordered()
        else:
            self._leases.take(value, time.monotonic())

    def _send(self, connection: ClientConnection) -> None:
        """Send status and frames until the connection is closed."""
        next_status = 0.0
        try:
            while True:
                if time.monotonic() >= next_status:
                    connection.send(wire.encode_text(self._status()))
                    next_status = time.monotonic() + STATUS_EVERY_S
                sight = self._sights.take(next_status - time.monotonic())
                now = time.monotonic()
                if sight and self._leases.valid(sight.frame.camera, now):
                    connection.send(self._packed(sight))
                    self._stopping.wait(1 / (FRAMES_PER_S * max(1, self._leases.count(now))))
                elif self._connection is not connection:
                    return
        except ConnectionClosed:
            return

    def _packed(self, sight: Sight) -> bytes:
        header, picture = live(sight)
        return wire.pack_frame(header, images.jpeg(picture, self._quality))
