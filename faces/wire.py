"""What an edge and a control plane say to each other.

HTTP bodies are msgpack (`application/msgpack`), so that encodings and thumbnails travel as plain bytes. Every
request of an edge names itself and its version of the wire in headers. The WebSocket carries only what may be
lost: JSON texts, and live frames as binary (`pack_frame`).

    POST /v1/edge/join                     by a join token -> Joined
    POST /v1/edge/credential               -> Joined
    PUT  /v1/edges/{id}                    Hello -> Welcome
    GET  /v1/edge/galleries                -> list[Followed]
    GET  /v1/galleries/{id}/changes        ?after=R -> Page
    GET  /v1/galleries/{id}/snapshot       -> Snapshot head, then rows
    PUT  /v1/edge/galleries/{id}           Report -> 204
    POST /v1/edge/erased                   identity ids -> those of them that were erased
    GET  /v1/edge/orders                   -> list[CameraOrder]
    POST /v1/edge/orders/{id}              OrderOutcome -> 204
    POST /v1/events                        EventBatch -> Verdicts
    WS   /v1/edge/link                     down: Hint, Watch, Ordered; up: LinkStatus, frames
"""

from __future__ import annotations

import itertools
import struct
from collections.abc import Iterable, Iterator
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Final, Literal, TypeVar

import msgspec

from faces.errors import Invalid
from faces.events import Status
from faces.gallery import Key, Kind, Row

WIRE: Final = 1
"""The wire version spoken here. The control plane serves this one and the one before."""

MSGPACK: Final = "application/msgpack"
EDGE_HEADER: Final = "Rollcall-Edge"
WIRE_HEADER: Final = "Rollcall-Wire"

REQUEST_HEADER: Final = "X-Request-Id"
"""Names a request in the logs of whoever makes it and of whoever answers it."""
LINK_PROTOCOL: Final = "rollcall.edge.v1"
WATCH_PROTOCOL: Final = "rollcall.v1"
FRAMES_PROTOCOL: Final = "rollcall.frames.v1"
"""One camera's frames as binary (`pack_frame`), and nothing else."""


Signed64 = Annotated[int, msgspec.Meta(ge=-(1 << 63), le=(1 << 63) - 1)]
Count = Annotated[int, msgspec.Meta(ge=0, le=(1 << 63) - 1)]
"""Numbers of other programs, within what every database holds."""


class Position(msgspec.Struct, frozen=True):
    """How far a copy of a gallery has got, provably: its revision and the XOR of its row hashes (signed 64 bit)."""

    revision: Signed64
    checksum: Signed64


START: Final = Position(0, 0)


class Hello(msgspec.Struct, frozen=True, kw_only=True):
    """An edge introduces itself. `site` None: the default site."""

    name: str
    site: str | None = None
    version: str
    engine: str
    cameras: list[str]


class Welcome(msgspec.Struct, frozen=True, kw_only=True):
    """Who the control plane takes the edge for. `lease_days`: so long without a sync lets it admit people; 0: for ever;
    None: as the edge is set up. `probes`: the site keeps the encodings of strangers. `now` is the control plane's time
    when it said so. `renew`: the edge is to take another credential."""

    edge_id: str
    edge: str
    site_id: str
    site: str
    lease_days: float | None = None
    probes: bool = False
    now: datetime | None = None
    renew: bool = False


class Joined(msgspec.Struct, frozen=True, kw_only=True):
    """The site that an edge has joined, and its credential: the key that it calls by from now on."""

    site_id: str
    site: str
    key: str


class Followed(msgspec.Struct, frozen=True, kw_only=True):
    """A gallery that an edge follows, and where it stands. `model`: whose encodings it holds; None: those of every
    model, each edge goes by its own engine's."""

    id: str
    name: str
    kind: Kind
    position: Position
    model: str | None = None


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """Changes of a gallery from revision `after` up to `position`, each row at most once.

    `checksum` in `position` is that of a copy which stood at `after` and has applied this page. `more`: ask again.
    """

    gallery: str
    after: int
    position: Position
    put: list[Row]
    removed: list[Key]
    more: bool = False


