"""One error tree, and the reasons for which a photo is refused.

An error's `code` is stable and meant for programs; its message and `remedy` are meant for people.
`control_plane/problems.py` holds the one table from an error to an HTTP status or WebSocket close code.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, ClassVar


class RollcallError(Exception):
    """The root of every error that Rollcall raises on purpose."""

    code: ClassVar[str] = "error"

    def __init__(self, message: str, *, remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy


class SettingError(RollcallError):
    """A setting that cannot be used; the message names it."""

    code = "bad_setting"


class ModelFileError(RollcallError):
    """A weight file is missing or is not the pinned one; the message names the file."""

    code = "bad_model_file"


class NotFound(RollcallError):
    """What was asked for is not there."""

    code = "not_found"


class Invalid(RollcallError):
    """Input that says something impossible; the message names the field."""

    code = "invalid"


class Conflict(RollcallError):
    """What was asked for contradicts what is already there."""

    code = "conflict"


class Merged(RollcallError):
    """The person asked for is part of another one now: `survivor_id` says whom."""

    code = "merged"

    def __init__(self, identity_id: str, survivor_id: str) -> None:
        super().__init__(f"identity {identity_id!r} was merged into {survivor_id!r}", remedy=f"Ask for {survivor_id}.")
        self.survivor_id = survivor_id


class AmbiguousName(Conflict):
    """Several people bear this name: only an id can say which one is meant."""

    code = "ambiguous_name"


class Diverged(RollcallError):
    """A copy of a gallery and the gallery itself do not agree: the copy starts over from a snapshot."""

    code = "diverged"


class Compacted(RollcallError):
    """The changes asked for are no longer kept one by one: start over from a snapshot."""

    code = "compacted"


class WireMismatch(RollcallError):
    """The two ends do not speak a common version of the wire."""

    code = "wire_version"


class Reason(StrEnum):
    """Why a photo was refused. A refusal is a result with a reason, not an accident."""

    NO_FACE = "no_face"
    SEVERAL_FACES = "several_faces"
    FACE_TOO_SMALL = "face_too_small"
    TOO_BLURRED = "too_blurred"
    NOT_AN_IMAGE = "not_an_image"
    TOO_LARGE = "too_large"
    LOOK_ALIKE = "look_alike"
    NOT_SAME_PERSON = "not_same_person"
    CORRECTION_TOO_CLOSE = "correction_too_close"
    AMBIGUOUS_NAME = "ambiguous_name"
    IDENTITY_ERASED = "identity_erased"
    CONSENT_MISSING = "consent_missing"
    UNREADABLE_ARCHIVE = "unreadable_archive"
    UNREADABLE_ENTRY = "unreadable_entry"
    BAD_ENTRY_NAME = "bad_entry_name"
    DUPLICATE_ENTRY = "duplicate_entry"
    BAD_MANIFEST = "bad_manifest"
    INTERNAL = "internal"


class Refused(RollcallError):
    """A photo that will not be enrolled, and why.

    `detail` holds figures for the reason (a distance, a size in pixels, the candidate's id), never a template.
    """

    code = "refused"

    def __init__(
        self, reason: Reason, message: str, *, remedy: str = "", detail: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(message, remedy=remedy)
        self.reason = reason
        self.detail = dict(detail or {})
