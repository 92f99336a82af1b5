"""Forms whose file goes straight to where it is kept: the framework's own way leaves it in a temporary file, plain."""

from __future__ import annotations

from typing import Any

from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from control_plane.store.blobs import Steady


class _Into:
    """The part of a file that the parser uses."""

    def __init__(self, received: Steady) -> None:
        self._received = received

    def write(self, data: bytes) -> None:
        self._received.write(data)

    def seek(self, _offset: int) -> None:
        pass

    def close(self) -> None:
        pass


class _Parser(MultiPartParser):
    def __init__(self, request: Request, received: Steady, most_fields: int) -> None:
        super().__init__(request.headers, request.stream(), max_files=1, max_fields=most_fields)
        self._into: Any = _Into(received)

    def on_headers_finished(self) -> None:
        super().on_headers_finished()
        part = self._current_part
        if part.file is not None:
            part.file.file.close()
            part.file = UploadFile(self._into, size=0, filename=part.file.filename, headers=part.file.headers)


async def received_form(request: Request, received: Steady, most_fields: int) -> FormData:
    """A form, urlencoded or with one file, whose bytes are in `received` then."""
    if not request.headers.get("Content-Type", "").lower().startswith("multipart/form-data"):
        return await request.form(max_files=1, max_fields=most_fields)
    try:
        return await _Parser(request, received, most_fields).parse()
    except MultiPartException as error:
        raise HTTPException(400, error.message) from error
