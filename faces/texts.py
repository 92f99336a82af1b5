"""Texts as people and other programs give them: which characters do something instead of being read, and how much of
them is kept of a person."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from faces.errors import Invalid

MOST_ATTRIBUTES_BYTES = 16_384
DEEPEST_ATTRIBUTES = 32
"""Every reader of JSON has a depth at which it gives up; this one all of them can do."""

ACTING = "\\x00-\\x1f\\x7f-\\x9f\\u202a-\\u202e\\u2066-\\u2069"
"""Inside a regular expression's brackets: control characters, which terminals obey, and what turns the direction of
writing, so that a name reads as another and drags what stands beside it along."""

_ACTING = re.compile(f"[{ACTING}\ud800-\udfff]")


def acts(text: str) -> bool:
    """Whether a text holds such a character, or half of a surrogate pair, which is none."""
    return _ACTING.search(text) is not None


def harmless(text: str) -> str:
    """The text with a replacement character in place of each that acts."""
    return _ACTING.sub("\ufffd", text)


def attributes(value: dict[str, Any]) -> dict[str, Any]:
    """Attributes that every copy of a gallery can hold; raises Invalid."""
    try:
        size = len(msgspec.msgpack.encode(value))
    except (OverflowError, RecursionError) as error:
        raise Invalid("attributes hold a number that is too large, or are nested too deeply") from error
    if _depth(value) > DEEPEST_ATTRIBUTES:
        raise Invalid(f"attributes are nested deeper than {DEEPEST_ATTRIBUTES}")
    if size > MOST_ATTRIBUTES_BYTES:
        raise Invalid(f"attributes are larger than {MOST_ATTRIBUTES_BYTES} bytes")
    return value


def _depth(value: object) -> int:
    """How many objects and lists are around the innermost value."""
    depth, layer = 0, [value]
    while layer := [inner for outer in layer for inner in _inside(outer)]:
        depth += 1
    return depth


def _inside(value: object) -> list[object]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []
