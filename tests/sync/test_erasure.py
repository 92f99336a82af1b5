"""People are erased while edges come and go: nobody is recognised by an edge that has confirmed it, and no byte of them
is left in any file, at the centre or at an edge."""

from __future__ import annotations

import secrets
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import numpy as np
import pytest

from control_plane.store import db as store_db
from control_plane.store import enrollments, figures, galleries, identities, import_items, imports, members, sites
from control_plane.store.db import Connection, Database, new_id, utcnow
from control_plane.store.import_items import ItemState, NewItem
from edge.delivery import Poster
from edge.link import Link, link_url
from edge.plane import ControlPlane, headers
from edge.repeat import Backoff, Repeater
from edge.replica import Replica
from edge.spool import Spool
from edge.uplink import Syncer
from faces.encoding import SFACE, from_bytes, to_bytes, unit
from faces.errors import Reason
from faces.events import Event, Status, uuid7
from faces.gallery import EncodingRow, SettingsRow
from faces.wire import Hello, LinkStatus
from jobs import scrub
from jobs.scrub import Scrubbing
from tests.control_plane.conftest import Server, running, wait_for
from tests.scan import blocks_of, holds
from tests.sync.world import template

EDGES = 5
STAFF = "staff"


def vector() -> bytes:
    return to_bytes(unit(np.random.default_rng().standard_normal(128).astype(np.float32)))


def picture() -> bytes:
    return b"\xff\xd8" + secrets.token_bytes(300)


@dataclass
class Person:
    """Somebody, and all that must not be left of them."""

    name: str = field(default_factory=lambda: f"name {secrets.token_hex(8)}")
    attribute: str = field(default_factory=lambda: secrets.token_hex(8))
    external_id: str = field(default_factory=lambda: secrets.token_hex(8))
    templates: list[bytes] = field(default_factory=lambda: [vector(), vector()])
    pictures: list[bytes] = field(default_factory=list)
    id: str = ""

    def picture(self) -> bytes:
        self.pictures.append(picture())
        return self.pictures[-1]

    def template(self) -> bytes:
        self.templates.append(vector())
        return self.templates[-1]

    @property
    def texts(self) -> list[bytes]:
        return [text.encode() for text in (self.name, self.attribute, self.external_id)]

    @property
    def blocks(self) -> set[bytes]:
        return blocks_of([*self.templates, *self.pictures])


def held_in(folder: Path, people: list[Person]) -> list[str]:
    """The files of a folder that hold anything of these people."""
    blocks = {block for person in people for block in person.blocks}
    texts = [text for person in people for text in person.texts]
    files = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    return [path.name for path, data in files.items() if holds(data, blocks) or any(text in data for text in texts)]


class EdgeBox:
    """An edge without a camera: its files, and what runs of it while it is on the line."""

    def __init__(self, url: str, folder: Path, number: int) -> None:
        folder.mkdir()
        self.id = uuid4()
        self.folder = folder
        self.replica = Replica(folder / "galleries.db", SFACE)
        self.spool = Spool(folder / "spool.db")
        self._url = url
        self._hello = Hello(name=f"box {number}", version="1", engine=SFACE, cameras=["door"])
        self._running: list[tuple[Any, threading.Thread]] = []
        self._planes: list[ControlPlane] = []
        self._spooled: Callable[[], None] = lambda: None

    def _plane(self) -> ControlPlane:
        self._planes.append(ControlPlane(self._url, self.id))
        return self._planes[-1]

    def go_online(self) -> None:
        poster = Repeater("events", Poster(self._plane(), self.spool).step, Backoff(0.05, 0.2))
        self._spooled = poster.wake
        syncer = Syncer(self._plane(), self.replica, self._hello, poster.hurry, None, self.spool)
        syncing = Repeater("galleries", syncer.step, Backoff(0.05, 0.2))

        def hinted(hint: Any) -> None:
            if hint:
                syncer.hint(hint)
            syncing.hurry()

        link = Link(
            link_url(self._url),
            lambda: headers(self.id),
            hinted=hinted,
            ordered=lambda: None,
            status=lambda: LinkStatus(cameras=[], spooled=0),
            quality=70,
        )
        for part in (syncing, poster, link):
            thread = threading.Thread(target=part.run)
            thread.start()
            self._running.append((part, thread))

    def go_offline(self) -> None:
        for part, _ in self._running:
            part.stop()
        for _, thread in self._running:
            thread.join(20)
        for plane in self._planes:
            plane.close()
        self._running, self._planes = [], []

    def close(self) -> None:
        self.go_offline()
        self.replica.close()
        self.spool.close()

    def sees(self, person: Person, *, refused: bool = False) -> None:
        """Spool an event of somebody; with `refused`, as if the control plane would not have it."""
        event = Event(
            id=uuid7(utcnow(), secrets.token_bytes(10)),
            camera="door",
            captured_at=utcnow(),
            status=Status.PASS,
            identity_id=person.id,
            name=person.name,
            distance=0.2,
            thumbnail=person.picture(),
        )
        self.spool.append(event)
        if refused:
            self.spool.quarantine(event.id, "for a test")
        self._spooled()

    def recognises(self, person: Person) -> bool:
        probes = np.stack([from_bytes(template) for template in person.templates])
        found = [match for held in self.replica.held for match in held.gallery.search(probes)]
        return any(c is not None and c.identity_id == person.id for match in found for c in match)


