"""What is kept safe: the master key exchanged."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from control_plane.config import Config
from control_plane.store import rotation
from control_plane.store.vault import Vault, open_vault
from faces.errors import SettingError
from faces.masterkey import Source


def rotate(data: Path, console: Console) -> Source:
    """Exchange the master key of the control plane and the worker on this data folder; returns where it comes from."""
    columns = TextColumn("wrapping keys"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with vault_of(data) as vault, Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("")
        rotation.rotate(vault, lambda done, total: progress.update(task, completed=done, total=total))
        return vault.masters.source


def rotate_edge(data: Path) -> Source:
    """Exchange the master key of the edge on this data folder; returns where it comes from."""
    from edge import seal
    from edge.config import Config as EdgeConfig

    config = EdgeConfig.read({**os.environ, "DATA_DIR": str(data.resolve())}, Path(".env"))
    if not (config.data_dir / seal.FILE).exists():
        raise SettingError(f"--data: nothing was ever sealed in {data}", remedy="Name the edge's folder (DATA_DIR).")
    source = Source.of(config)
    seal.rotate(config.data_dir, source)
    return source


@contextmanager
def vault_of(data: Path) -> Iterator[Vault]:
    """The vault that the control plane on this data folder uses."""
    config = Config.read({**os.environ, "DATA_DIR": str(data.resolve())})
    vault = open_vault(config.vault_url, config.master_key, sealing=config.encrypt)
    try:
        yield vault
    finally:
        vault.close()
