from __future__ import annotations

import io
from collections.abc import Callable, Iterator

import pytest
from rich.console import Console

from faces.errors import SettingError
from rollcall.doctor import run
from rollcall.doctor.finding import Check, Finding, Verdict, fault, good, unknown, warning

QUIET = Console(quiet=True)


def examined(monkeypatch: pytest.MonkeyPatch, checks: Callable[[], Iterator[Check]]) -> run.Report:
    monkeypatch.setattr(run, "ROLES", {"edge": checks})
    return run.examine("edge", QUIET)


def the_disk() -> Iterator[Finding]:
    yield good("a", "it is there", mb=3.0)
    raise SettingError("DATA_DIR is odd", remedy="Name another.")


def the_line() -> Iterator[Finding]:
    yield warning("b", "it is slow", "Take another.")
    raise PermissionError(13, "Permission denied")


def test_a_check_that_fails_is_a_fault_and_the_others_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    report = examined(monkeypatch, lambda: iter([the_disk, the_line]))
    assert [(f.name, f.verdict, f.told, f.remedy) for f in report.findings] == [
        ("a", Verdict.GOOD, "it is there", ""),
        ("the disk", Verdict.FAULT, "DATA_DIR is odd", "Name another."),
        ("b", Verdict.WARNING, "it is slow", "Take another."),
        ("the line", Verdict.FAULT, "Permission denied", "See to what the system says."),
    ]


def test_wrong_settings_are_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    def checks() -> Iterator[Check]:
        raise SettingError("SCALE is not a number", remedy="SCALE: ...")
        yield

    assert [f.name for f in examined(monkeypatch, checks).findings] == ["settings"]


@pytest.mark.parametrize(
    ("findings", "code"),
    [
        ([], 0),
        ([good("a", ""), unknown("b", "")], 0),
        ([warning("a", "", ""), good("b", "")], 2),
        ([warning("a", "", ""), fault("b", "", "")], 1),
    ],
)
def test_the_exit_code_is_that_of_the_worst(findings: list[Finding], code: int) -> None:
    assert run.Report("edge", findings).exit_code == code


def test_all_of_it_is_shown() -> None:
    console = Console(record=True, width=100, file=io.StringIO())
    run.show(run.Report("edge", [fault("camera [door]", "it is dark", "Give it light.")]), console)
    shown = console.export_text()
    assert all(text in shown for text in ("camera [door]", "fault", "it is dark", "Give it light.", "1 fault(s)"))
