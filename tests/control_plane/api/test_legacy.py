from __future__ import annotations

import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from control_plane.api import legacy
from control_plane.store import identities, import_items, imports
from control_plane.store.db import utcnow
from control_plane.store.import_items import ItemState, NewItem
from faces.errors import Reason


@pytest.fixture(autouse=True)
def _decided(decider: Any) -> None:
    """A worker is at work."""


def register(server: Any, name: str, photo: bytes = b"\xff\xd8\xffface", **fields: str) -> Any:
    return server.post("/register", data={"name": name, **fields}, files={"image": ("john.jpg", photo)})


def test_a_photo_is_registered_and_the_name_is_listed(server: Any) -> None:
    response = register(server, "John")
    assert response.status_code == 200
    assert response.headers["Content-Type"] == "application/json"
    assert response.json() == {"success": True, "message": "Face John registered successfully"}
    assert "John" in server.get("/faces").json()


def test_the_same_name_again_is_one_more_photo_of_that_person(server: Any) -> None:
    register(server, "Twice")
    register(server, "  Twice ")
    assert server.get("/faces").json().count("Twice") == 1
    (person,) = server.get("/v1/identities", params={"name": "Twice"}).json()["items"]
    assert person["photos"] == 2


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"data": {"name": "John"}},
        {"files": {"image": b"x"}},
        {"data": {"name": ""}, "files": {"image": b"x"}},
        {"data": {"name": "John", "image": "no file"}},
        {"data": b"{}", "headers": {"Content-Type": "application/json"}},
    ],
)
def test_missing_fields_are_answered_as_the_original_did(server: Any, options: dict[str, Any]) -> None:
    response = server.post("/register", **options)
    assert response.status_code == 400
    told = response.json()
    assert told["error"] == "name & image required"
    assert (told["success"], told["code"], told["status"]) == (False, "invalid", 400)
    assert told["type"]
    assert told["title"]


@pytest.mark.parametrize("name", [" ", "a\tb", "\x00", "x" * 201])
def test_a_name_that_is_none_is_refused(server: Any, name: str) -> None:
    response = register(server, name)
    assert (response.status_code, response.json()["code"], response.json()["success"]) == (400, "invalid", False)


def test_a_refused_photo_says_so_with_the_reason(server: Any) -> None:
    response = register(server, "Nobody", b"refuse:no_face")
    told = response.json()
    assert response.status_code == 422
    assert (told["success"], told["message"], told["reason"]) == (False, "This will not do.", "no_face")
    assert (told["code"], told["remedy"]) == ("refused", "Another.")
    assert "Nobody" not in server.get("/faces").json()


