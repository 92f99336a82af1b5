"""Running checks and telling what they found."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from faces.errors import RollcallError
from rollcall.doctor.finding import Check, Finding, Verdict, fault


def _edge() -> Iterable[Check]:
    from rollcall.doctor import edge

    return edge.checks()


def _centre() -> Iterable[Check]:
    from rollcall.doctor import centre

    return centre.checks()


ROLES: Mapping[str, Callable[[], Iterable[Check]]] = {"edge": _edge, "centre": _centre}
"""Whose checks there are. Each list is made from the settings of that role; it raises RollcallError for wrong ones. A
role's own code is imported when it is asked for: where the other runs it need not be."""

COLOURS = {Verdict.GOOD: "green", Verdict.WARNING: "yellow", Verdict.FAULT: "bold red", Verdict.UNKNOWN: "dim"}


class Report(msgspec.Struct, frozen=True):
    """Everything that was found."""

    role: str
    findings: list[Finding]

    @property
    def worst(self) -> Verdict:
        verdicts = {finding.verdict for finding in self.findings}
        return next((v for v in (Verdict.FAULT, Verdict.WARNING) if v in verdicts), Verdict.GOOD)

    @property
    def exit_code(self) -> int:
        """0: all is well. 1: something will not work. 2: it will, but not as well as it could."""
        return {Verdict.GOOD: 0, Verdict.FAULT: 1, Verdict.WARNING: 2}[self.worst]


def examine(role: str, told: Console) -> Report:
    """Run the role's checks, one after the other; `told` says which."""
    findings: list[Finding] = []
    try:
        with told.status("looking at the settings") as status:
            for check in ROLES[role]():
                status.update(f"looking at: {_subject(check)}")
                findings += _found(check)
    except RollcallError as error:
        findings.append(fault("settings", error.message, error.remedy))
    return Report(role, findings)


def _found(check: Check) -> Iterator[Finding]:
    try:
        yield from check()
    except RollcallError as error:
        yield fault(_subject(check), error.message, error.remedy)
    except OSError as error:
        yield fault(_subject(check), error.strerror or type(error).__name__, "See to what the system says.")


def _subject(check: Check) -> str:
    """What a check looks at: the name of its function."""
    name: str = getattr(check, "func", check).__name__
    return name.replace("_", " ")


def show(report: Report, console: Console) -> None:
    table = Table("what", "how", "told by", "what helps")
    for finding in report.findings:
        verdict = Text(str(finding.verdict), COLOURS[finding.verdict])
        table.add_row(Text(finding.name), verdict, Text(finding.told), Text(finding.remedy))
    console.print(table)
    faults = sum(finding.verdict is Verdict.FAULT for finding in report.findings)
    warnings = sum(finding.verdict is Verdict.WARNING for finding in report.findings)
    console.print(f"{faults} fault(s), {warnings} warning(s).")
