"""The master key is exchanged under everybody's hands, and wherever it breaks off, nothing is lost."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import pytest

from control_plane.store.db import Connection, Database
from control_plane.store.rotation import AT_ONCE, rotate
from control_plane.store.vault import Vault, open_vault
from faces.errors import SettingError
from faces.masterkey import Source, as_text
from faces.sealing import Secret, named
from tests.control_plane.store.test_vault import opened as opened
from tests.control_plane.store.test_vault import url as url

PEOPLE = [f"person/{n}" for n in range(2 * AT_ONCE + 7)]


def test_all_keys_are_wrapped_by_the_new_key_and_the_old_one_is_gone(
    opened: Callable[..., Vault], tmp_path: Path
) -> None:
    vault = opened()
    found, (before,) = vault.of_owners(PEOPLE), vault.masters.source.read()
    told: list[tuple[int, int]] = []
    assert rotate(vault, lambda done, total: told.append((done, total))) == len(PEOPLE)
    assert told[-1] == (len(PEOPLE), len(PEOPLE))
    (after,) = Source(tmp_path / "master.key").read()
    assert after != before
    assert opened().known(PEOPLE) == found
    (tmp_path / "old").write_text(as_text(before.key))
    with pytest.raises(SettingError):
        opened("old")


class Broke(Exception):
    pass


class Fuse:
    """Has the n-th commit of the vault, or rename of a file, be the last thing that happens."""

    def __init__(self, patch: pytest.MonkeyPatch, left: int) -> None:
        self.left = left
        write, rename = Database.write, Path.replace

        @contextmanager
        def writes(database: Database) -> Iterator[Connection]:
            self._burn()
            with write(database) as connection:
                yield connection

        def renames(path: Path, target: Path) -> Path:
            self._burn()
            return rename(path, target)

        patch.setattr(Database, "write", writes)
        patch.setattr(Path, "replace", renames)

    def _burn(self) -> None:
        if not self.left:
            raise Broke
        self.left -= 1


# The new key is given, then counts, then wraps some at a time until there are none, then the old one is taken away.
@pytest.mark.parametrize("step", range(7))
def test_broken_off_anywhere_everything_is_read_and_the_next_time_ends_it(
    opened: Callable[..., Vault], monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    running = opened()
    found = running.of_owners(PEOPLE)
    with monkeypatch.context() as patch:
        Fuse(patch, step)
        with pytest.raises(Broke):
            rotate(opened())
    assert opened().known(PEOPLE) == found
    found |= running.of_owners([*PEOPLE, "person/late"])
    rotate(opened())
    assert len(running.masters.source.read()) == 1
    assert opened().known(found) == found == running.of_owners(found)


def test_those_are_all_the_steps(opened: Callable[..., Vault], monkeypatch: pytest.MonkeyPatch) -> None:
    vault = opened()
    vault.of_owners(PEOPLE)
    fuse = Fuse(monkeypatch, 1000)
    rotate(vault)
    assert 1000 - fuse.left == 7


def test_others_make_and_read_keys_meanwhile(opened: Callable[..., Vault]) -> None:
    opened().of_owners(PEOPLE)
    stop, made = threading.Event(), dict[str, Secret]()

    def work(number: int) -> None:
        vault, count = opened(), 0
        while not stop.is_set():
            made.update(vault.fresh([f"photos/{number}-{count}"]))
            with closing(opened()) as newcomer:
                assert len(newcomer.known(PEOPLE[:50])) == 50
            count += 1

    with ThreadPoolExecutor(2) as threads:
        working = [threads.submit(work, number) for number in range(2)]
        for _ in range(4):
            rotate(opened())
        while not made and not any(each.done() for each in working):
            stop.wait(0.01)
        stop.set()
        for each in working:
            each.result()
    assert made
    assert opened().known(made) == made


def test_a_key_from_elsewhere_is_given_before_the_old_one(url: str, tmp_path: Path) -> None:
    old, new = secrets.token_bytes(32), secrets.token_bytes(32)

    def using(*keys: bytes) -> Vault:
        return open_vault(url, Source(tmp_path / "none", tuple(map(named, keys))))

    vault = using(old)
    found = vault.of_owners(PEOPLE)
    with pytest.raises(SettingError, match="SECRET_KEY"):
        rotate(vault)
    vault.close()
    both = using(new, old)
    assert both.known(PEOPLE) == found
    assert rotate(both) == len(PEOPLE)
    both.close()
    after = using(new)
    assert after.known(PEOPLE) == found
    after.close()
    with pytest.raises(SettingError):
        using(old)


def test_a_file_that_cannot_be_written_from_here_is_changed_by_hand_and_all_is_wrapped_by_its_first_key(
    url: str, tmp_path: Path
) -> None:
    old, new = as_text(secrets.token_bytes(32)), as_text(secrets.token_bytes(32))
    held = tmp_path / "master_key"
    held.write_text(old)

    def using(folder: str) -> Vault:
        return open_vault(url, Source(Path(folder)))

    with held.open() as file, ExitStack() as opened:
        # As a secret is mounted in a container: no file can be made beside it, not even by root.
        mounted = f"/proc/self/fd/{file.fileno()}"
        vault = opened.enter_context(closing(using(mounted)))
        found = vault.of_owners(PEOPLE)
        with pytest.raises(SettingError, match="cannot be written from here"):
            rotate(vault)
        held.write_text(f"{new}\n{old}\n")
        assert rotate(vault) == len(PEOPLE)
        assert held.read_text() == f"{new}\n{old}\n"
        assert rotate(vault) == 0
        held.write_text(new)
        assert opened.enter_context(closing(using(mounted))).known(PEOPLE) == found
        found |= vault.fresh(["photos/late"])
        assert opened.enter_context(closing(using(mounted))).known(found) == found
        held.write_text(old)
        with pytest.raises(SettingError, match="is not there"):
            using(mounted)
