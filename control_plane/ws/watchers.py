"""The stream: live frames and events for dashboards, and the original service's messages for its clients."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Annotated

import msgspec
from starlette.websockets import WebSocket

from control_plane.auth import EVENTS_READ, Caller
from control_plane.fanout import Lens, Mailbox
from control_plane.feed import News, event_message
from control_plane.parts import first_of
from control_plane.plane import KNOWN_WITHIN_S, Plane
from control_plane.problems import Forbidden
from control_plane.store import events
from control_plane.store.events import Wanted
from control_plane.store.sites import DEFAULT_SITE, PlacedCamera
from control_plane.ws.progress import Progress
from control_plane.ws.session import looked, received, send, told_by_code, while_valid
from faces.errors import Invalid, NotFound
from faces.wire import FRAMES_PROTOCOL, WATCH_PROTOCOL, decode_text, encode_text

PAGE = 200
SLICE = 20
"""Events that one watcher is sent before others have their turn: many who come back at once, and ask for what they
missed, hold up nobody's frames."""

WATCHED = "edge.watch_camera"
"""What the audit log calls it."""

MOST_LENSES = 64
LONGEST_MESSAGE = 4096


Fps = Annotated[float, msgspec.Meta(ge=0.1, le=60)]


class WatchCamera(msgspec.Struct, frozen=True, kw_only=True, tag="watch"):
    """Up: send me this camera's frames, so many a second at most; None: all there are."""

    edge: str
    camera: str
    fps: Fps | None = None


class Unwatch(msgspec.Struct, frozen=True, kw_only=True, tag="unwatch"):
    """Up: no more frames."""


class FollowEvents(msgspec.Struct, frozen=True, kw_only=True, tag="events"):
    """Up: send me all events behind position `after`, and those to come; null: those to come only."""

    after: int | None = None


class FollowImports(msgspec.Struct, frozen=True, kw_only=True, tag="imports"):
    """Up: tell me how imports get on, from now on."""


class Cameras(msgspec.Struct, frozen=True, tag="cameras"):
    """Down: which cameras there are; first of all, and whenever that changes."""

    cameras: tuple[PlacedCamera, ...]


Asked = WatchCamera | Unwatch | FollowEvents | FollowImports


async def stream(websocket: WebSocket, plane: Plane, caller: Caller) -> None:
    """One watcher, from its handshake to its end. Whoever offers none of our subprotocols is the original's client."""
    offered = websocket.scope["subprotocols"]
    spoken = next((protocol for protocol in (WATCH_PROTOCOL, FRAMES_PROTOCOL) if protocol in offered), None)
    watcher: Watcher | FramesWatcher
    if spoken == WATCH_PROTOCOL:
        watcher = Watcher(websocket, plane, caller)
    else:
        asked = AskedFrames.read(websocket.query_params)
        watcher = FramesWatcher(websocket, plane, caller, asked, binary=spoken is not None)
    await websocket.accept(spoken)
    async with told_by_code(websocket):
        await while_valid(plane, caller, EVENTS_READ, watcher.run())


class AskedFrames(msgspec.Struct, frozen=True):
    """In the URL: which camera's frames, so many a second at most."""

    camera: str | None = None
    fps: Fps | None = None

    @classmethod
    def read(cls, query: Mapping[str, str]) -> AskedFrames:
        """Raises Invalid."""
        try:
            return msgspec.convert(dict(query), cls, strict=False)
        except msgspec.ValidationError as error:
            raise Invalid(f"in the URL: {error}") from error


class FramesWatcher:
    """A client of the original, or one that takes the same as `binary`: a message a frame of one camera. What it sends
    is ignored."""

    def __init__(self, websocket: WebSocket, plane: Plane, caller: Caller, asked: AskedFrames, *, binary: bool) -> None:
        self._websocket = websocket
        self._plane = plane
        self._caller = caller
        self._camera = asked.camera
        self._fps = asked.fps
        self._binary = binary
        self._lens: Lens | None = None
        self._wake = asyncio.Event()
        self._mailbox = Mailbox(self._wake.set)

    async def run(self) -> None:
        try:
            with self._plane.feed.listening(self._hear):
                self._choose()
                await first_of(self._pump(), self._ignore())
        finally:
            self._watch(None)

    def _hear(self, before: News) -> None:
        if self._plane.feed.news.cameras is not before.cameras:
            self._choose()

    def _choose(self) -> None:
        """Watch the camera asked for, else the first of the default site (for a key bound to sites: of those), as soon
        as there is one."""
        cameras = visible(self._plane.feed.news.cameras, self._caller)
        homes = self._caller.sites or {DEFAULT_SITE}
        fitting = (c for c in cameras if (c.site_id in homes if self._camera is None else c.name == self._camera))
        chosen = next(fitting, None)
        self._watch(None if chosen is None else Lens(chosen.edge_id, chosen.name))

    def _watch(self, lens: Lens | None) -> None:
        if lens == self._lens:
            return
        if self._lens is not None:
            self._plane.fanout.unwatch(self._mailbox, [self._lens])
        if lens is not None:
            looked(self._websocket, self._plane, self._caller, WATCHED, lens.edge)
            self._plane.fanout.watch(self._mailbox, lens, self._fps)
        self._lens = lens

    async def _pump(self) -> None:
        while True:
            self._wake.clear()
            for frame in self._mailbox.take():
                await send(self._websocket, frame.packed if self._binary else frame.original)
            await self._wake.wait()

    async def _ignore(self) -> None:
        while True:
            await received(self._websocket)


