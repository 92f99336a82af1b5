"""What people write: names and the like, checked before they are stored."""

from __future__ import annotations

import unicodedata
import zoneinfo
from functools import cache
from typing import Annotated, Any

import msgspec

from faces.errors import Invalid

LONGEST_NAME = 200
MOST_ATTRIBUTES_BYTES = 16_384

_SEEN = r"[^\s\x00-\x1f\x7f-\x9f]"
NAMELIKE: dict[str, Any] = {
    "minLength": 1,
    "maxLength": LONGEST_NAME,
    "pattern": rf"^\s*{_SEEN}([^\x00-\x1f\x7f-\x9f]*{_SEEN})?\s*$",
}
Name = Annotated[str, msgspec.Meta(extra_json_schema=NAMELIKE)]
"""What `name` takes, for the document: it is `name` that checks it, and says in plain words what is wrong."""


def name(text: str, field: str = "name") -> str:
    """A name as it is kept: stripped, 1 to 200 characters, none of them a control character; raises Invalid."""
    if len(text) > LONGEST_NAME:
        raise Invalid(f"{field} is longer than {LONGEST_NAME} characters")
    text = text.strip()
    if not text:
        raise Invalid(f"{field} is empty")
    if any(unicodedata.category(c) in ("Cc", "Cs") for c in text):
        raise Invalid(f"{field} holds control characters")
    return text


def time_zone(text: str) -> str:
    """The name of a time zone; raises Invalid for one that does not exist."""
    if text not in _time_zones():
        raise Invalid(f"there is no time zone {text[:40]!r}", remedy="Write it as Europe/Berlin, or UTC.")
    return text


@cache
def _time_zones() -> set[str]:
    return zoneinfo.available_timezones()


def attributes(value: dict[str, Any]) -> dict[str, Any]:
    """Attributes that every copy of a gallery can hold; raises Invalid."""
    try:
        size = len(msgspec.msgpack.encode(value))
    except (OverflowError, RecursionError) as error:
        raise Invalid("attributes hold a number that is too large, or are nested too deeply") from error
    if size > MOST_ATTRIBUTES_BYTES:
        raise Invalid(f"attributes are larger than {MOST_ATTRIBUTES_BYTES} bytes")
    return value