class Office:
    """A control plane with people, and edges that follow them."""

    def __init__(self, server: Server, folder: Path, people: int) -> None:
        self.server = server
        self.centre = folder / "centre"
        self.people = [Person() for _ in range(people)]
        self.edges = [EdgeBox(server.url, folder / f"edge-{n}", n) for n in range(EDGES)]
        with server.database.write() as connection:
            galleries.create(connection, SettingsRow(STAFF, STAFF), utcnow())
            sites.follow(connection, sites.DEFAULT_SITE, [galleries.DEFAULT_GALLERY, STAFF])
        self._scrubbing = Scrubbing(server.database, server.blobs, _after_patience, stopwatch=lambda: 0.0)
        self._hook = server.post("/v1/webhooks", json={"url": "http://127.0.0.1:9/", "statuses": ["PASS"]})
        for number, person in enumerate(self.people):
            with server.database.write() as connection:
                self._enroll(connection, person, number)
        self.server.database.truncate_wal()

    def _enroll(self, connection: Connection, person: Person, number: int) -> None:
        """Two photos each; every second is in another gallery too, and every third has left things half done."""
        now = utcnow()
        person.id = identities.create(
            connection,
            person.name,
            [galleries.DEFAULT_GALLERY],
            now,
            external_id=person.external_id,
            attributes={"note": person.attribute},
        )
        for data in list(person.templates):
            photo = identities.Photo(id=new_id(now), identity_id=person.id, quality={}, created_at=now)
            self.server.blobs.put(f"photos/{photo.id}", person.picture())
            identities.add_photo(connection, photo, blob=f"photos/{photo.id}", sha256=secrets.token_hex(32))
            row = EncodingRow(new_id(now), person.id, SFACE, data)
            identities.add_encoding(connection, row, now, photo_id=photo.id)
        if number % 2:
            members.join(connection, STAFF, person.id, now)
        if number % 3 == 0:
            self._leave_things_half_done(connection, person)

    def _leave_things_half_done(self, connection: Connection, person: Person) -> None:
        """A photo by id and one by name that wait; one that was refused; items of imports, undecided and refused."""
        now = utcnow()
        for whose in ({"identity_id": person.id, "name": person.name}, {"name": person.name}, {"name": person.name}):
            blob = f"photos/{new_id(now)}"
            self.server.blobs.put(blob, person.picture())
            last = enrollments.submit(
                connection, now, gallery_id=galleries.DEFAULT_GALLERY, blob=blob, sha256=secrets.token_hex(32), **whose
            )
        enrollments.refuse(
            connection,
            last,
            now,
            reason=Reason.LOOK_ALIKE,
            message=f"like {person.name}",
            detail={"identity_id": person.id, "name": person.name},
        )
        self.server.blobs.delete([blob])
        row = imports.submit(connection, now, gallery_id=galleries.DEFAULT_GALLERY, blob="archives/00")
        imports.run(connection, row, now, {})
        import_items.add(
            connection,
            row,
            [
                NewItem(
                    seq=seq,
                    entry=f"{person.name}/{seq}.jpg",
                    gallery_id=galleries.DEFAULT_GALLERY,
                    place=(0, 0),
                    name=person.name,
                    attributes={"note": person.attribute},
                )
                for seq in range(3)
            ],
        )
        encoded = {"state": ItemState.ENCODED, "sha256": "0", "quality": {}}
        import_items.looked_at(connection, row, [{"seq": s, "encoding": person.template(), **encoded} for s in (1, 2)])
        refusal = {"reason": Reason.NOT_SAME_PERSON, "message": f"not {person.name}", "detail": {}}
        import_items.admitted(connection, row, [{"seq": 2, "state": ItemState.REFUSED, **refusal}])
        self.server.blobs.put(import_items.photo_blob(row, 2), person.picture())

    def close(self) -> None:
        for edge in self.edges:
            edge.close()

    def erasure(self, person: Person) -> dict[str, Any]:
        told: dict[str, Any] = self.server.get(f"/v1/identities/{person.id}/erasure").json()
        return told

    def confirmed(self, person: Person) -> set[UUID]:
        """The edges that have nothing to confirm any more."""
        told = self.erasure(person)
        pending = {UUID(edge["edge_id"]) for edge in told["pending"]}
        return {UUID(edge["edge_id"]) for edge in told["confirmed"]} - pending

    def scrubbed(self) -> bool:
        """Scrub; whether all is done with. Somebody who reads just then is in its way."""
        self._scrubbing.run("")
        with self.server.database.read() as connection:
            return not scrub.due(connection, _after_patience())

    def settled(self) -> bool:
        heads = self.server.database
        with heads.read() as connection:
            revisions = galleries.revisions(connection)
        return all(
            {held.id: held.position.revision for held in edge.replica.held} == revisions and not len(edge.spool)
            for edge in self.edges
        )


