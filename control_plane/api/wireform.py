"""What edges send and are told: msgpack, or JSON of the same shape for those who would rather read it."""

from __future__ import annotations

from typing import Any, TypeVar

from starlette.responses import Response

from control_plane.api.route import JSON, Call, Media, answer, checked, decoded
from control_plane.problems import Unsupported
from faces.wire import MSGPACK, decode, encode

T = TypeVar("T")

WIRE_TYPES = (MSGPACK, JSON)


def wire(kind: Any) -> Media:
    """A wire value as an answer."""
    return Media(WIRE_TYPES, kind)


def wire_bodies(kind: Any) -> dict[str, Media]:
    """A wire value as a body, for the document."""
    return {media_type: Media((media_type,), kind) for media_type in WIRE_TYPES}


def wire_answer(call: Call[Any, Any], value: object) -> Response:
    """Answer in JSON to those who ask for it by name, else in msgpack."""
    if wants_json(call):
        return answer(value)
    return Response(encode(value), media_type=MSGPACK)


def wants_json(call: Call[Any, Any]) -> bool:
    return JSON in call.request.headers.get("accept", "")


async def wire_body(call: Call[Any, Any], kind: type[T]) -> T:
    """The body as the given type; raises Invalid or Unsupported."""
    if call.media_type not in WIRE_TYPES:
        raise unreadable(call.media_type)
    data = await call.request.body()
    return checked(decode(data, kind) if call.media_type == MSGPACK else decoded(data, kind))


def unreadable(media_type: str) -> Unsupported:
    return Unsupported(f"{media_type[:40]!r} is not read here", remedy=f"Send {MSGPACK} or {JSON}.")
