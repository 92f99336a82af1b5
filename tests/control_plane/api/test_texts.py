from __future__ import annotations

import re
from contextlib import nullcontext

import pytest
from hypothesis import example, given, strategies

from control_plane.api import texts
from faces.errors import Invalid


@pytest.mark.parametrize(
    ("written", "kept"), [("Ann", "Ann"), ("  Ann\t", "Ann"), ("Zoë", "Zoë"), ("x" * 200, "x" * 200), ("👩‍🚒", "👩‍🚒")]
)
def test_a_name_is_kept_stripped(written: str, kept: str) -> None:
    assert texts.name(written) == kept


@pytest.mark.parametrize("written", ["", " \n ", "x" * 201, "a\nb", "a\x00", "\x1b[1m", "a\x7fb", "\ud800", "a\x85b"])
def test_what_is_no_name_is_refused(written: str) -> None:
    with pytest.raises(Invalid, match="site"):
        texts.name(written, "site")


@given(strategies.text(max_size=12) | strategies.text(" \t", min_size=195, max_size=205))
@example("a\x85b")
@example("")
def test_the_document_takes_the_names_that_are_taken_and_no_others(written: str) -> None:
    for check, shape in ((texts.name, texts.Name), (texts.name_or_none, texts.NameOrNone)):
        told = shape.__metadata__[0].extra_json_schema
        fits = told["minLength"] <= len(written) <= told["maxLength"] and re.search(told["pattern"], written)
        with nullcontext() if fits else pytest.raises(Invalid):
            check(written)


@pytest.mark.parametrize("written", ["", "Mars/Olympus", "../../etc/passwd", "Europe", "/etc/UTC", "x\0"])
def test_a_time_zone_that_does_not_exist_is_refused(written: str) -> None:
    assert texts.time_zone("Europe/Berlin") == "Europe/Berlin"
    with pytest.raises(Invalid, match="time zone"):
        texts.time_zone(written)
