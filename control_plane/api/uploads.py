"""Uploads: streamed to disk while they are counted, then kept as a blob together with the row that names it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

from starlette.datastructures import FormData, UploadFile

from control_plane.api.forms import received_form
from control_plane.api.route import Call, Media
from control_plane.config import Config
from control_plane.plane import Plane
from control_plane.problems import TooLarge
from control_plane.store.blobs import Steady
from control_plane.store.db import Connection, new_id
from faces.errors import Invalid

FORM = "multipart/form-data"
FORMS = (FORM, "application/x-www-form-urlencoded")
FORM_OVERHEAD = 1 << 16
"""Bytes that a form may have beside its file."""

MOST_FIELDS = 20
FLAGS = ["true", "false", "1", "0"]
BLOCK = 1 << 20

Submit = Callable[[Connection, str, str, datetime], str]
"""Makes the row of a stored blob in the transaction given: (connection, blob, sha256, now) to the row's id."""


@dataclass(frozen=True, slots=True)
class Upload:
    """A file that was sent, and the texts that came with it in a form. None: there was no file."""

    file: Steady | None
    fields: dict[str, str]


def photo_limit(config: Config) -> int:
    return config.max_photo_bytes + FORM_OVERHEAD


def archive_limit(config: Config) -> int:
    return config.max_archive_bytes + FORM_OVERHEAD


def form(file: str, *needed: str, **fields: dict[str, Any]) -> dict[str, Media]:
    """A multipart form for the document: the name of its file, the fields that are `needed` beside it, and the schema
    of each field."""
    properties = {file: {"type": "string", "format": "binary"}, **fields}
    return {FORM: Media((FORM,), {"type": "object", "properties": properties, "required": [file, *needed]})}


def either(meaning: str) -> dict[str, Any]:
    """The schema of a field that `flag` reads."""
    return {"type": "string", "enum": FLAGS, "description": meaning}


@asynccontextmanager
async def upload(call: Call[Any, Any], field: str, raw: tuple[str, ...] = ()) -> AsyncIterator[Upload]:
    """The file in a form's `field`, or the whole body if its media type is one of `raw`; else there is none."""
    if call.media_type in raw:
        with call.plane.blobs.receiving() as received:
            await _receive(call, received)
            yield Upload(received if received.size else None, {})
    elif call.media_type in FORMS:
        with call.plane.blobs.receiving() as received:
            yield _of_form(await received_form(call.request, received, MOST_FIELDS), field, received)
    else:
        yield Upload(None, {})


async def keep(plane: Plane, kind: str, file: Steady, limit: int, submit: Submit) -> str:
    """Store a file as a blob and make its row; returns the row's id. Neither is left behind without the other."""

    def work() -> str:
        now = plane.clock()
        blob = f"{kind}/{new_id(now)}"
        try:
            if file.size > limit:
                raise TooLarge(f"the file is larger than {limit} bytes", remedy="Send a smaller one.")
            plane.blobs.adopt(blob, file)
            return plane.write_here(lambda connection: submit(connection, blob, file.sha256, now))
        except BaseException:
            plane.blobs.delete([blob])
            raise

    return await plane.run(work)


def flag(fields: dict[str, str], name: str) -> bool:
    """A form's field as a truth value; raises Invalid."""
    value = fields.get(name, "false").strip().lower()
    if value not in FLAGS:
        raise Invalid(f"{name} is neither true nor false")
    return value in ("true", "1")


def _of_form(sent: FormData, field: str, received: Steady) -> Upload:
    fields = {name: value for name, value in sent.items() if isinstance(value, str)}
    return Upload(received if isinstance(sent.get(field), UploadFile) else None, fields)


async def _receive(call: Call[Any, Any], received: Steady) -> None:
    """The body, a block at a time: each is a turn of a thread."""
    block = bytearray()
    async for chunk in call.request.stream():
        block += chunk
        if len(block) >= BLOCK or not chunk:
            await call.plane.run(partial(received.write, bytes(block)))
            block.clear()
