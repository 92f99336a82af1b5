"""What commands show: text, and a bar that says how far something is."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console

WIDE = 200
"""Columns where no terminal says how many it has: what goes on to another program is not cut."""


def text_console() -> Console:
    return Console(highlight=False, width=None if sys.stdout.isatty() else WIDE)


@contextmanager
def progress(what: str, total: int, console: Console) -> Iterator[Callable[[], None]]:
    """A bar on the console while something is done `total` times; gives what advances it by one."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("", total=total)
        yield lambda: bar.advance(task)
