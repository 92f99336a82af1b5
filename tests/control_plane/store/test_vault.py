from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path

import psycopg
import pytest

from control_plane.store import seals
from control_plane.store.db import Database
from control_plane.store.vault import Vault, new_secret, open_vault
from faces.errors import SettingError
from faces.masterkey import Source
from faces.sealing import Unreadable
from tests.conftest import NOW


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'vault.db'}"
    found: str = request.getfixturevalue("postgres_url")
    with psycopg.connect(found, autocommit=True) as connection:
        connection.execute("DROP SCHEMA public CASCADE")
        connection.execute("CREATE SCHEMA public")
    return found


@pytest.fixture
def opened(url: str, tmp_path: Path) -> Iterator[Callable[..., Vault]]:
    """Opens the vault once more, as another process would."""
    vaults: list[Vault] = []

    def again(key: str = "master.key", *, sealing: bool = True) -> Vault:
        vaults.append(open_vault(url, Source(tmp_path / key), sealing=sealing))
        return vaults[-1]

    yield again
    for vault in vaults:
        vault.close()


def test_a_key_is_made_once_whoever_asks_first(opened: Callable[..., Vault]) -> None:
    opened()
    found: list[dict[str, object]] = []
    vaults = [opened() for _ in range(4)]
    threads = [threading.Thread(target=lambda v=v: found.append(v.of_owners(["person/1", "person/2"]))) for v in vaults]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [found[0]] * 4
    assert len(set(found[0].values())) == 2
    assert opened().known(["person/1", "person/3"]) == {"person/1": found[0]["person/1"]}


def test_a_destroyed_key_is_nowhere(opened: Callable[..., Vault], url: str, tmp_path: Path) -> None:
    vault = opened()
    secrets = vault.of_owners(f"person/{n}" for n in range(1200))
    gone = secrets["person/7"]
    (row,) = [r for r in _rows(vault) if r[1] == "person/7"]
    vault.erase({"7": NOW})
    assert vault.known(["person/7"]) == {}
    assert len(vault.by_id(s.id for s in secrets.values() if s is not gone)) == 1199
    for each in (vault, opened()):
        with pytest.raises(Unreadable):
            each.by_id([gone.id])
        assert each.erasures() == {"7": NOW}
    assert vault.scrub()
    vault.erase({"7": NOW + timedelta(days=1), "8": NOW})
    assert vault.erasures() == {"7": NOW, "8": NOW}
    if url.startswith("sqlite"):
        assert not any(row[3] in path.read_bytes() for path in tmp_path.iterdir())


def _rows(vault: Vault) -> list[tuple[bytes, str, bytes, bytes]]:
    with vault.database.read() as connection:
        return list(connection.exec_driver_sql("SELECT id, owner, master, wrapped FROM vault_keys"))


def test_keys_of_days_go_with_their_days(opened: Callable[..., Vault]) -> None:
    vault = opened()
    days = [seals.strangers("a_b", NOW + timedelta(days=n)) for n in range(4)]
    others = [seals.strangers("axb", NOW), seals.strangers("a", NOW)]
    vault.of_owners([*days, *others])
    before: datetime = NOW + timedelta(days=2)
    vault.destroy_days(seals.strangers_of("a_b"), f"{before:%Y-%m-%d}")
    assert set(vault.known([*days, *others])) == {*days[2:], *others}


def test_the_key_of_a_file_that_came_again_is_another(opened: Callable[..., Vault]) -> None:
    one, other = opened(), opened()
    first, second = new_secret(), new_secret()
    one.add("photos/1", first)
    assert one.known(["photos/1"]) == other.known(["photos/1"]) == {"photos/1": first}
    other.destroy(["photos/1"])
    other.add("photos/1", second)
    assert one.looked_up(["photos/1"]) == one.fresh(["photos/1"]) == {"photos/1": second}


def test_without_its_master_key_it_does_not_open(opened: Callable[..., Vault], tmp_path: Path) -> None:
    opened().of_owners(["person/1"])
    shutil.move(tmp_path / "master.key", tmp_path / "kept")
    for sealing in (True, False):
        with pytest.raises(SettingError, match="SECRET_KEY_FILE") as refused:
            opened(sealing=sealing)
        assert "Put it back" in refused.value.remedy
    assert not (tmp_path / "master.key").exists()
    Source(tmp_path / "wrong").make(bytes(32))
    with pytest.raises(SettingError, match="SECRET_KEY_FILE"):
        opened("wrong")
    assert opened("kept").known(["person/1"])


def test_without_sealing_there_need_be_no_key_until_there_is(opened: Callable[..., Vault], tmp_path: Path) -> None:
    vault = opened(sealing=False)
    vault.erase({"1": NOW})
    assert not (tmp_path / "master.key").exists()
    assert opened().of_owners(["person/1"])
    assert (tmp_path / "master.key").exists()


def test_processes_that_start_at_once_bind_the_database_one_after_the_other(database: Database) -> None:
    start = threading.Barrier(8)

    def bind(_: int) -> None:
        start.wait(30)
        seals.bind(database)

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(bind, range(8)))


def test_of_processes_that_open_it_at_once_one_makes_it(opened: Callable[..., Vault]) -> None:
    start = threading.Barrier(4)

    def open_it(_: int) -> int:
        start.wait(30)
        return opened().id

    with ThreadPoolExecutor(4) as threads:
        assert len(set(threads.map(open_it, range(4)))) == 1


def test_a_database_is_bound_to_its_vault(sqlite: Database, tmp_path: Path) -> None:
    assert sqlite.vault is not None
    seals.bind(sqlite)
    seals.bind(sqlite)
    url = sqlite.url.render_as_string(hide_password=False)
    other = open_vault(f"sqlite:///{tmp_path / 'other.db'}", Source(tmp_path / "other.key"))
    database = Database(url, vault=other)
    with pytest.raises(SettingError, match="VAULT_URL"):
        seals.bind(database)
    database.close()
