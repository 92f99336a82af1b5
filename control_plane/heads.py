"""The head of an HTTP request is bounded: a parser keeps what it reads of one until it ends, and need never end. And
its connection can be cut off at once."""

from __future__ import annotations

from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from control_plane.cut import CUT, extension

MOST_HEAD_BYTES = 64 << 10
"""Of a request's address, and of its headers. What other servers take is a fraction of it."""


class TooLong(ValueError):
    """Raised where the parser is told of a header: it stops there, and the answer is 400."""


class BoundedHeads(HttpToolsProtocol):
    """uvicorn's protocol, within that bound, and the extension CUT."""

    def __init__(self, *given: Any, **options: Any) -> None:
        super().__init__(*given, **options)
        self._heading = True
        self._unfinished = self._headers = 0

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._heading:
            self._unfinished += len(data)
            if self._unfinished > MOST_HEAD_BYTES and not self.transport.is_closing():
                self.send_400_response("The head of the request is too long.")

    def on_message_begin(self) -> None:
        super().on_message_begin()
        cast(dict[str, Any], self.scope)["extensions"] = {CUT: extension(self.transport)}
        self._heading = True
        self._unfinished = self._headers = 0

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers += len(name) + len(value)
        if self._headers > MOST_HEAD_BYTES:
            raise TooLong
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._heading = False
        if len(self.url) > MOST_HEAD_BYTES:
            raise TooLong
        super().on_headers_complete()
