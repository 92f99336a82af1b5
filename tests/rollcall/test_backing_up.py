"""Backups of a running product, put back: on each database, and from one to the other."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
import requests
from click.testing import CliRunner, Result

from control_plane.store import backup, schema, seals
from control_plane.store.backup import BadBackup
from control_plane.store.db import Database, utcnow
from control_plane.store.vault import open_vault
from edge.credential import Credential
from edge.delivery import Poster
from edge.plane import ControlPlane
from edge.replica import Replica
from edge.spool import Spool
from edge.uplink import Syncer
from faces import masterkey
from faces.encoding import SFACE
from faces.errors import Invalid
from faces.events import Event, Status, uuid7
from faces.masterkey import Source
from faces.wire import Hello, Position
from rollcall.cli import cli
from rollcall.supervisor import Supervisor
from rollcall.up import Place, free_port, start_centre
from tests import services
from tests.conftest import NOW, vault_in


class Product:
    """Control plane and worker on a data folder, to be stopped and started."""

    def __init__(self, data: Path) -> None:
        self.place = Place(data=data, port=free_port(), stream_port=0)
        self.key = ""

    @contextmanager
    def running(self) -> Iterator[None]:
        with Supervisor(logs=self.place.data.parent / "logs") as supervisor:
            start_centre(supervisor, self.place)
            yield

    def ask(self, method: str, path: str, **options: Any) -> requests.Response:
        key = {"Authorization": f"Bearer {self.key}"} if self.key else {}
        return requests.request(method, self.place.url + path, timeout=40, headers=key, **options)

    def new_key(self, role: str = "admin") -> str:
        made: str = self.ask("POST", "/v1/keys", json={"role": role}).json()["key"]
        return made

    def people(self, *names: str) -> None:
        for name in names:
            assert self.ask("POST", "/v1/identities", json={"name": name}).ok

    def enroll(self, name: str, photo: bytes) -> str:
        answer = self.ask("POST", "/register", data={"name": name}, files={"image": photo})
        assert answer.json()["success"], answer.text
        return self.named()[name]

    def named(self) -> dict[str, str]:
        return {p["name"]: p["id"] for p in self.ask("GET", "/v1/identities", params={"limit": 500}).json()["items"]}

    def photo(self, identity_id: str) -> bytes:
        (photo, *_) = self.ask("GET", f"/v1/identities/{identity_id}/photos").json()["items"]
        found = self.ask("GET", f"/v1/identities/{identity_id}/photos/{photo['id']}")
        assert found.ok, found.text
        return found.content


class Edge:
    """What an edge keeps, and how it talks to the product: when it is told to."""

    def __init__(self, product: Product, folder: Path) -> None:
        folder.mkdir()
        token = product.ask("POST", "/v1/sites/default/join-tokens").json()["token"]
        self._credential, self._id = Credential(token), uuid4()
        self._replica, self._spool = Replica(folder / "galleries.db", SFACE), Spool(folder / "spool.db")
        self._plane = ControlPlane(product.place.url, self._id, self._credential)
        self._credential.take(self._plane.join().key)

    def close(self) -> None:
        self._replica.close()
        self._spool.close()
        self._plane.close()

    def renew(self) -> None:
        self._credential.take(self._plane.renewed().key)

    def sync(self) -> dict[str, str]:
        """Those whom it holds after a round, by name."""
        hello = Hello(name="gate", version="1", engine=SFACE, cameras=["door"])
        Syncer(self._plane, self._replica, hello, lambda: None, spool=self._spool).step()
        (held,) = self._replica.held
        return {person.name: person.id for person in held.gallery.identities.values()}

    @property
    def position(self) -> Position:
        return self._replica.held[0].position

    def see(self, name: str, identity_id: str) -> UUID:
        """Decide on somebody, and post that."""
        event_id = uuid7(utcnow(), uuid4().bytes[:10])
        told = {"status": Status.PASS, "identity_id": identity_id, "name": name, "distance": 0.2}
        self._spool.append(Event(id=event_id, camera="door", captured_at=utcnow(), track=1, **told))
        Poster(self._plane, self._spool).step()
        assert not len(self._spool), "it was acknowledged"
        return event_id


def run(command: str, data: Path, *arguments: object) -> Result:
    return CliRunner().invoke(cli, [command, *map(str, arguments), "--data", str(data)])


@contextmanager
def on(kind: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Whoever reads the environment meanwhile is on a new database of this kind."""
    with ExitStack() as stack:
        patch = stack.enter_context(monkeypatch.context())
        if kind == "postgres":
            patch.setenv("DATABASE_URL", stack.enter_context(services.postgres_database()))
        yield


def migrate(data: Path) -> None:
    done = run("migrate", data)
    assert done.exit_code == 0, done.output


