from __future__ import annotations

from collections.abc import Iterator

import pytest

import control_plane.store.db
from control_plane.problems import TABLE, ForeignOrigin, problem, problem_of, problem_of_status
from faces.errors import NotFound, RollcallError, SettingError


def errors(of: type[RollcallError] = RollcallError) -> Iterator[type[RollcallError]]:
    yield of
    for kind in of.__subclasses__():
        yield from errors(kind)


def ours() -> list[type[RollcallError]]:
    """Every error that the control plane and what it is built on can raise."""
    assert control_plane.store.db.Unavailable
    return [e for e in errors() if e.__module__.partition(".")[0] in ("faces", "control_plane")]


@pytest.mark.parametrize("error", ours(), ids=lambda e: str(e.code))
def test_every_error_has_a_status_and_a_close_code(error: type[RollcallError]) -> None:
    row = TABLE[error.code]
    assert 400 <= row.status < 600
    assert row.close in range(4000, 5000) or row.close in (1003, 1009, 1011, 1013)
    assert row.title


def test_a_problem_says_what_happened_and_what_to_do() -> None:
    told = problem_of(ForeignOrigin("not from there", remedy="Ask from here."))
    assert (told.status, told.code, told.detail, told.remedy) == (
        403,
        "foreign_origin",
        "not from there",
        "Ask from here.",
    )
    assert told.type == "urn:rollcall:problem:foreign_origin"


def test_a_fault_of_our_own_is_told_without_its_words() -> None:
    assert problem_of(SettingError("PASSWORD is wrong")) == problem("internal")


@pytest.mark.parametrize(
    ("status", "code"),
    [(404, "not_found"), (405, "method_not_allowed"), (413, "too_large"), (400, "invalid"), (500, "internal")],
)
def test_what_the_framework_finds_has_our_codes(status: int, code: str) -> None:
    told = problem_of_status(status, "words")
    assert (told.code, told.status) == (code, status)


def test_not_found_is_404() -> None:
    assert problem_of(NotFound("x")).status == 404