def test_a_photo_that_is_not_decided_in_time_can_be_followed(
    server: Any, decider: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(legacy, "LONGEST_WAIT_S", 0.2)
    with decider.at_work:
        response = register(server, "Patient")
    told = response.json()
    assert (response.status_code, told["success"]) == (202, False)
    followed = server.get(f"/v1/enrollments/{told['enrollment']}", headers={"Prefer": "wait=10"})
    assert (followed.json()["state"], followed.json()["name"]) == ("accepted", "Patient")


def test_unregistering_erases_the_person(server: Any) -> None:
    register(server, "Gone")
    response = server.post("/unregister", data={"name": "Gone"})
    assert (response.status_code, response.json()) == (200, {"success": True, "message": "Face Gone removed"})
    assert "Gone" not in server.get("/faces").json()
    assert server.get("/v1/identities", params={"name": "Gone"}).json()["items"] == []


def test_unregistering_nobody_is_not_found(server: Any) -> None:
    response = server.post("/unregister", files={"name": (None, "Nobody at all")})
    assert response.status_code == 404
    assert (response.json()["success"], response.json()["code"]) == (False, "not_found")
    assert "Nobody at all" in response.json()["message"]


@pytest.mark.parametrize("options", [{}, {"data": {"name": ""}}, {"files": {"image": b"x"}}])
def test_unregistering_without_a_name_is_answered_as_the_original_did(server: Any, options: dict[str, Any]) -> None:
    response = server.post("/unregister", **options)
    assert (response.status_code, response.json()["error"]) == (400, "name required")


def test_a_name_borne_by_several_people_is_ambiguous(server: Any) -> None:
    people = [server.person("Jan Jansen") for _ in range(2)]
    for response in (server.post("/unregister", data={"name": "Jan Jansen"}), register(server, "Jan Jansen")):
        assert (response.status_code, response.json()["code"]) == (409, "ambiguous_name")
        assert response.json()["success"] is False
    assert all(server.get(f"/v1/identities/{p}").status_code == 200 for p in people)


def test_who_has_no_encoding_is_not_listed(server: Any) -> None:
    server.person("Photoless", photos=0)
    assert "Photoless" not in server.get("/faces").json()


@pytest.fixture
def reader(server: Any, add_encoding: Any) -> Iterator[dict[str, Any]]:
    """In place of a worker that reads archives: the outcomes by file are those given in it."""
    plan: dict[str, Any] = {}
    stop = threading.Event()

    def work() -> None:
        while not stop.wait(0.005):
            with server.database.read() as connection:
                due = imports.due(connection, utcnow())
            for import_id in due:
                with server.database.write() as connection:
                    _read(connection, import_id, plan, add_encoding)

    thread = threading.Thread(target=work)
    thread.start()
    yield plan
    stop.set()
    thread.join()


def _read(connection: Any, import_id: str, plan: dict[str, Any], add_encoding: Any) -> None:
    now = utcnow()
    taken = imports.claim(connection, import_id, "reader", now)
    assert taken is not None
    if error := plan.get("error"):
        imports.fail(connection, import_id, now, error)
        return
    items, outcomes = [], []
    for seq, (entry, reason) in enumerate(plan.items()):
        place = None if reason else (0, 1, 1, 0, 0)
        items.append(NewItem(seq=seq, entry=entry, gallery_id="default", place=place, reason=reason))
        if not reason:
            person = identities.create(connection, entry.partition(".")[0], ["default"], now)
            add_encoding(connection, person)
            outcomes.append({"seq": seq, "state": ItemState.ACCEPTED, "identity_id": person})
    import_items.add(connection, import_id, items)
    import_items.looked_at(connection, import_id, outcomes)
    imports.run(connection, import_id, now, {})
    imports.finish(connection, import_id, now, imports.State.DONE)


def test_an_archive_is_answered_with_its_outcomes(server: Any, reader: dict[str, Any]) -> None:
    reader |= {"katya.jpg": None, "zero.jpg": None, "cat.jpg": Reason.NO_FACE}
    response = server.post("/register-faces", files={"zip": ("faces.zip", b"PK...")})
    assert response.status_code == 200
    assert response.json() == {"success": True, "result": {"registered": 2, "failed": ["cat.jpg"]}}
    assert {"katya", "zero"} <= set(server.get("/faces").json())


def test_an_archive_that_cannot_be_read_says_so(server: Any, reader: dict[str, Any]) -> None:
    reader["error"] = {"code": Reason.UNREADABLE_ARCHIVE, "message": "This is not a ZIP archive."}
    response = server.post("/register-faces", files={"zip": ("faces.zip", b"no zip")})
    told = response.json()
    assert (response.status_code, told["success"], told["reason"]) == (422, False, "unreadable_archive")
    assert told["message"] == "This is not a ZIP archive."


def test_an_archive_that_takes_long_can_be_followed(server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(legacy, "LONGEST_WAIT_S", 0.2)
    response = server.post("/register-faces", files={"zip": ("faces.zip", b"PK...")})
    assert (response.status_code, response.json()["success"]) == (202, False)
    assert server.get(f"/v1/imports/{response.json()['import']}").json()["state"] == "pending"


@pytest.mark.parametrize("options", [{}, {"files": {"image": b"x"}}, {"data": {"zip": "x"}}])
def test_a_missing_archive_is_answered_as_the_original_did(server: Any, options: dict[str, Any]) -> None:
    response = server.post("/register-faces", **options)
    assert (response.status_code, response.json()["error"]) == (400, "zip missing")


def test_a_wrong_method_has_the_originals_members_too(server: Any) -> None:
    response = server.get("/register")
    assert (response.status_code, response.json()["code"], response.json()["success"]) == (
        405,
        "method_not_allowed",
        False,
    )
    assert response.headers["Allow"] == "POST"


def test_the_curl_lines_of_the_originals_readme_work(server: Any, tmp_path: Path) -> None:
    (tmp_path / "john.jpg").write_bytes(b"\xff\xd8\xffface")

    def curl(*arguments: str) -> str:
        done = subprocess.run(["curl", "-sS", *arguments], cwd=tmp_path, capture_output=True, text=True, check=True)
        return done.stdout

    said = curl("-X", "POST", f"{server.url}/register", "-F", "name=Curly", "-F", "image=@john.jpg")
    assert said == '{"success":true,"message":"Face Curly registered successfully"}'
    assert '"Curly"' in curl(f"{server.url}/faces")
    said = curl("-X", "POST", f"{server.url}/unregister", "-F", "name=Curly")
    assert said == '{"success":true,"message":"Face Curly removed"}'