class SnapshotHead(msgspec.Struct, frozen=True, kw_only=True):
    """The first value of a snapshot; `rows` rows follow, each framed by a 4-byte length."""

    gallery: str
    position: Position
    rows: int


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """An edge's report on one gallery: the position it has applied, or why it could not. `clock_offset_s` is how far
    its clock is ahead of the control plane's, as it has last measured."""

    position: Position
    error: str | None = None
    clock_offset_s: float | None = None

    @property
    def nothing(self) -> bool:
        """Whether the edge holds nothing of the gallery, and misses nothing: also said of one no longer followed."""
        return self.position == START and self.error is None


class EventBatch(msgspec.Struct, frozen=True):
    """Events, oldest first; of an edge with a backlog the newest few before them. Each is decoded on its own, so that
    a bad one is refused alone.

    `clock_offset_s` is how far the edge's clock is ahead of the control plane's, as it has last measured; None: it has
    not yet.
    """

    events: list[msgspec.Raw]
    clock_offset_s: float | None = None


class Verdict(msgspec.Struct, frozen=True):
    """What became of one event: stored, already there, or refused for a reason."""

    id: str
    outcome: Literal["stored", "known", "refused"]
    reason: str | None = None


class Verdicts(msgspec.Struct, frozen=True):
    """A verdict for each event of a batch, and the control plane's time when it said so."""

    verdicts: list[Verdict]
    now: datetime | None = None


class Hint(msgspec.Struct, frozen=True, tag="hint"):
    """Down the link: this gallery stands at this revision now."""

    gallery: str
    revision: int


class Watch(msgspec.Struct, frozen=True, tag="watch"):
    """Down the link: somebody watches this camera for the next `lease_s` seconds; 0 ends it."""

    camera: str
    lease_s: float


class Ordered(msgspec.Struct, frozen=True, tag="ordered"):
    """Down the link: there are camera orders to fetch."""


class OrderAction(StrEnum):
    """`PUT`: watch this camera, or watch it so from now on; `REMOVE`: no more; `LOOK`: show a picture of it."""

    PUT = "put"
    REMOVE = "remove"
    LOOK = "look"


class CameraOrder(msgspec.Struct, frozen=True, kw_only=True):
    """What an edge is to do with a camera. `settings` are keys of a `[[camera]]` beside its name, such as `source`; a
    look without a source is at the camera as it is watched."""

    id: str = ""
    action: OrderAction
    camera: str
    settings: dict[str, str] = {}


class OrderOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """How it went, in words for a person. `picture`: a JPEG, of a look that was done."""

    done: bool
    message: str = ""
    remedy: str = ""
    picture: bytes | None = None


class Funnel(msgspec.Struct, frozen=True, kw_only=True):
    """What became of the faces that a camera followed until they were gone, since the edge began to watch it.

    `recognised`: by a gallery, also one that denies. All others were not for one reason: they were `too_small`,
    `too_blurred` or `turned` away; `not_clear`: a second look found no face; `too_brief`: gone after fewer good looks
    than a decision needs; `no_candidate`: nobody enrolled is near; `not_near`: somebody is, but not near enough;
    `margin`: two are about equally near; `lease_expired`: recognised, but the edge may let nobody pass.
    """

    recognised: Count = 0
    too_small: Count = 0
    too_blurred: Count = 0
    turned: Count = 0
    not_clear: Count = 0
    too_brief: Count = 0
    no_candidate: Count = 0
    not_near: Count = 0
    margin: Count = 0
    lease_expired: Count = 0


class CameraStatus(msgspec.Struct, frozen=True, kw_only=True):
    """How one camera is. `dropped`: frames that the edge was too slow for, since it began to watch."""

    name: str
    up: bool
    fps: float
    width: Count = 0
    height: Count = 0
    dropped: Count = 0
    funnel: Funnel | None = None


class LinkStatus(msgspec.Struct, frozen=True, tag="status"):
    """Up the link, every few seconds: how the edge is."""

    cameras: list[CameraStatus]
    spooled: Annotated[int, msgspec.Meta(ge=0, le=(1 << 31) - 1)]


LinkDown = Hint | Watch | Ordered


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """One face of a live frame. `box` in pixels of the frame as sent."""

    box: tuple[int, int, int, int]
    status: Status
    name: str | None = None
    identity_id: str | None = None
    distance: float | None = None
    track: int | None = None


class FrameHeader(msgspec.Struct, frozen=True, kw_only=True, tag="frame"):
    """What is said of a live frame: one camera, when, how large, and the faces in it, most important first."""

    camera: str
    captured_at: datetime
    width: int
    height: int
    faces: list[Seen]
    site: str = ""
    edge: str = ""


