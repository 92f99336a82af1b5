"""Kill the edge's spool at any statement: what it said it has kept is delivered, or counted as dropped.

The short form runs with the other tests; `pytest -m soak tests/edge/test_spool_kills.py` kills 300 times.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
THREADS = 2


@dataclass
class Truth:
    """What happened, as seen from outside."""

    made: set[str] = field(default_factory=set)
    kept: set[str] = field(default_factory=set)
    posted: set[str] = field(default_factory=set)
    notices: dict[str, int] = field(default_factory=dict)
    kills: int = 0

    @property
    def lost(self) -> int:
        """Events neither delivered nor counted, of those that were kept for certain."""
        return len(self.kept - self.posted) - sum(self.notices.values())

    @property
    def invented(self) -> int:
        """Events counted as dropped beyond those that can have been."""
        return sum(self.notices.values()) - len(self.made - self.posted)


def lives(path: Path, count: int, events: int, seed: int, fault: str = "") -> Truth:
    told = subprocess.run(
        [sys.executable, "-m", "tests.edge.mortal_spool", str(path), str(count), str(events), str(seed), fault],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=600,
        check=True,
    )
    truth = Truth()
    for line in told.stdout.splitlines():
        word, key, *rest = line.split(" ", 2)
        if word == "posted" and rest and rest[0]:
            truth.notices[key] = sum(json.loads(rest[0]).values())
        elif word in ("made", "kept", "posted"):
            getattr(truth, word).add(key)
        else:
            truth.kills += word == "killed"
            assert word == "killed" or rest == ["0"], told.stderr
    return truth


def check(truth: Truth, kills: int) -> None:
    assert truth.kills >= kills
    assert truth.posted <= truth.made
    assert (truth.lost <= 0, truth.invented <= 0) == (True, True)


def test_what_was_kept_is_delivered_through_kills_at_any_statement(tmp_path: Path) -> None:
    truth = lives(tmp_path / "spool.db", 40, 10**6, seed=1)
    check(truth, kills=20)
    assert truth.kept <= truth.posted
    assert truth.notices == {}


def test_what_was_kept_is_delivered_or_counted_through_kills_where_there_is_no_room(tmp_path: Path) -> None:
    truth = lives(tmp_path / "spool.db", 40, 12, seed=2)
    check(truth, kills=20)
    assert sum(truth.notices.values()) > 50


@pytest.mark.parametrize(
    ("fault", "events"), [("acknowledge_first", 10**6), ("delete_first", 10**6), ("uncounted", 12)]
)
def test_a_planted_fault_is_found(tmp_path: Path, fault: str, events: int) -> None:
    tries = (lives(tmp_path / f"spool-{seed}.db", 30, events, seed, fault) for seed in range(3, 13))
    assert any(truth.lost > 0 for truth in tries), "where threads are killed is chance, whatever the seed"


@pytest.mark.soak
@pytest.mark.parametrize("events", [10**6, 12])
def test_nothing_is_lost_in_300_kills(tmp_path: Path, events: int) -> None:
    truth = lives(tmp_path / "spool.db", 450, events, seed=4)
    check(truth, kills=300)
