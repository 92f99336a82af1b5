"""The option that says on which data folder a command works: that of the process beside it, unless told otherwise."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from faces.settings import read_dotenv

F = TypeVar("F", bound=Callable[..., Any])

CENTRE, EDGE = "rollcall-data", "edge-data"
"""Where a control plane and an edge have their data if nobody says otherwise."""


def usual(folder: str) -> Path:
    """The folder that `.env` names in DATA_DIR, else this one; raises SettingError."""
    return Path(read_dotenv(Path(".env")).get("DATA_DIR") or folder)


def data_in(folder: str) -> Callable[[F], F]:
    """`--data`, else DATA_DIR of the environment or `.env`, as the process itself has it, else this folder."""
    return click.option(
        "--data",
        type=click.Path(path_type=Path),
        envvar="DATA_DIR",
        show_envvar=True,
        default=lambda: usual(folder),
        show_default=folder,
    )
