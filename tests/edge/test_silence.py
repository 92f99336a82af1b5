from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime

import numpy as np
import pytest
from websockets.sync.server import ServerConnection, serve
from websockets.typing import Subprotocol

from edge import silence
from edge.frames import Frame, Sight
from edge.link import Link
from edge.stream import Stream
from faces import wire
from faces.wire import LinkStatus, Watch

NOON = datetime(2025, 6, 1, 12, 0, tzinfo=UTC)


def watched_link(url: str) -> Link:
    status = LinkStatus(cameras=[], spooled=0)
    return Link(url, dict, hinted=lambda _: None, ordered=lambda: None, status=lambda: status, quality=100)


def stream(url: str) -> Stream:
    return Stream(url, quality=100)


@pytest.mark.parametrize("part", [watched_link, stream])
def test_a_line_that_dies_while_frames_are_sent_is_given_up(
    part: Callable[[str], Link | Stream], until: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(silence, "SILENT_MS", 500)
    connections, over = list[ServerConnection](), threading.Event()

    def hold(connection: ServerConnection) -> None:
        """Read nothing, so that nothing more is taken in once all that lies between is full."""
        connections.append(connection)
        over.wait(60)

    protocol = [Subprotocol(wire.LINK_PROTOCOL)] if part is watched_link else None
    server = serve(hold, "127.0.0.1", 0, subprotocols=protocol, compression=None, max_size=None, close_timeout=0.1)
    serving = threading.Thread(target=server.serve_forever)
    serving.start()
    sender = part(f"ws://127.0.0.1:{server.socket.getsockname()[1]}/")
    sending = threading.Thread(target=sender.run)
    sending.start()
    picture = np.random.default_rng(1).integers(0, 255, (1080, 1920, 3), np.uint8)
    try:
        until(lambda: connections)
        if isinstance(sender, Link):
            sender._leases.take(Watch("door", 60.0), time.monotonic())
        until(lambda: sender.offer(Sight(Frame("door", 1, NOON, 0.0, picture), (), ())) or len(connections) > 1, 60)
    finally:
        over.set()
        server.shutdown()
        sender.stop()
        sending.join(10)
        serving.join(10)
    assert not sending.is_alive()
