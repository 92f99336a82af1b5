"""Uploads: streamed to disk while they are counted, then kept as a blob together with the row that names it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from tempfile import SpooledTemporaryFile
from typing import IO, Any

from starlette.datastructures import FormData, UploadFile

from control_plane.api.route import Call, Media
from control_plane.config import Config
from control_plane.plane import Plane
from control_plane.problems import TooLarge
from control_plane.store.db import Connection, new_id
from faces.errors import Invalid

FORM = "multipart/form-data"
FORMS = (FORM, "application/x-www-form-urlencoded")
FORM_OVERHEAD = 1 << 16
"""Bytes that a form may have beside its file."""

MOST_FIELDS = 20
IN_MEMORY = 1 << 20
CHUNK = 1 << 18

Submit = Callable[[Connection, str, str, datetime], str]
"""Makes the row of a stored blob in the transaction given: (connection, blob, sha256, now) to the row's id."""


@dataclass(frozen=True, slots=True)
class Upload:
    """A file that was sent, and the texts that came with it in a form. None: there was no file."""

    file: IO[bytes] | None
    fields: dict[str, str]


def photo_limit(config: Config) -> int:
    return config.max_photo_bytes + FORM_OVERHEAD


def archive_limit(config: Config) -> int:
    return config.max_archive_bytes + FORM_OVERHEAD


def form(file: str, **fields: str) -> dict[str, Media]:
    """A multipart form for the document: the name of its file, and the meaning of each further field."""
    properties: dict[str, Any] = {file: {"type": "string", "format": "binary"}}
    properties |= {name: {"type": "string", "description": meaning} for name, meaning in fields.items()}
    return {FORM: Media((FORM,), {"type": "object", "properties": properties, "required": [file]})}


@asynccontextmanager
async def upload(call: Call[Any, Any], field: str, raw: tuple[str, ...] = ()) -> AsyncIterator[Upload]:
    """The file in a form's `field`, or the whole body if its media type is one of `raw`; else there is none."""
    if call.media_type in raw:
        with SpooledTemporaryFile(IN_MEMORY) as file:
            body = UploadFile(file)  # type: ignore[arg-type]
            async for chunk in call.request.stream():
                await body.write(chunk)
            yield Upload(file if file.tell() else None, {})
    elif call.media_type in FORMS:
        async with call.request.form(max_files=1, max_fields=MOST_FIELDS) as sent:
            yield _of_form(sent, field)
    else:
        yield Upload(None, {})


async def keep(plane: Plane, kind: str, file: IO[bytes], limit: int, submit: Submit) -> str:
    """Store a file as a blob and make its row; returns the row's id. Neither is left behind without the other."""

    def work() -> str:
        now = plane.clock()
        blob = f"{kind}/{new_id(now)}"
        try:
            digest = _copy(plane, blob, file, limit)
            return plane.write_here(lambda connection: submit(connection, blob, digest, now))
        except BaseException:
            plane.blobs.delete([blob])
            raise

    return await plane.run(work)


def flag(fields: dict[str, str], name: str) -> bool:
    """A form's field as a truth value; raises Invalid."""
    value = fields.get(name, "false").strip().lower()
    if value not in ("true", "1", "false", "0"):
        raise Invalid(f"{name} is neither true nor false")
    return value in ("true", "1")


def _of_form(sent: FormData, field: str) -> Upload:
    file = sent.get(field)
    fields = {name: value for name, value in sent.items() if isinstance(value, str)}
    return Upload(file.file if isinstance(file, UploadFile) else None, fields)


def _copy(plane: Plane, blob: str, file: IO[bytes], limit: int) -> str:
    """Copy a file into the blob store; returns its SHA-256. Raises TooLarge and keeps nothing."""
    digest, size = sha256(), 0
    file.seek(0)
    with plane.blobs.writing(blob) as kept:
        while chunk := file.read(CHUNK):
            size += len(chunk)
            if size > limit:
                raise TooLarge(f"the file is larger than {limit} bytes", remedy="Send a smaller one.")
            digest.update(chunk)
            kept.write(chunk)
    return digest.hexdigest()