class Watcher:
    """A dashboard: frames of the cameras it watches, newest wins, and events by cursor, none skipped."""

    def __init__(self, websocket: WebSocket, plane: Plane, caller: Caller) -> None:
        self._websocket = websocket
        self._plane = plane
        self._caller = caller
        self._lenses: set[Lens] = set()
        self._told: set[Lens] = set()
        self._cursor: int | None = None
        self._cameras: tuple[PlacedCamera, ...] | None = None
        self._wake = asyncio.Event()
        self._mailbox = Mailbox(self._wake.set)
        self._progress = Progress(plane, self._wake.set)

    async def run(self) -> None:
        try:
            with self._plane.feed.listening(self._hear):
                await first_of(self._pump(), self._listen())
        finally:
            self._progress.stop()
            self._plane.fanout.unwatch(self._mailbox, self._lenses)

    def _hear(self, before: News) -> None:
        # There are many watchers, and most commits are nothing to them.
        news = self._plane.feed.news
        if self._progress.followed or news.head != before.head or news.cameras is not before.cameras:
            self._wake.set()

    async def _listen(self) -> None:
        while True:
            message = await received(self._websocket)
            if len(message) > LONGEST_MESSAGE:
                raise Invalid(f"a message is longer than {LONGEST_MESSAGE}")
            asked: Asked = decode_text(message, Asked)  # type: ignore[arg-type]
            if isinstance(asked, WatchCamera):
                await self._watch(Lens(asked.edge, asked.camera), asked.fps)
            elif isinstance(asked, Unwatch):
                self._plane.fanout.unwatch(self._mailbox, self._lenses)
                self._lenses.clear()
            elif isinstance(asked, FollowImports):
                if self._caller.sites is not None:
                    raise Forbidden("who is bound to sites may not follow imports")
                self._progress.follow()
            else:
                await self._follow(asked.after)

    async def _watch(self, lens: Lens, fps: float | None) -> None:
        if len(self._lenses) >= MOST_LENSES:
            raise Invalid(f"at most {MOST_LENSES} cameras are watched at once")

        async def known() -> bool | None:
            place, sites = self._plane.feed.news.places.get(lens.edge), self._caller.sites
            return (place is not None and (sites is None or place in sites)) or None

        # Whoever asks may know of a new edge from another process, or from the database.
        if not await self._plane.feed.until(known, KNOWN_WITHIN_S):
            raise NotFound(f"there is no edge {lens.edge[:64]!r}")
        self._tell(lens)
        self._lenses.add(lens)
        self._plane.fanout.watch(self._mailbox, lens, fps)

    def _tell(self, lens: Lens) -> None:
        """Have the audit log told of each camera once a socket; of very many, whose names may be made up, only of
        which edges they are."""
        told = lens if len(self._told) < MOST_LENSES else Lens(lens.edge, "")
        if not self._told & {lens, told}:
            looked(self._websocket, self._plane, self._caller, WATCHED, lens.edge)
            self._told.add(told)

    async def _follow(self, after: int | None) -> None:
        # The log itself is asked: a client that was quicker than the feed may be ahead of its news.
        head = await self._plane.read(events.head)
        self._cursor = head if after is None else min(max(after, 0), head)
        self._wake.set()

    async def _pump(self) -> None:
        while True:
            self._wake.clear()
            await self._tell_cameras()
            await self._tell_events()
            for message in await self._progress.messages():
                await send(self._websocket, message)
            for frame in self._mailbox.take():
                await send(self._websocket, frame.packed)
            if self._cursor is None or self._cursor >= self._plane.feed.news.head:
                await self._wake.wait()

    async def _tell_cameras(self) -> None:
        cameras = visible(self._plane.feed.news.cameras, self._caller)
        if cameras != self._cameras:
            self._cameras = cameras
            await send(self._websocket, encode_text(Cameras(cameras)))

    async def _tell_events(self) -> None:
        """Send the next page of events, if there is one."""
        cursor, news = self._cursor, self._plane.feed.news
        if cursor is None or cursor >= news.head:
            return
        if cursor == news.fresh.after and self._caller.sites is None:
            messages, upto = news.fresh.messages, news.fresh.upto
        else:
            messages, upto = await self._page(cursor, news.head)
        for number, message in enumerate(messages, 1):
            await send(self._websocket, message)
            if number % SLICE == 0:
                await asyncio.sleep(0)
        # The client may have asked for another place in the log meanwhile.
        if self._cursor == cursor:
            self._cursor = upto

    async def _page(self, cursor: int, head: int) -> tuple[tuple[str, ...], int]:
        wanted = Wanted(sites=self._caller.sites)
        found = await self._plane.read(
            lambda c: events.listing(c, after=cursor, before=head + 1, limit=PAGE, wanted=wanted)
        )
        return tuple(event_message(e) for e in found), found[-1].position if found else head


def visible(cameras: tuple[PlacedCamera, ...], caller: Caller) -> tuple[PlacedCamera, ...]:
    """Those of the cameras that the caller may see."""
    return cameras if caller.sites is None else tuple(c for c in cameras if c.site_id in caller.sites)
