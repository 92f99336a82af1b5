"""All that is kept of a person, as one ZIP for that person."""

from __future__ import annotations

import contextlib
import zipfile
from collections.abc import AsyncIterator
from datetime import datetime
from functools import partial
from typing import IO, cast

import msgspec
from starlette.responses import Response, StreamingResponse

from control_plane.api.imports import ZIP
from control_plane.api.pictures import kind_of
from control_plane.api.route import Call, Media, Route
from control_plane.auth import AUDIT_READ, PEOPLE_WRITE
from control_plane.plane import Plane
from control_plane.store import audit, corrections, enrollments, events, galleries, identities, members
from control_plane.store.audit import Wanted
from control_plane.store.chain import Row
from control_plane.store.db import Connection
from control_plane.store.enrollments import Enrollment
from control_plane.store.events import LoggedEvent
from control_plane.store.galleries import Gallery
from control_plane.store.reach import Reach
from faces.encoding import from_bytes
from faces.errors import NotFound, Reason
from faces.gallery import EncodingRow

PAGE = 500
ENDINGS = {"image/jpeg": "jpg", "image/png": "png", "image/webp": "webp"}


class ExportedEncoding(msgspec.Struct, frozen=True, kw_only=True):
    """`numbers` are those that `file` holds as little-endian float32. `against`: it is of somebody else, who was taken
    for the person."""

    id: str
    model: str
    against: bool
    file: str
    numbers: list[float]


class Sink:
    """A file that a ZIP is written into, and taken from piece by piece."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    def write(self, data: bytes) -> int:
        self._pieces.append(bytes(data))
        return len(data)

    def flush(self) -> None: ...

    def taken(self) -> bytes:
        pieces, self._pieces = self._pieces, []
        return b"".join(pieces)


async def export(call: Call[None, None]) -> Response:
    """All that is kept of a person, as a ZIP: the record with its consent, photos, encodings, enrollments, corrections,
    galleries, events with their small pictures, and what the audit log says of them, where the caller may read it."""
    identity_id, plane = call.path(), call.plane
    _, head = await plane.read(lambda c: (identities.get(c, identity_id), audit.head(c)))
    may_read = call.caller.sites is None and call.caller.may(AUDIT_READ)
    files = _files(plane, call.reach, identity_id, audited=head.position if may_read else None)
    headers = {"Content-Disposition": f'attachment; filename="{identity_id}.zip"'}
    return StreamingResponse(_zipped(plane, files, plane.clock()), 200, headers, ZIP)


async def _zipped(plane: Plane, files: AsyncIterator[tuple[str, bytes]], now: datetime) -> AsyncIterator[bytes]:
    """Files as the bytes of a ZIP, each as soon as it is there."""
    sink = Sink()
    archive = zipfile.ZipFile(cast(IO[bytes], sink), "w")
    async for name, data in files:
        info = zipfile.ZipInfo(name, now.timetuple()[:6])
        info.external_attr = 0o600 << 16
        info.compress_type = zipfile.ZIP_STORED if name.endswith(".jpg") else zipfile.ZIP_DEFLATED
        await plane.run(partial(archive.writestr, info, data))
        yield sink.taken()
    archive.close()
    yield sink.taken()


async def _files(
    plane: Plane, reach: Reach, identity_id: str, *, audited: int | None
) -> AsyncIterator[tuple[str, bytes]]:
    """Names and contents, one read at a time; the audit log up to this position, so that an export that takes long does
    not tell of itself. None: without it."""
    person = await plane.read(lambda c: reach.shown(c, identities.get(c, identity_id)))
    yield "identity.json", _json(person)
    yield "galleries.json", _json(await plane.read(partial(_galleries, ids=person.galleries)))
    photos = await plane.read(lambda c: identities.photos_of(c, identity_id))
    yield "photos.json", _json(photos)
    for photo in photos:
        # Somebody may erase it meanwhile.
        with contextlib.suppress(NotFound, FileNotFoundError):
            blob = await plane.read(partial(identities.photo_blob, identity_id=identity_id, photo_id=photo.id))
            data = await plane.run(partial(plane.blobs.get, blob))
            yield f"photos/{photo.id}.{ENDINGS.get(kind_of(data), 'bin')}", data
    rows = [row for row, _ in await plane.read(lambda c: members.rows(c, identity_id)) if isinstance(row, EncodingRow)]
    yield "encodings.json", _json([_encoding(row) for row in rows])
    for row in rows:
        yield _file_of(row), row.data
    yield "corrections.json", _json(await plane.read(lambda c: corrections.listing(c, identity_id)))
    yield "enrollments.json", _json(await plane.read(partial(_enrollments, identity_id=identity_id)))
    async for name, data in _events(plane, reach, identity_id):
        yield name, data
    if audited is not None:
        yield "audit.ndjson", _lines(await plane.read(partial(_audit, identity_id=identity_id, before=audited + 1)))


async def _events(plane: Plane, reach: Reach, identity_id: str) -> AsyncIterator[tuple[str, bytes]]:
    wanted, after, number = events.Wanted(identity_id=identity_id, sites=reach.sites), 0, 0
    while found := await plane.read(partial(events.listing, after=after, limit=PAGE, wanted=wanted)):
        after, number = found[-1].position, number + 1
        yield f"events/{number:04}.ndjson", _lines(found)
        for event in found:
            with contextlib.suppress(NotFound):
                yield f"thumbnails/{event.id}.jpg", await plane.read(partial(events.thumbnail, event_id=event.id))


def _galleries(connection: Connection, ids: list[str]) -> list[Gallery]:
    return [galleries.get(connection, gallery_id) for gallery_id in ids]


def _enrollments(connection: Connection, identity_id: str) -> list[Enrollment]:
    found: list[Enrollment] = []
    while page := enrollments.listing(
        connection, after=found[-1].id if found else "", limit=PAGE, identity_id=identity_id
    ):
        found += page
    return [_without_others(one) for one in found]


def _without_others(one: Enrollment) -> Enrollment:
    """An enrollment without the name of whom its photo was like."""
    if one.reason is not Reason.LOOK_ALIKE:
        return one
    return msgspec.structs.replace(one, message=None, detail=None)


def _audit(connection: Connection, identity_id: str, before: int) -> list[Row]:
    found: dict[int, Row] = {}
    for one in identities.tree(connection, identity_id):
        after, wanted = 0, Wanted(concerning=one)
        while page := audit.listing(connection, after=after, before=before, limit=PAGE, wanted=wanted):
            found |= {row.position: row for row in page}
            after = page[-1].position
    return [found[position] for position in sorted(found)]


def _encoding(row: EncodingRow) -> ExportedEncoding:
    numbers: list[float] = from_bytes(row.data).tolist()
    return ExportedEncoding(id=row.id, model=row.model, against=row.against, file=_file_of(row), numbers=numbers)


def _file_of(row: EncodingRow) -> str:
    return f"encodings/{row.id}.f32"


def _json(value: object) -> bytes:
    return msgspec.json.format(msgspec.json.encode(value))


def _lines(rows: list[Row] | list[LoggedEvent]) -> bytes:
    return msgspec.json.Encoder().encode_lines(rows)


ROUTES = (
    Route(
        "GET",
        "/v1/identities/{id}/export",
        export,
        PEOPLE_WRITE,
        {200: Media((ZIP,))},
        within={"id": Reach.whole},
        audit="identity.export",
    ),
)