MOST_ROW_BYTES: Final = 4 << 20
"""The longest row of a snapshot that is taken."""

T = TypeVar("T")

_LENGTH = struct.Struct(">I")


def encode(value: object) -> bytes:
    """A wire value as msgpack."""
    return msgspec.msgpack.encode(value)


def decode(data: bytes | memoryview, kind: type[T]) -> T:
    """The wire value of `encode`; raises Invalid, naming the field, for anything else."""
    try:
        return msgspec.msgpack.decode(data, type=kind)
    except (msgspec.DecodeError, UnicodeError, OverflowError, RecursionError) as error:
        raise Invalid(f"not a {kind.__name__}: {error}") from error


def encode_text(value: object) -> str:
    """A link or stream message as JSON."""
    return msgspec.json.encode(value).decode()


def decode_text(data: str | bytes, kind: type[T]) -> T:
    """The message of `encode_text`; raises Invalid for anything else."""
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise Invalid(f"not a {getattr(kind, '__name__', kind)}: {error}") from error


def pack_frame(header: FrameHeader, jpeg: bytes) -> bytes:
    """A live frame: 4-byte big-endian header length, JSON header, JPEG."""
    head = msgspec.json.encode(header)
    return b"".join((_LENGTH.pack(len(head)), head, jpeg))


def unpack_frame(message: bytes) -> tuple[FrameHeader, memoryview]:
    """Header and JPEG of `pack_frame`; raises Invalid."""
    if len(message) < 4 or len(message) < 4 + _LENGTH.unpack_from(message)[0]:
        raise Invalid("a frame shorter than its header")
    end = 4 + _LENGTH.unpack_from(message)[0]
    return decode_text(message[4:end], FrameHeader), memoryview(message)[end:]


def pack_rows(head: SnapshotHead, rows: Iterable[Row]) -> Iterator[bytes]:
    """A snapshot as a stream of length-framed values: the head, then every row."""
    for value in itertools.chain((head,), rows):
        data = msgspec.msgpack.encode(value)
        yield _LENGTH.pack(len(data)) + data


class SnapshotReader:
    """The other end of `pack_rows`: bytes in, rows out, in any cutting of the stream."""

    def __init__(self) -> None:
        self.head: SnapshotHead | None = None
        self._pending = b""
        self._row = msgspec.msgpack.Decoder(Row)
        self._seen = 0

    def feed(self, data: bytes) -> list[Row]:
        """Rows that `data` completes. Raises Invalid for a stream that is no snapshot."""
        pending = memoryview(self._pending + data)
        rows: list[Row] = []
        start = 0
        while len(pending) - start >= 4:
            size = _LENGTH.unpack_from(pending, start)[0]
            if size > MOST_ROW_BYTES:
                raise Invalid(f"a row of {size} bytes")
            end = start + 4 + size
            if len(pending) < end:
                break
            value = pending[start + 4 : end]
            start = end
            if self.head is None:
                self.head = decode(value, SnapshotHead)
            else:
                rows.append(self._decode_row(value))
        self._pending = bytes(pending[start:])
        return rows

    def _decode_row(self, value: memoryview) -> Row:
        try:
            row: Row = self._row.decode(value)
        except msgspec.DecodeError as error:
            raise Invalid(f"not a gallery row: {error}") from error
        self._seen += 1
        return row

    @property
    def complete(self) -> bool:
        """Whether every row that the head announced has arrived."""
        return self.head is not None and self._seen == self.head.rows and not self._pending


def read_snapshot(pieces: Iterable[bytes]) -> tuple[SnapshotHead, Iterator[Row]]:
    """The head of a snapshot, and its rows as they arrive; both raise Invalid for a stream that is none, or is cut
    short."""
    reader, pieces = SnapshotReader(), iter(pieces)
    first: list[Row] = []
    while reader.head is None:
        piece = next(pieces, None)
        if piece is None:
            raise Invalid("the snapshot is incomplete")
        first = reader.feed(piece)

    def rows() -> Iterator[Row]:
        yield from first
        for piece in pieces:
            yield from reader.feed(piece)
        if not reader.complete:
            raise Invalid("the snapshot is incomplete")

    return reader.head, rows()
