"""Hostile disks and clocks of an edge, against the running product."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import msgspec
import pytest
import requests

from edge.delivery import Poster
from edge.plane import ControlPlane
from edge.replica import Replica
from edge.spool import Spool
from faces import wire
from faces.encoding import SFACE
from faces.events import Event, Status, uuid7
from tests.conftest import absent
from tests.hostile.conftest import Product

HELLO = wire.Hello(name="box", version="1", engine=SFACE, cameras=["door"])


def event(name: str, **fields: Any) -> Event:
    return Event(id=uuid4(), camera="door", captured_at=datetime.now(UTC), status=Status.PASS, name=name, **fields)


@pytest.fixture
def plane(product: Product) -> Iterator[ControlPlane]:
    made = ControlPlane(product.place.url, uuid4())
    made.hello(HELLO)
    yield made
    made.close()


def deliver(plane: ControlPlane, folder: Path) -> None:
    spool = Spool(folder / "spool.db")
    poster = Poster(plane, spool)
    while len(spool):
        poster.step()
    spool.close()


def spooled(folder: Path, *events: Event) -> None:
    folder.mkdir(exist_ok=True)
    spool = Spool(folder / "spool.db")
    for one in events:
        spool.append(one)
    spool.close()


def logged(product: Product, plane: ControlPlane) -> list[UUID]:
    params: dict[str, Any] = {"edge": str(plane._edge), "limit": 500}
    found = requests.get(f"{product.place.url}/v1/events", params=params, timeout=10).json()["items"]
    return [UUID(one["id"]) for one in found]


def test_hostile_36_an_edge_that_is_rolled_back_loses_nothing_and_doubles_nothing(
    product: Product, plane: ControlPlane, tmp_path: Path
) -> None:
    before, between, after = event("before"), event("between"), event("after")
    with product.bounds():
        spooled(tmp_path / "edge", before)
        shutil.copytree(tmp_path / "edge", tmp_path / "image")
        deliver(plane, tmp_path / "edge")
        spooled(tmp_path / "edge", between)
        deliver(plane, tmp_path / "edge")
        shutil.rmtree(tmp_path / "edge")
        shutil.copytree(tmp_path / "image", tmp_path / "edge")
        spooled(tmp_path / "edge", after)
        deliver(plane, tmp_path / "edge")
        assert sorted(logged(product, plane)) == sorted(one.id for one in (before, between, after))


def test_hostile_36_an_edge_that_is_cloned_to_two_devices(
    product: Product, plane: ControlPlane, tmp_path: Path
) -> None:
    """What both had is there once, what each saw since is there too, and whoever reuses an id is told of."""
    both, first, second = event("both"), event("first"), event("second")
    with product.bounds():
        spooled(tmp_path / "one", both)
        shutil.copytree(tmp_path / "one", tmp_path / "two")
        spooled(tmp_path / "one", first)
        spooled(tmp_path / "two", second, msgspec.structs.replace(first, name="another"))
        for device in ("one", "two", "two", "one"):
            deliver(plane, tmp_path / device)
        assert sorted(logged(product, plane)) == sorted(one.id for one in (both, first, second))
        alarms = requests.get(f"{product.place.url}/v1/alarms", timeout=10).json()["items"]
        assert any("clone" in alarm["message"] and alarm["edge_id"] == str(plane._edge) for alarm in alarms)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system that can be made read-only."""
    mount = ["mount", "-t", "tmpfs", "-o", "size=64m", "rollcall-test", str(tmp_path)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        absent("a file system that may be mounted")
    yield tmp_path
    subprocess.run(["umount", "-l", str(tmp_path)], check=True)


def read_only(disk: Path, yes: bool) -> None:
    subprocess.run(["mount", "-o", f"remount,{'ro' if yes else 'rw'}", str(disk)], check=True)


def test_hostile_36_a_disk_that_becomes_read_only_is_told_and_what_lay_there_stays(disk: Path) -> None:
    """An event that cannot be kept is an error to whoever has it, and never a silent loss; then all goes on."""
    kept, refused, later = event("kept"), event("refused"), event("later")
    spool = Spool(disk / "spool.db")
    spool.append(kept)
    spool.close()
    read_only(disk, True)
    with pytest.raises((sqlite3.OperationalError, OSError)):
        Spool(disk / "spool.db").append(refused)
    read_only(disk, False)
    spool = Spool(disk / "spool.db")
    spool.append(later)
    assert {item.id for item in spool.batch(10, live=5)} == {kept.id, later.id}
    spool.close()


def test_hostile_36_galleries_on_a_disk_that_cannot_be_read_are_not_thrown_away(disk: Path) -> None:
    Replica(disk / "galleries.db", SFACE).close()
    before = (disk / "galleries.db").read_bytes()
    read_only(disk, True)
    with pytest.raises((sqlite3.OperationalError, OSError)):
        Replica(disk / "galleries.db", SFACE)
    read_only(disk, False)
    assert (disk / "galleries.db").read_bytes() == before
    Replica(disk / "galleries.db", SFACE).close()


@pytest.mark.parametrize("moment", ["1970-01-01", "2038-01-19T03:14:08", "2106-02-07T06:28:16", "9999-12-31"])
def test_hostile_37_an_event_made_by_any_clock_is_delivered(
    product: Product, plane: ControlPlane, tmp_path: Path, moment: str
) -> None:
    at = datetime.fromisoformat(moment).replace(tzinfo=UTC)
    made = [
        msgspec.structs.replace(event(f"at {moment}"), id=uuid7(at, bytes([n] * 10)), captured_at=at) for n in range(3)
    ]
    with product.bounds():
        spooled(tmp_path / "edge", *made)
        deliver(plane, tmp_path / "edge")
        assert sorted(logged(product, plane)) == sorted(one.id for one in made)
