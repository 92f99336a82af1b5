from __future__ import annotations

import csv
import io
import threading
import time
from typing import Any

import pytest

from control_plane.api.imports import told
from control_plane.store import import_items, imports
from control_plane.store.db import utcnow
from control_plane.store.import_items import NewItem
from faces.errors import Reason


def hand_in(server: Any, **options: Any) -> Any:
    return server.post("/v1/imports", data=b"PK...", headers={"Content-Type": "application/zip"}, **options)


def test_an_archive_is_taken_stored_and_shown(server: Any) -> None:
    response = hand_in(server)
    made = response.json()
    assert (response.status_code, made["state"], made["gallery_id"]) == (202, "pending", "default")
    assert server.get(response.headers["Location"]).json() == made
    with server.database.write() as connection:
        work = imports.claim(connection, made["id"], "x", utcnow())
    assert work is not None
    assert server.blobs.get(work.blob) == b"PK..."
    assert not work.force


def test_an_archive_may_come_in_a_form_and_be_forced(server: Any) -> None:
    ids = [
        server.post("/v1/imports", files={"zip": b"PK"}, data={"force": "1"}).json()["id"],
        hand_in(server, params={"force": "true"}).json()["id"],
    ]
    with server.database.write() as connection:
        works = [imports.claim(connection, i, "x", utcnow()) for i in ids]
    assert [w is not None and w.force for w in works] == [True, True]


def test_who_waits_is_answered_when_the_last_photo_is_decided(server: Any) -> None:
    def work() -> None:
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            with server.database.write() as connection:
                for due in imports.due(connection, utcnow()):
                    imports.claim(connection, due, "x", utcnow())
                    imports.run(connection, due, utcnow(), {})
                    imports.finish(connection, due, utcnow(), imports.State.DONE)
                    if due == latest():
                        return
            time.sleep(0.01)

    def latest() -> str:
        with server.database.read() as connection:
            return imports.listing(connection, limit=500)[-1].id

    before = latest() if server.get("/v1/imports").json()["items"] else ""
    thread = threading.Thread(target=work)
    thread.start()
    response = server.post("/v1/imports", data=b"PK", headers={"Content-Type": "application/zip", "Prefer": "wait=10"})
    thread.join()
    assert (response.status_code, response.json()["state"]) == (201, "done")
    assert response.json()["id"] > before


def with_items(server: Any, *items: NewItem) -> str:
    import_id: str = hand_in(server).json()["id"]
    with server.database.write() as connection:
        import_items.add(connection, import_id, items)
        imports.run(connection, import_id, utcnow(), {"folder": 1})
    return import_id


def item(seq: int, reason: Reason | None = None, **fields: Any) -> NewItem:
    place = None if reason else (0, 1, 1, 0, 0)
    return NewItem(seq=seq, entry=f"{seq}.jpg", gallery_id="default", place=place, reason=reason, **fields)


def test_its_photos_are_listed_by_outcome_page_by_page(server: Any) -> None:
    import_id = with_items(server, *(item(n, Reason.NO_FACE if n % 2 else None) for n in range(5)))
    path = f"/v1/imports/{import_id}/items"
    first = server.get(path, params={"limit": 3}).json()
    second = server.get(path, params={"limit": 3, "after": first["next"]}).json()
    assert [e["entry"] for e in first["items"] + second["items"]] == [f"{n}.jpg" for n in range(5)]
    assert second["next"] is None
    refused = server.get(path, params={"state": "refused", "reason": "no_face"}).json()["items"]
    assert [(e["entry"], e["reason"]) for e in refused] == [("1.jpg", "no_face"), ("3.jpg", "no_face")]
    shown = server.get(f"/v1/imports/{import_id}").json()
    assert (shown["refused"], shown["pending"], shown["accepted"], shown["total"]) == (2, 3, 0, 5)
    assert shown["skipped"] == {"folder": 1}
    assert shown["rate_per_s"] > 0
    assert shown["left_s"] is not None


