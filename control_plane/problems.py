"""The one table from an error to an HTTP status and a WebSocket close code."""

from __future__ import annotations

import math
from types import MappingProxyType
from typing import ClassVar, NamedTuple

import msgspec

from faces.errors import Invalid, Merged, RollcallError

PROBLEM_JSON = "application/problem+json"


class ForeignHost(RollcallError):
    """A request for another host: a page elsewhere may have had its name point at this machine."""

    code: ClassVar[str] = "foreign_host"


class ForeignOrigin(RollcallError):
    """A request made by a page of another origin."""

    code: ClassVar[str] = "foreign_origin"


class Unauthenticated(RollcallError):
    """No key and no sign-in, or one that does not count."""

    code: ClassVar[str] = "unauthenticated"


class Forbidden(RollcallError):
    """A key or a user that may not do this."""

    code: ClassVar[str] = "forbidden"


class NoCsrfToken(RollcallError):
    """A cookie that came without the token that goes with it: perhaps the page that asked does not know of it."""

    code: ClassVar[str] = "csrf_token"


class TooManyRequests(RollcallError):
    """More than is allowed in this time; after `retry_after_s` seconds the next may be."""

    code: ClassVar[str] = "too_many_requests"

    def __init__(self, message: str, *, retry_after_s: float, remedy: str = "") -> None:
        super().__init__(message, remedy=remedy or f"Try again in {math.ceil(retry_after_s)} s.")
        self.retry_after_s = math.ceil(retry_after_s)


class TooLarge(RollcallError):
    """A body larger than this endpoint takes."""

    code: ClassVar[str] = "too_large"


class TooSlow(RollcallError):
    """A body that does not come."""

    code: ClassVar[str] = "too_slow"


class Unsupported(RollcallError):
    """A body of a kind that this endpoint does not read."""

    code: ClassVar[str] = "unsupported_media_type"


class MethodNotAllowed(RollcallError):
    code: ClassVar[str] = "method_not_allowed"


class Replaced(RollcallError):
    """A newer connection of the same edge has taken this one's place."""

    code: ClassVar[str] = "replaced"


class Ending(RollcallError):
    """This process is about to end: another one answers."""

    code: ClassVar[str] = "ending"


class Row(NamedTuple):
    """What becomes of an error code."""

    status: int
    close: int
    title: str


TABLE = MappingProxyType(
    {
        "invalid": Row(400, 4400, "The request says something impossible"),
        "forbidden_address": Row(400, 4400, "Webhooks do not go there"),
        "unauthenticated": Row(401, 4401, "Sign in, or send a key"),
        "forbidden": Row(403, 4403, "Not for this caller"),
        "csrf_token": Row(403, 4403, "The token of the sign-in is missing"),
        "foreign_origin": Row(403, 4403, "Pages of other origins may not call this"),
        "not_found": Row(404, 4404, "Not found"),
        "method_not_allowed": Row(405, 4405, "This cannot be done to it"),
        "too_slow": Row(408, 4408, "The body came too slowly"),
        "conflict": Row(409, 4409, "In conflict with what is already there"),
        "ambiguous_name": Row(409, 4409, "Several people bear this name"),
        "replaced": Row(409, 4409, "A newer connection took this one's place"),
        "merged": Row(410, 4410, "Merged into another person"),
        "compacted": Row(410, 4410, "Gone: start over from a snapshot"),
        "diverged": Row(410, 4410, "Not this gallery's history: start over from a snapshot"),
        "too_large": Row(413, 1009, "Too large"),
        "unsupported_media_type": Row(415, 1003, "This kind of body is not read here"),
        "foreign_host": Row(421, 4421, "Not a name of this machine"),
        "refused": Row(422, 4422, "The photo was refused"),
        "wire_version": Row(426, 4426, "No common version of the wire"),
        "too_many_requests": Row(429, 4429, "Too many requests"),
        "internal": Row(500, 1011, "Something went wrong here"),
        "error": Row(500, 1011, "Something went wrong here"),
        "bad_setting": Row(500, 1011, "Set up wrongly"),
        "bad_model_file": Row(500, 1011, "Set up wrongly"),
        "bad_backup": Row(500, 1011, "Not a whole backup"),
        "unreadable": Row(500, 1011, "What is stored cannot be opened"),
        "ending": Row(503, 1013, "About to end"),
        "database_unavailable": Row(503, 1013, "The database does not answer"),
    }
)

OF_STATUS = MappingProxyType({404: "not_found", 405: "method_not_allowed", 413: "too_large"})
"""The codes of errors that the web framework raises itself; any other status below 500 is `invalid`."""


class Problem(msgspec.Struct, frozen=True, omit_defaults=True):
    """An error as RFC 9457 shows it: `code` is stable and for programs, `detail` and `remedy` are for people.

    `survivor`, with the code `merged`: the id to ask for instead.
    """

    type: str
    title: str
    status: int
    code: str
    detail: str = ""
    remedy: str = ""
    survivor: str = ""


def problem(code: str, detail: str = "", remedy: str = "") -> Problem:
    row = TABLE[code]
    return Problem(f"urn:rollcall:problem:{code}", row.title, row.status, code, detail, remedy)


def problem_of(error: RollcallError) -> Problem:
    """What a caller is told of an error. One that is our own fault is told without its words."""
    if TABLE[error.code].status == 500:
        return problem("internal")
    told = problem(error.code, error.message, error.remedy)
    return msgspec.structs.replace(told, survivor=error.survivor_id) if isinstance(error, Merged) else told


def problem_of_status(status: int, detail: str) -> Problem:
    """What a caller is told of an error that the web framework found."""
    return problem(OF_STATUS.get(status, Invalid.code if status < 500 else "internal"), detail)
