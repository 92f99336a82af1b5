from __future__ import annotations

import base64
import json
import threading
from collections.abc import Callable
from datetime import UTC, datetime

import numpy as np
from websockets.sync.server import ServerConnection, serve

from edge.frames import Frame, Sight
from edge.stream import Stream, message
from faces.engine import images
from faces.events import Status
from faces.wire import Seen

NOON = datetime(2025, 6, 1, 12, 0, 0, 900_000, tzinfo=UTC)
ADA = Seen(box=(10, 20, 50, 60), status=Status.PASS, name="Ada", identity_id="i1", distance=0.412345, track=1)
STRANGER = Seen(box=(70, 20, 90, 60), status=Status.REJECT, distance=0.81, track=2)
NEW = Seen(box=(1, 2, 3, 4), status=Status.REJECT, track=3)


def sight(*seen: Seen) -> Sight:
    return Sight(Frame("door", 1, NOON, 0.0, np.zeros((36, 64, 3), np.uint8)), seen, ())


def test_the_first_face_stands_in_the_original_s_fields_and_all_in_faces() -> None:
    ada = {"name": "Ada", "distance": 0.4123, "status": "PASS", "box": [10, 20, 50, 60]}
    stranger = {"name": "UNKNOWN", "distance": 0.81, "status": "REJECT", "box": [70, 20, 90, 60]}
    new = {"name": "UNKNOWN", "distance": None, "status": "REJECT", "box": [1, 2, 3, 4]}
    assert message(sight(ADA, STRANGER, NEW), b"jpeg") == {
        "type": "face_event",
        **ada,
        "timestamp": int(NOON.timestamp()),
        "frame": base64.b64encode(b"jpeg").decode(),
        "camera": "door",
        "faces": [ada, stranger, new],
    }


def test_a_frame_without_a_face_says_so() -> None:
    said = message(sight(), b"")
    assert (said["name"], said["distance"], said["status"], said["box"]) == (None, None, "NO_FACE", None)
    assert said["faces"] == []


def test_frames_are_pushed_to_a_server_that_sends_on_what_others_say(until: Callable[..., None]) -> None:
    received: list[str | bytes] = []

    def hold(connection: ServerConnection) -> None:
        for text in connection:
            received.append(text)
            # As the original's server does with what others push: unread, it would fill up.
            connection.send("x" * 200_000)

    with serve(hold, "127.0.0.1", 0) as server:
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        stream = Stream(f"ws://127.0.0.1:{server.socket.getsockname()[1]}/ws/face-stream", 70)
        pushing = threading.Thread(target=stream.run)
        pushing.start()
        until(lambda: stream.offer(sight(ADA)) or len(received) > 60)
        stream.stop()
        pushing.join(10)
        assert not pushing.is_alive()
        server.shutdown()
        serving.join(10)
    said = json.loads(received[0])
    assert (said["type"], said["name"], said["timestamp"]) == ("face_event", "Ada", int(NOON.timestamp()))
    assert images.load(base64.b64decode(said["frame"])).shape == (36, 64, 3)