def test_the_csv_of_refusals_runs_no_formula(server: Any) -> None:
    evil = '=HYPERLINK("http://evil")'
    refused = item(0, Reason.LOOK_ALIKE, name=evil, message='no, "really"', detail={"name": "@you", "distance": 0.1})
    import_id = with_items(server, refused, item(1))
    response = server.get(f"/v1/imports/{import_id}/refusals.csv")
    assert response.headers["Content-Disposition"].startswith("attachment")
    head, row = csv.reader(io.StringIO(response.text))
    assert head[:4] == ["entry", "name", "external_id", "reason"]
    assert row == ["0.jpg", f"'{evil}", "", "look_alike", 'no, "really"', "", "'@you", "0.1"]


def test_it_is_cancelled_while_it_runs_and_undone_when_it_is_finished(server: Any) -> None:
    import_id = with_items(server, item(0))
    path = f"/v1/imports/{import_id}"
    assert server.post(f"{path}/undo").json()["code"] == "conflict"
    for _ in range(2):
        assert server.post(f"{path}/cancel").json()["state"] == "cancelling"
    with server.database.write() as connection:
        imports.finish(connection, import_id, utcnow(), imports.State.CANCELLED)
    for _ in range(2):
        response = server.post(f"{path}/undo")
        assert (response.status_code, response.json()["state"]) == (202, "undoing")
    assert server.post(f"{path}/cancel").status_code == 409


def test_only_photos_that_were_refused_for_their_likeness_can_be_accepted(server: Any) -> None:
    import_id = with_items(server, item(0, Reason.NO_FACE))
    path = f"/v1/imports/{import_id}/accept"
    assert server.post(path, json={"items": [0]}).json()["code"] == "conflict"
    assert server.post(path, json={"all": True}).status_code == 202


def test_an_archive_that_cannot_be_read_is_a_problem(server: Any) -> None:
    import_id = hand_in(server).json()["id"]
    with server.database.write() as connection:
        imports.fail(connection, import_id, utcnow(), {"code": "unreadable_archive", "message": "No ZIP."})
        response = told(imports.get(connection, import_id))
    assert response.status_code == 422
    assert b'"reason":"unreadable_archive"' in response.body
    assert b'"detail":"No ZIP."' in response.body


def test_all_are_listed_oldest_first(server: Any) -> None:
    ids = [hand_in(server).json()["id"] for _ in range(3)]
    listed: list[str] = []
    after = ""
    while after is not None:
        page = server.get("/v1/imports", params={"limit": 2, "after": after}).json()
        listed += [i["id"] for i in page["items"]]
        after = page["next"]
    assert listed == sorted(listed)
    assert set(ids) <= set(listed)


@pytest.mark.parametrize("path", ["/v1/imports/none", "/v1/imports/none/items"])
def test_an_import_that_is_not_there_is_not_found(server: Any, path: str) -> None:
    assert server.get(path).status_code == 404


def test_an_archive_for_a_gallery_that_is_not_there_is_not_kept(server: Any) -> None:
    files = server.files()
    assert hand_in(server, params={"gallery": "nowhere"}).status_code == 404
    assert server.files() <= files


@pytest.mark.parametrize(
    "options",
    [{"data": {"zip": "x"}}, {"files": {"image": b"x"}}, {"data": b"", "headers": {"Content-Type": "application/zip"}}],
)
def test_a_missing_archive_is_refused(server: Any, options: dict[str, Any]) -> None:
    response = server.post("/v1/imports", **options)
    assert (response.status_code, response.json()["code"]) == (400, "invalid")


def test_an_archive_larger_than_the_limit_is_refused(running: Any, fresh: Any, tmp_path: Any) -> None:
    with running(fresh(tmp_path), tmp_path, MAX_ARCHIVE_BYTES="100000") as server:
        for body in (b"x" * 400_000, iter([b"x" * 400_000]), b"x" * 100_001):
            response = server.post("/v1/imports", data=body, headers={"Content-Type": "application/zip"})
            assert (response.status_code, response.json()["code"]) == (413, "too_large")
        assert not server.files()
