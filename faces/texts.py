"""Texts as people and other programs give them: which characters do something instead of being read."""

from __future__ import annotations

import re

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