@pytest.mark.parametrize("kind", services.DATABASES)
@pytest.mark.timeout(240)
def test_a_backup_of_the_running_product_is_put_back_and_the_erased_stay_gone(
    kind: str, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos = {name: (data / "portraits" / f"{name}.jpg").read_bytes() for name in ("biden", "obama")}
    home, folder, keys = tmp_path / "data", tmp_path / "backup", tmp_path / "keys"
    with on(kind, monkeypatch):
        migrate(home)
        product = Product(home)
        with product.running():
            product.key = product.new_key()
            leaked = product.new_key("viewer")
            edge = Edge(product, tmp_path / "edge")
            biden, obama = (product.enroll(name, photo) for name, photo in photos.items())
            edge.sync()
            edge.see("biden", biden)
            stop = threading.Event()
            thread = threading.Thread(target=_add_until, args=(product, stop))
            thread.start()
            made = run("backup", home, folder, "--vault", keys)
            stop.set()
            thread.join()
            assert made.exit_code == 0, made.output
            assert "1 events, 2 photos" in made.output
            then = product.named()
            _much_happens(product, edge, obama, leaked)
            came = product.ask("GET", "/v1/events").json()["items"][-1]["position"]
            refused = run("restore", home, folder, "--replace")
            assert "control plane or worker is running" in str(refused.exception)
        head = verified_head(home)
        assert "would be lost" in str(run("restore", home, folder).exception)
        back = run("restore", home, folder, "--replace")
        assert back.exit_code == 0, back.output
        assert "1 people who were erased since the backup are erased again" in back.output
        assert "1 events." in back.output.partition("Lost is")[2]
        assert "database.restore" in CliRunner().invoke(cli, ["audit", "show", "--data", str(home)]).output
        verified_head(home, "--head", head)
        with product.running():
            now = product.named()
            assert {"biden"} <= now.keys() <= then.keys() - {"obama"}
            assert product.photo(biden) == photos["biden"]
            product.key, admin = leaked, product.key
            assert product.ask("GET", "/v1/identities").status_code == 401, "it was revoked since"
            product.key = admin
            ahead = edge.position.revision
            while (revision := product.ask("GET", "/v1/galleries/default").json()["revision"]) < ahead:
                product.people(f"New {revision}")
            assert revision == ahead, "the edge stands at this revision of what is lost"
            assert edge.sync() == product.named()
            seen = edge.see("biden", biden)
            (event,) = product.ask("GET", "/v1/events", params={"after": came}).json()["items"]
            assert event["id"] == str(seen), "whoever reads on finds what is new"
            assert product.enroll("new", photos["obama"])
        edge.close()


def _much_happens(product: Product, edge: Edge, erased: str, leaked: str) -> None:
    """What a restore undoes, and what it does not."""
    edge.see("obama", erased)
    assert product.ask("DELETE", f"/v1/identities/{erased}").ok
    assert product.ask("DELETE", f"/v1/keys/{leaked.split('_')[1]}").ok
    product.people(*(f"Later {number}" for number in range(8)))
    edge.renew()
    assert edge.sync() == product.named()


def verified_head(home: Path, *arguments: str) -> str:
    verified = CliRunner().invoke(cli, ["audit", "verify", *arguments, "--data", str(home)])
    assert verified.exit_code == 0, verified.exception
    return verified.output.strip()


def _add_until(product: Product, stop: threading.Event) -> None:
    number = 0
    while not stop.is_set():
        product.people(f"Beside {number}")
        number += 1


@pytest.mark.skipif(len(services.DATABASES) < 2, reason="goes from one kind of database to the other")
@pytest.mark.timeout(240)
def test_a_backup_goes_to_another_machine_and_another_kind_of_database(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photo = (data / "portraits" / "biden.jpg").read_bytes()
    homes = [tmp_path / place / "data" for place in ("first", "second", "third")]
    product = Product(homes[0])
    with product.running():
        biden = product.enroll("biden", photo)
    back_up(homes[0], tmp_path / "1")
    for number, kind in ((1, "postgres"), (2, "sqlite")):
        with on(kind, monkeypatch):
            shutil.copytree(homes[0] / "secrets", homes[number] / "secrets")
            back = run("restore", homes[number], tmp_path / f"{number}/backup", "--vault", tmp_path / f"{number}/keys")
            assert back.exit_code == 0, back.output
            moved = Product(homes[number])
            with moved.running():
                assert (moved.named(), moved.photo(biden)) == ({"biden": biden}, photo)
            back_up(homes[number], tmp_path / f"{number + 1}")


@pytest.mark.skipif("postgres" not in services.DATABASES, reason="Postgres alone")
def test_on_a_new_machine_with_nothing_but_the_master_key_the_keys_of_the_backup_are_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runner = CliRunner()
    with on("postgres", monkeypatch), services.postgres_database() as vault:
        monkeypatch.setenv("VAULT_URL", vault)
        monkeypatch.setenv("SECRET_KEY", masterkey.as_text(bytes(32)))
        migrate(tmp_path / "first")
        words = ["keys", "create", "--role", "admin", "--name", "gate", "--data", str(tmp_path / "first")]
        assert runner.invoke(cli, words).exit_code == 0
        back_up(tmp_path / "first", tmp_path / "1")
    with on("postgres", monkeypatch), services.postgres_database() as vault:
        monkeypatch.setenv("VAULT_URL", vault)
        back = run("restore", tmp_path / "new", tmp_path / "1" / "backup", "--vault", tmp_path / "1" / "keys")
        assert back.exit_code == 0, back.output
        assert "gate" in runner.invoke(cli, ["keys", "list", "--data", str(tmp_path / "new")]).output


def back_up(home: Path, into: Path) -> None:
    made = run("backup", home, into / "backup", "--vault", into / "keys")
    assert made.exit_code == 0, made.output


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A data folder with a vault and nobody in it."""
    folder = tmp_path / "data"
    folder.mkdir()
    with Database(f"sqlite:///{folder / 'rollcall.db'}", vault=vault_in(folder)) as database:
        schema.migrate(database, NOW)
        seals.bind(database)
    return folder


def test_folders_that_defeat_the_purpose_are_refused(home: Path, tmp_path: Path) -> None:
    for arguments in (
        (home / "backup",),
        (home.parent,),
        (tmp_path / "b", "--vault", tmp_path / "b" / "keys"),
        (tmp_path / "b", "--vault", home / "keys"),
    ):
        refused = run("backup", home, *arguments)
        assert isinstance(refused.exception, Invalid), refused.output
        assert "apart from" in str(refused.exception)
    assert not (tmp_path / "b").exists()


def test_what_is_no_whole_backup_is_refused_and_changes_nothing(home: Path, tmp_path: Path) -> None:
    folder = tmp_path / "backup"
    folder.mkdir()
    before = (home / "rollcall.db").read_bytes()

    def refused() -> str:
        done = run("restore", home, folder, "--replace")
        assert isinstance(done.exception, BadBackup), done.output
        return str(done.exception)

    assert "holds no backup" in refused()
    back_up(home, tmp_path)
    (file,) = folder.glob("rollcall-*.db")
    whole = file.read_bytes()
    file.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    assert "not what it was" in refused()
    file.write_bytes(whole)
    manifest = folder / "backup.json"
    manifest.write_text(manifest.read_text().replace('"format": 1', '"format": 2'))
    assert "format" in refused()
    manifest.write_text("{")
    assert "cannot be read" in refused()
    assert (home / "rollcall.db").read_bytes() == before


def test_a_backup_that_broke_off_leaves_the_one_before_whole(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    back_up(home, tmp_path)
    first = backup.read(tmp_path / "backup")
    with monkeypatch.context() as patch:
        patch.setattr(backup, "_write_last", _breaks_off)
        assert run("backup", home, tmp_path / "backup").exit_code == 1
    assert backup.read(tmp_path / "backup") == first
    back_up(home, tmp_path)
    assert len(list((tmp_path / "backup").glob("rollcall-*"))) == 1


def _breaks_off(*_: object) -> None:
    raise OSError(28, "No space left on device")


def test_without_its_vault_or_with_another_a_backup_is_not_put_back(home: Path, tmp_path: Path) -> None:
    back_up(home, tmp_path)
    new = tmp_path / "new"
    missing = run("restore", new, tmp_path / "backup")
    assert "there is no vault" in str(missing.exception)
    (tmp_path / "empty").mkdir()
    wrong = run("restore", new, tmp_path / "backup", "--vault", tmp_path / "empty")
    assert "does not hold the vault" in str(wrong.exception)
    keyless = run("restore", new, tmp_path / "backup", "--vault", tmp_path / "keys")
    assert "master key" in str(keyless.exception)
    open_vault(f"sqlite:///{tmp_path / 'other.db'}", Source(tmp_path / "key")).close()
    shutil.copy(tmp_path / "other.db", new / "vault.db")
    other = run("restore", new, tmp_path / "backup")
    assert "another vault" in str(other.exception)
    assert not (new / "rollcall.db").exists()


def test_backup_and_vault_are_for_their_owner_alone(home: Path, tmp_path: Path) -> None:
    back_up(home, tmp_path)
    kept = [path for place in ("backup", "keys") for path in (tmp_path / place).rglob("*")]
    assert kept
    for path in (tmp_path / "backup", tmp_path / "keys", *kept):
        assert path.stat().st_mode & 0o077 == 0, path
