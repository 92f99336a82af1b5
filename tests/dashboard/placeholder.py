"""A control plane filled with drawn faces and made-up people: what screenshots and checks of pages may show."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

import cv2
import numpy as np
from websockets.exceptions import ConnectionClosed

from control_plane.app import DASHBOARD
from control_plane.store import alarms, schema, sites
from control_plane.store.alarms import AlarmKind
from control_plane.store.db import Database, utcnow
from faces import wire
from faces.events import Event, EventKind, Status
from faces.gallery import Kind
from faces.wire import CameraStatus, FrameHeader, Funnel, LinkStatus, Seen
from tests.conftest import NOW
from tests.control_plane.conftest import Edge, Server, event

PAGES = re.findall(r'{ name: "(\w+)"', (DASHBOARD / "pages.js").read_text())
NAMES = (
    "Ann Lee",
    "Bo Tanaka",
    "Chidi Okafor",
    "Dana Weiss",
    "Élodie Martin",
    "Farid Aziz",
    "Greta Lind",
    "Hugo Costa",
)
PLACES = {
    "Harbour": ("Main door", "Loading bay", "Stairs"),
    "North gate": ("Gate", "Car park"),
    "Workshop": ("Entrance",),
}
EVENTS = 70
FUNNEL = Funnel(recognised=211, too_blurred=14, no_candidate=9, not_near=2)
SKIN = ((205, 170, 140), (120, 85, 65), (235, 200, 175), (160, 120, 90))


def face(seed: int, size: int = 112) -> np.ndarray[tuple[int, int, int], np.dtype[np.uint8]]:
    """A drawn head and shoulders of nobody, RGB."""
    random = Random(seed)
    back = [random.randint(120, 205) for _ in range(3)]
    picture = np.full((size, size, 3), back, np.uint8)
    unit = size / 112

    def oval(x: float, y: float, across: float, down: float, colour: tuple[int, ...]) -> None:
        centre, axes = (round(x * unit), round(y * unit)), (round(across * unit), round(down * unit))
        cv2.ellipse(picture, centre, axes, 0, 0, 360, colour, -1, cv2.LINE_AA)

    coat = tuple(random.randint(30, 150) for _ in range(3))
    hair = tuple(random.randint(20, 90) for _ in range(3))
    skin = SKIN[seed % len(SKIN)]
    oval(56, 122, 46, 40, coat)
    oval(56, 46, 27, 30, hair)
    oval(56, 54, 22, 27, skin)
    return picture


def jpeg(picture: np.ndarray[tuple[int, int, int], np.dtype[np.uint8]]) -> bytes:
    return cv2.imencode(".jpg", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))[1].tobytes()


@contextmanager
def filled(folder: Path) -> Iterator[Server]:
    """A control plane with people, sites, edges that are linked and send frames, events and an alarm."""
    database = Database(f"sqlite:///{folder / 'rollcall.db'}")
    schema.migrate(database, NOW)
    server = Server(database, folder)
    try:
        with ExitStack() as open_links:
            people = _people(server)
            edges = _edges(server)
            _events(edges, people)
            with database.write() as connection:
                alarms.sound(
                    connection,
                    AlarmKind.EDGE_DIVERGED,
                    "placeholder",
                    "The gallery was taken anew.",
                    utcnow(),
                    edge_id=edges[0][0].id,
                )
            for edge, cameras in edges:
                open_links.enter_context(_live(edge, cameras, people))
            yield server
    finally:
        server.stop()
        database.close()


def _people(server: Server) -> dict[str, str]:
    people = {name: server.person(name, photos=2) for name in NAMES}
    for blob in (server.config.data_dir / "blobs" / "photos").rglob("*"):
        if blob.is_file():
            blob.write_bytes(jpeg(face(sum(blob.name.encode()), 240)))
    for name, kind in (("Not to be let in", Kind.DENY), ("Visitors", Kind.ALLOW)):
        server.post("/v1/galleries", json={"name": name, "kind": kind})
    return people


def _edges(server: Server) -> list[tuple[Edge, tuple[str, ...]]]:
    with server.database.write() as connection:
        for name in PLACES:
            sites.create(connection, name, ["default"], utcnow())
    return [
        (server.edge(f"edge-{number}", cameras, site), cameras)
        for number, (site, cameras) in enumerate(PLACES.items(), start=1)
    ]


def _events(edges: list[tuple[Edge, tuple[str, ...]]], people: dict[str, str]) -> None:
    random, now = Random(1), datetime.now(UTC)
    for number in range(EVENTS):
        edge, cameras = random.choice(edges)
        at = now - timedelta(seconds=(EVENTS - number) * 41)
        edge.send(_event(random, number, random.choice(cameras), at, people))


def _event(random: Random, number: int, camera: str, at: datetime, people: dict[str, str]) -> Event:
    about = {
        "camera": camera,
        "captured_at": at,
        "engine": "sface",
        "threshold": 0.45,
        "gallery_id": "default",
        "gallery_revision": 9,
    }
    kind = random.random()
    if kind < 0.72:
        index = random.randrange(len(NAMES))
        name = NAMES[index]
        distance = round(random.uniform(0.16, 0.41), 3)
        return event(
            name=name,
            identity_id=people[name],
            distance=distance,
            runner_up_distance=0.78,
            thumbnail=jpeg(face(index)),
            **about,
        )
    if kind < 0.92:
        distance = round(random.uniform(0.6, 0.9), 3)
        return event(
            name=None,
            identity_id=None,
            status=Status.REJECT,
            distance=distance,
            thumbnail=jpeg(face(100 + number)),
            **about,
        )
    what = random.choice([EventKind.CAMERA_DARK, EventKind.CAMERA_CLEAR])
    return event(
        kind=what,
        camera=camera,
        captured_at=at,
        status=None,
        name=None,
        identity_id=None,
        distance=None,
        box=None,
        thumbnail=None,
    )


@contextmanager
def _live(edge: Edge, cameras: tuple[str, ...], people: dict[str, str]) -> Iterator[None]:
    """The edge's link, with its status and a frame of each camera every so often."""
    stop = threading.Event()
    frame, seen = _scene(people)

    def run() -> None:
        with edge.link() as link:
            link.send(
                wire.encode_text(
                    LinkStatus([CameraStatus(name=name, up=True, fps=14.6, funnel=FUNNEL) for name in cameras], 0)
                )
            )
            while not stop.wait(0.1):
                for name in cameras:
                    header = FrameHeader(camera=name, captured_at=datetime.now(UTC), width=960, height=540, faces=seen)
                    try:
                        link.send(wire.pack_frame(header, frame))
                    except ConnectionClosed:
                        return

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _scene(people: dict[str, str]) -> tuple[bytes, list[Seen]]:
    """A drawn room with two drawn people in it."""
    room = np.full((540, 960, 3), (178, 188, 192), np.uint8)
    room[400:] = (150, 150, 146)
    cv2.rectangle(room, (60, 60), (330, 400), (140, 152, 158), -1)
    cv2.rectangle(room, (640, 90), (880, 300), (205, 216, 222), -1)
    seen = []
    for index, (x, size) in enumerate(((330, 230), (600, 190))):
        figure = face(index, size)
        mask = np.any(figure != figure[0, 0], axis=2)
        top = 400 - size // 2
        room[top : top + size, x : x + size][mask] = figure[mask]
        box = (x + round(size * 0.27), top + round(size * 0.2), x + round(size * 0.73), top + round(size * 0.74))
        name = NAMES[index] if index == 0 else None
        seen.append(
            Seen(
                box=box,
                status=Status.PASS if name else Status.REJECT,
                name=name,
                identity_id=people[name] if name else None,
                distance=0.21 if name else 0.74,
            )
        )
    return jpeg(room), seen
