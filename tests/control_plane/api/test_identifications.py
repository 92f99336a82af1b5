from __future__ import annotations

from control_plane.store import discards, identifications
from control_plane.store.db import utcnow
from control_plane.store.identifications import Candidate, FoundFace
from faces.errors import Reason
from faces.gallery import Kind
from tests.control_plane.conftest import JPEG, Server

KIND = {"Content-Type": "image/jpeg"}


def settle(server: Server, row: str, found: list[FoundFace] | Reason) -> None:
    """In place of a worker."""
    now = utcnow()
    with server.database.write() as connection:
        work = identifications.claim(connection, row, "w", now)
        assert work is not None
        if isinstance(found, Reason):
            gone = identifications.refuse(connection, work, "w", now, now, reason=found, message="No.")
        else:
            gone = identifications.finish(connection, work, "w", now, now, engine="sface", found=found)
    discards.carry_out(server.database, server.blobs, gone)


def test_a_photo_is_asked_about_and_answered(server: Server) -> None:
    ann = server.person("Ann")
    asked = server.post("/v1/identify", data=JPEG, headers=KIND)
    assert (asked.status_code, asked.json()["galleries"]) == (202, ["default"])
    near = Candidate(identity_id=ann, gallery_id="default", kind=Kind.ALLOW, distance=0.2, threshold=0.45)
    settle(server, asked.json()["id"], [FoundFace(box=(1, 2, 3, 4), quality={}, candidates=[near])])
    told = server.get(asked.headers["Location"], headers={"Prefer": "wait=5"}).json()
    assert (told["state"], told["faces"][0]["match"]["name"], told["faces"][0]["status"]) == ("done", "Ann", "PASS")


def test_a_refusal_says_why(server: Server) -> None:
    asked = server.post("/v1/identify", files={"image": JPEG}).json()
    settle(server, asked["id"], Reason.NO_FACE)
    told = server.get(f"/v1/identifications/{asked['id']}").json()
    assert (told["state"], told["reason"]) == ("refused", "no_face")


def test_only_galleries_that_are_there_are_asked(server: Server) -> None:
    made = server.post("/v1/galleries", json={"name": "staff"}).json()["id"]
    files = {"image": JPEG}
    both = server.post("/v1/identify", files=files, data={"galleries": f"default, {made}"})
    assert both.json()["galleries"] == sorted(["default", made])
    assert server.post("/v1/identify", params={"galleries": "no-such"}, data=JPEG, headers=KIND).status_code == 404
    assert server.post("/v1/identify", params={"galleries": "a," * 65}, data=JPEG, headers=KIND).status_code == 400
    assert server.post("/v1/identify").status_code == 400
    assert server.get("/v1/identifications/no-such").status_code == 404
