"""What people write: names and the like, checked before they are stored."""

from __future__ import annotations

import zoneinfo
from functools import cache
from typing import Annotated, Any

import msgspec

from faces.errors import Invalid
from faces.texts import ACTING, acts

LONGEST_NAME = 200

_SEEN = rf"[^\s{ACTING}]"
NAMELIKE: dict[str, Any] = {
    "minLength": 1,
    "maxLength": LONGEST_NAME,
    "pattern": rf"^\s*{_SEEN}([^{ACTING}]*{_SEEN})?\s*$",
}
Name = Annotated[str, msgspec.Meta(extra_json_schema=NAMELIKE)]
"""What `name` takes, for the document: it is `name` that checks it, and says in plain words what is wrong."""

NameOrNone = Annotated[
    str, msgspec.Meta(extra_json_schema={**NAMELIKE, "minLength": 0, "pattern": rf"^\s*$|{NAMELIKE['pattern']}"})
]
"""The same for `name_or_none`."""


def name(text: str, field: str = "name") -> str:
    """A name as it is kept: stripped, 1 to 200 characters, none of which acts; raises Invalid."""
    if len(text) > LONGEST_NAME:
        raise Invalid(f"{field} is longer than {LONGEST_NAME} characters")
    text = text.strip()
    if not text:
        raise Invalid(f"{field} is empty")
    if acts(text):
        raise Invalid(f"{field} holds control characters, or such as turn the direction of writing")
    return text


def name_or_none(text: str, field: str = "name") -> str:
    """A name, or nothing but spaces for none, which is kept as an empty text; raises Invalid."""
    return name(text, field) if text.strip() or len(text) > LONGEST_NAME else ""


def time_zone(text: str) -> str:
    """The name of a time zone; raises Invalid for one that does not exist."""
    if text not in _time_zones():
        raise Invalid(f"there is no time zone {text[:40]!r}", remedy="Write it as Europe/Berlin, or UTC.")
    return text


@cache
def _time_zones() -> set[str]:
    return zoneinfo.available_timezones()
