from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from control_plane.store import reencodings
from control_plane.store.db import Database, utcnow
from tests.control_plane.conftest import Server, running


def work(server: Server, row: str) -> None:
    """In place of a worker: refuses every photo."""
    with server.database.write() as connection:
        reencodings.plan(connection, row, "sface")
        for key in reencodings.due(connection, utcnow()):
            claimed = reencodings.claim(connection, key, "w", utcnow())
            assert claimed is not None
            for photo in claimed.photos:
                reencodings.refused(connection, claimed, photo.id, reencodings.Reason.NO_FACE, "No face.")
            reencodings.close(connection, claimed, "w")
        reencodings.plan(connection, row, "sface")


def test_a_change_of_the_engine_is_followed_and_switched(fresh: Callable[[Path], Database], tmp_path: Path) -> None:
    with running(fresh(tmp_path), tmp_path) as server:
        ann = server.person("Ann")
        begun = server.post("/v1/reencodings", json={"engine": "face_recognition"})
        assert (begun.status_code, begun.json()["state"]) == (202, "running")
        path = begun.headers["Location"]
        assert server.post("/v1/reencodings", json={"engine": "face_recognition"}).status_code == 409
        assert server.post("/v1/reencodings", json={"engine": "no-such"}).status_code == 400
        work(server, begun.json()["id"])
        shown = server.get(path).json()
        assert (shown["state"], shown["photos"], shown["refused"], shown["losses"]) == ("ready", 1, 1, 1)
        assert server.get(f"{path}/refusals").json()["items"][0]["reason"] == "no_face"
        assert server.get(f"{path}/losses").json()["items"] == [{"identity_id": ann, "name": "Ann"}]
        assert server.post(f"{path}/switch", json={}).status_code == 409
        server.person("Bob")
        assert server.post(f"{path}/switch", json={"accept_losses": True}).status_code == 409
        assert server.get(path).json()["state"] == "running"
        work(server, begun.json()["id"])
        switched = server.post(f"{path}/switch", json={"accept_losses": True})
        assert (switched.status_code, switched.json()["state"]) == (200, "switched")
        assert server.get("/v1/galleries/default").json()["model"] == "face_recognition"
        made = server.post("/v1/galleries", json={"name": "staff"}).json()
        assert made["model"] == "face_recognition"
        assert server.post(f"{path}/cancel").status_code == 409
        assert server.post("/v1/reencodings/cleanup").json() == {"removed": 2}
        back = server.post("/v1/reencodings", json={"engine": "sface"})
        assert server.post(f"{back.headers['Location']}/cancel").json()["state"] == "cancelled"
        assert len(server.get("/v1/reencodings").json()["items"]) == 2
