"""What an edge writes is sealed by its own key, and opened with no other."""

from __future__ import annotations

import secrets
import shutil
import sqlite3
import stat
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import numpy as np
import pytest

from edge.replica import Replica
from edge.seal import FILE, PLAIN, Seal, open_seal, rotate
from edge.spool import Spool
from faces.encoding import SFACE
from faces.errors import SettingError
from faces.events import Event, uuid7
from faces.gallery import EncodingRow, IdentityRow, Kind, Row, checksum, row_hash
from faces.masterkey import Source, as_text
from faces.sealing import Unreadable, named
from faces.wire import START, Followed, Position

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
TEMPLATE = np.random.default_rng().random(128, np.float32).tobytes()
ROWS: list[Row] = [IdentityRow("i1", "Ada"), EncodingRow("e1", "i1", SFACE, TEMPLATE)]
POSITION = Position(7, checksum(map(row_hash, ROWS)))
PICTURE = b"\xff\xd8" + secrets.token_bytes(900)


def event(number: int) -> Event:
    return Event(id=uuid7(NOON, bytes([number]) * 10), camera="door", captured_at=NOON, name="Ada", thumbnail=PICTURE)


def source(folder: Path) -> Source:
    return Source(folder / "secrets" / "master.key")


def left_in(folder: Path) -> set[str]:
    """The files of a folder that hold any 16 bytes of a template or a picture."""
    found = set()
    blocks = [data[i : i + 16] for data in (TEMPLATE, PICTURE) for i in range(0, len(data), 16)]
    for path in folder.rglob("*.db*"):
        data = path.read_bytes()
        if any(block in data for block in blocks):
            found.add(path.name)
    return found


def fill(folder: Path, seal: Seal) -> None:
    replica = Replica(folder / "galleries.db", SFACE, seal)
    replica.follow([Followed(id="g1", name="staff", kind=Kind.ALLOW, position=START)])
    replica.start_over("g1", POSITION, ROWS)
    replica.close()
    spool = Spool(folder / "spool.db", seal=seal)
    for number in range(3):
        spool.append(event(number))
    spool.quarantine(event(2).id, "for a test")
    spool.close()


def check(folder: Path, seal: Seal) -> None:
    """All is there, and is what it was."""
    replica = Replica(folder / "galleries.db", SFACE, seal)
    assert replica.position("g1") == POSITION
    assert dict(replica.held[0].gallery.encodings) == {"e1": ROWS[1]}
    replica.close()
    spool = Spool(folder / "spool.db", seal=seal)
    assert [msgspec.msgpack.decode(item.body, type=Event) for item in spool.batch(9)] == [event(0), event(1)]
    assert [key for key, _ in spool.quarantined()] == [event(2).id]
    spool.close()


def test_galleries_and_events_are_sealed_on_the_disk(tmp_path: Path) -> None:
    fill(tmp_path, open_seal(tmp_path, source(tmp_path)))
    assert left_in(tmp_path) == set()
    check(tmp_path, open_seal(tmp_path, source(tmp_path)))
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in (tmp_path / FILE, source(tmp_path).file))


def test_the_scan_finds_what_is_plain(tmp_path: Path) -> None:
    fill(tmp_path, open_seal(tmp_path, source(tmp_path), sealing=False))
    assert left_in(tmp_path) >= {"galleries.db", "spool.db"}
    assert not (tmp_path / FILE).exists()


def test_what_was_plain_is_sealed_at_the_next_start(tmp_path: Path) -> None:
    fill(tmp_path, PLAIN)
    seal = open_seal(tmp_path, source(tmp_path))
    check(tmp_path, seal)
    assert left_in(tmp_path) == set()
    check(tmp_path, open_seal(tmp_path, source(tmp_path), sealing=False))


