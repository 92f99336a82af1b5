"""Pictures as answers and bodies."""

from __future__ import annotations

from starlette.responses import Response

from control_plane.api.route import Media

KINDS = {b"\xff\xd8\xff": "image/jpeg", b"\x89PNG": "image/png", b"RIFF": "image/webp"}
PICTURES = (*KINDS.values(), "application/octet-stream")
PICTURE = Media(PICTURES)


def picture(data: bytes) -> Response:
    """Answer a picture under the type that its first bytes say, whatever its sender called it."""
    return Response(data, media_type=kind_of(data))


def kind_of(data: bytes) -> str:
    """A picture's media type, as its first bytes say."""
    return next((kind for start, kind in KINDS.items() if data.startswith(start)), "application/octet-stream")