def _after_patience() -> datetime:
    return utcnow() + scrub.PATIENCE


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Callable[[int], Office]]:
    with ExitStack() as stack:

        def make(people: int) -> Office:
            centre = tmp_path / "centre"
            centre.mkdir()
            (centre / "rollcall.db").write_bytes(template())
            server = stack.enter_context(running(Database(f"sqlite:///{centre / 'rollcall.db'}"), centre))
            office = Office(server, tmp_path, people)
            stack.callback(office.close)
            return office

        yield make


def erase_many(office: Office, count: int) -> None:
    """Erase `count` people, one edge being away meanwhile; check whatever must hold then, and after it is back."""
    erased, others = office.people[:count], office.people[count:]
    away, online = office.edges[-1], office.edges[:-1]
    for edge in office.edges:
        edge.go_online()
    wait_for(office.settled)
    for number, person in enumerate(office.people):
        office.edges[number % EDGES].sees(person)
    for edge in office.edges:
        wait_for(lambda edge=edge: not len(edge.spool))
    away.go_offline()
    for person in office.people:
        away.sees(person)
        away.sees(person, refused=True)
        online[0].sees(person, refused=True)
    everywhere = [office.centre, *(edge.folder for edge in office.edges)]
    assert all(held_in(folder, erased) for folder in everywhere), "the scan does not find those who are there"

    online_ids = {edge.id for edge in online}
    for person in erased:
        assert all(edge.recognises(person) for edge in office.edges)
        assert office.server.call("DELETE", f"/v1/identities/{person.id}").status_code == 204
        wait_for(lambda person=person: office.confirmed(person) == online_ids)
        assert not any(edge.recognises(person) for edge in online), "an erased person is matched"
    told = [office.erasure(person) for person in erased]
    assert all({UUID(edge["edge_id"]) for edge in each["pending"]} == {away.id} for each in told)
    wait_for(office.scrubbed)
    for folder in everywhere[:-1]:
        assert held_in(folder, erased) == [], f"{folder.name}: something is left"

    away.go_online()
    everybody = {edge.id for edge in office.edges}
    for person in erased:
        wait_for(lambda person=person: office.erasure(person)["complete"])
        assert office.confirmed(person) == everybody
    assert not any(edge.recognises(person) for edge in office.edges for person in erased)
    wait_for(office.settled)
    for folder in everywhere:
        assert held_in(folder, erased) == [], f"{folder.name}: something is left"
    for person in others:
        assert all(edge.recognises(person) for edge in office.edges)
        assert all(held_in(folder, [person]) for folder in everywhere)
    assert office.server.get("/v1/alarms").json()["items"] == []


def test_those_erased_are_recognised_nowhere_and_in_no_file(office: Callable[[int], Office]) -> None:
    erase_many(office(15), 12)


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_two_hundred_erasures(office: Callable[[int], Office]) -> None:
    erase_many(office(250), 200)


def test_no_erasure_waits_for_an_edge_whose_site_follows_the_gallery_no_more(office: Callable[[int], Office]) -> None:
    made = office(3)
    edge, person = made.edges[0], made.people[0]
    edge.go_online()
    wait_for(lambda: len(edge.replica.held) == 2 and edge.recognises(person))
    wait_for(lambda: len(made.server.get(f"/v1/edges/{edge.id}").json()["galleries"]) == 2)
    edge.sees(person, refused=True)
    edge.go_offline()
    with made.server.database.write() as connection:
        sites.follow(connection, sites.DEFAULT_SITE, [STAFF])
    assert made.server.call("DELETE", f"/v1/identities/{person.id}").status_code == 204
    wait_for(made.scrubbed)
    (waited_for,) = made.erasure(person)["pending"]
    assert waited_for["edge_id"] == str(edge.id), "its copy is there"
    edge.go_online()
    wait_for(lambda: made.erasure(person)["complete"])
    assert held_in(edge.folder, [person]) == []
    (left,) = made.server.get(f"/v1/edges/{edge.id}").json()["galleries"]
    assert left["gallery_id"] == STAFF
    with made.server.database.read() as connection:
        assert figures.figures(connection, utcnow()).lag_s == 0.0


def left_in_the_centres_log(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Database, "truncate_wal", lambda self: True)


def left_in_the_edges_log(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Replica, "_truncate", lambda self: None)


def left_in_freed_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    connected = store_db._on_sqlite_connect

    def connect(connection: sqlite3.Connection, record: object) -> None:
        connected(connection, record)
        connection.execute("PRAGMA secure_delete=OFF")

    monkeypatch.setattr(store_db, "_on_sqlite_connect", connect)
    monkeypatch.setattr(Database, "scrub", lambda self, tables: self.truncate_wal())


def left_in_what_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Spool, "forget", lambda self, identity_ids: True)


@pytest.mark.parametrize(
    "plant", [left_in_the_centres_log, left_in_the_edges_log, left_in_freed_pages, left_in_what_waits]
)
def test_what_is_left_is_found(
    plant: Callable[[pytest.MonkeyPatch], None], office: Callable[[int], Office], monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(monkeypatch)
    with pytest.raises(AssertionError, match="something is left"):
        erase_many(office(3), 2)