def test_erased_people_are_forgotten_in_what_is_sealed(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool.db", seal=open_seal(tmp_path, source(tmp_path)))
    seen = msgspec.structs.replace(event(1), identity_id="i1")
    spool.append(seen)
    assert spool.identities() == {"i1"}
    assert spool.forget({"i1"})
    (item,) = spool.batch(9)
    assert msgspec.msgpack.decode(item.body, type=Event) == msgspec.structs.replace(seen, name=None, thumbnail=None)
    spool.close()


def test_without_the_master_key_it_does_not_start(tmp_path: Path) -> None:
    fill(tmp_path, open_seal(tmp_path, source(tmp_path)))
    shutil.move(source(tmp_path).file, tmp_path / "kept")
    for sealing in (True, False):
        with pytest.raises(SettingError, match="SECRET_KEY_FILE") as refused:
            open_seal(tmp_path, source(tmp_path), sealing=sealing)
        assert "Put it back" in refused.value.remedy
    check(tmp_path, open_seal(tmp_path, Source(tmp_path / "kept")))


def test_with_another_key_galleries_start_over_and_the_spool_does_not_open(tmp_path: Path) -> None:
    fill(tmp_path, open_seal(tmp_path, source(tmp_path)))
    (tmp_path / FILE).unlink()
    other = open_seal(tmp_path, source(tmp_path))
    replica = Replica(tmp_path / "galleries.db", SFACE, other)
    assert replica.position("g1") != POSITION
    replica.close()
    with pytest.raises(Unreadable):
        Spool(tmp_path / "spool.db", seal=other)


def changed(folder: Path, table: str) -> None:
    """One row's body put in another's place."""
    with sqlite3.connect(folder) as db:
        db.execute(f"UPDATE {table} SET body = (SELECT body FROM {table} ORDER BY id DESC LIMIT 1)")
    db.close()


def test_rows_that_changed_places_are_noticed(tmp_path: Path) -> None:
    seal = open_seal(tmp_path, source(tmp_path))
    fill(tmp_path, seal)
    spool = Spool(tmp_path / "spool.db", seal=seal)
    changed(tmp_path / "galleries.db", "rows")
    changed(tmp_path / "spool.db", "events")
    assert [item.id for item in spool.batch(9)] == [event(1).id]
    assert {key for key, _ in spool.quarantined()} == {event(0).id, event(2).id}
    spool.close()
    replica = Replica(tmp_path / "galleries.db", SFACE, seal)
    assert replica.position("g1") != POSITION
    replica.close()


class Broke(Exception):
    pass


def breaking(monkeypatch: pytest.MonkeyPatch, after: int) -> None:
    """Have the n-th rename of a file be the last thing that happens."""
    rename: Callable[[Path, Path], Path] = Path.replace
    left = [after]

    def replace(path: Path, target: Path) -> Path:
        if not left[0]:
            raise Broke
        left[0] -= 1
        return rename(path, target)

    monkeypatch.setattr(Path, "replace", replace)


@pytest.mark.parametrize("after", range(3))
def test_an_exchange_of_the_master_key_may_break_off_anywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    fill(tmp_path, open_seal(tmp_path, source(tmp_path)))
    (before,) = source(tmp_path).read()
    with monkeypatch.context() as broken:
        breaking(broken, after)
        with pytest.raises(Broke):
            rotate(tmp_path, source(tmp_path))
    check(tmp_path, open_seal(tmp_path, source(tmp_path)))
    rotate(tmp_path, source(tmp_path))
    check(tmp_path, open_seal(tmp_path, source(tmp_path)))
    assert len(source(tmp_path).read()) == 1
    assert source(tmp_path).read() != (before,)


def test_a_key_from_elsewhere_is_exchanged_for_the_one_before_it(tmp_path: Path) -> None:
    old, new = secrets.token_bytes(32), secrets.token_bytes(32)
    fill(tmp_path, open_seal(tmp_path, Source(tmp_path / "x", (named(old),))))
    with pytest.raises(SettingError, match="SECRET_KEY"):
        rotate(tmp_path, Source(tmp_path / "x", (named(old),)))
    (tmp_path / "both").write_text(f"{as_text(new)}\n{as_text(old)}")
    rotate(tmp_path, Source(tmp_path / "x", command=f"cat {tmp_path / 'both'}"))
    check(tmp_path, open_seal(tmp_path, Source(tmp_path / "x", (named(new),))))
