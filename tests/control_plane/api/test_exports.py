from __future__ import annotations

import io
import zipfile
from typing import Any

import msgspec
import numpy as np
import pytest

from control_plane.store import audit, enrollments, galleries, identities, keys, members, sites
from control_plane.store.db import new_id, utcnow
from control_plane.store.keys import Role
from faces.consent import Consent
from faces.encoding import SFACE, to_bytes, unit
from faces.errors import Reason
from faces.gallery import EncodingRow, SettingsRow


def unpacked(data: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.testzip() is None
        return {name: archive.read(name) for name in archive.namelist()}


def correct(server: Any, person: str) -> str:
    now = utcnow()
    vector = unit(np.random.default_rng(5).standard_normal(128).astype(np.float32))
    row = EncodingRow(new_id(now), person, SFACE, to_bytes(vector), against=True)
    with server.database.write() as connection:
        identities.add_encoding(connection, row, now)
    return row.id


def test_all_that_is_kept_of_a_person_is_in_the_export_and_nothing_of_others(
    server: Any, event: Any, jpeg: bytes
) -> None:
    now = utcnow()
    ada = server.person("Ada", photos=2, consent=Consent(basis="contract"), attributes={"badge": 7})
    other = server.person("Grace Hopper")
    correction = correct(server, ada)
    with server.database.write() as connection:
        refused = enrollments.submit(
            connection, now, gallery_id="default", blob="photos/0", sha256="0" * 64, identity_id=ada, name="Ada"
        )
        told = {"identity_id": other, "name": "Grace Hopper", "distance": 0.1}
        enrollments.refuse(
            connection, refused, now, reason=Reason.LOOK_ALIKE, message="so like Grace Hopper", detail=told
        )
    edge = server.edge()
    seen = [event(identity_id=ada, name="Ada"), event(identity_id=ada, name="Ada", thumbnail=None)]
    edge.send(*seen, event(identity_id=other, name="Grace Hopper"))
    server.call("PATCH", f"/v1/identities/{ada}", json={"attributes": {"badge": 8}})
    answer = server.get(f"/v1/identities/{ada}/export")
    assert answer.headers["Content-Type"] == "application/zip"
    files = unpacked(answer.content)
    record = msgspec.json.decode(files["identity.json"])
    assert (record["name"], record["attributes"], record["consent_basis"]) == ("Ada", {"badge": 8}, "contract")
    assert [g["id"] for g in msgspec.json.decode(files["galleries.json"])] == ["default"]
    photos = [photo["id"] for photo in msgspec.json.decode(files["photos.json"])]
    assert len(photos) == 2
    assert all(files[f"photos/{photo}.jpg"] == jpeg for photo in photos)
    encodings = msgspec.json.decode(files["encodings.json"])
    assert sorted(e["against"] for e in encodings) == [False, False, True]
    for encoding in encodings:
        assert np.array_equal(np.frombuffer(files[encoding["file"]], "<f4"), np.float32(encoding["numbers"]))
    assert [c["id"] for c in msgspec.json.decode(files["corrections.json"])] == [correction]
    (enrollment,) = msgspec.json.decode(files["enrollments.json"])
    assert (enrollment["id"], enrollment["reason"]) == (refused, "look_alike")
    logged = [msgspec.json.decode(line)["id"] for line in files["events/0001.ndjson"].splitlines()]
    assert logged == [str(one.id) for one in seen]
    assert files[f"thumbnails/{seen[0].id}.jpg"] == jpeg
    actions = [msgspec.json.decode(line)["action"] for line in files["audit.ndjson"].splitlines()]
    assert actions == ["identity.change"]
    everything = b"".join(files.values())
    assert other.encode() not in everything
    assert b"Hopper" not in everything


def test_whoever_was_merged_into_a_person_is_in_the_persons_export(server: Any, event: Any) -> None:
    one, two = server.person("One"), server.person("Two")
    seen = event(identity_id=two, name="Two")
    server.edge().send(seen)
    server.post(f"/v1/identities/{one}/merge", json={"from": two})
    files = unpacked(server.get(f"/v1/identities/{one}/export").content)
    assert len([name for name in files if name.startswith("photos/")]) == 2
    assert f"thumbnails/{seen.id}.jpg" in files
    assert server.get(f"/v1/identities/{two}/export").status_code == 410


def test_a_photo_that_is_erased_meanwhile_is_left_out(server: Any) -> None:
    ada = server.person("Ada", photos=2)
    with server.database.read() as connection:
        gone, _ = identities.photos_of(connection, ada)
        server.blobs.delete([identities.photo_blob(connection, ada, gone.id)])
    files = unpacked(server.get(f"/v1/identities/{ada}/export").content)
    assert len([name for name in files if name.startswith("photos/")]) == 1


def test_an_export_whose_reader_takes_long_does_not_tell_of_itself(server: Any, jpeg: bytes, wait_for: Any) -> None:
    ada = server.person("Ada", photos=1)
    server.call("PATCH", f"/v1/identities/{ada}", json={"attributes": {"badge": 8}})
    with server.database.read() as connection:
        (photo,) = identities.photos_of(connection, ada)
        blob = identities.photo_blob(connection, ada, photo.id)
    # More than the sockets between them hold: what follows it is read when the reader goes on.
    server.blobs.put(blob, jpeg + bytes(32_000_000))
    with server.get(f"/v1/identities/{ada}/export", stream=True) as answer:
        begun = answer.raw.read(1)
        wait_for(lambda: "identity.export" in told_of(server, ada))
        files = unpacked(begun + answer.raw.read())
    actions = [msgspec.json.decode(line)["action"] for line in files["audit.ndjson"].splitlines()]
    assert actions == ["identity.change"]


def told_of(server: Any, person: str) -> list[str]:
    with server.database.read() as connection:
        return [row.action for row in audit.listing(connection, wanted=audit.Wanted(concerning=person))]


@pytest.fixture
def bound(server: Any, wait_for: Any) -> Any:
    """Headers by role, of keys bound to a site whose gallery holds nobody else's people; and that gallery."""
    now = utcnow()
    with server.database.write() as connection:
        gallery = new_id(now)
        galleries.create(connection, SettingsRow(gallery, f"list {gallery}"), now)
        site = sites.create(connection, f"site {gallery}", [gallery], now)
        told = {
            role: {"Authorization": f"Bearer {keys.create(connection, role, now, sites=[site])}"}
            for role in (Role.OPERATOR, Role.VIEWER)
        }
    wait_for(lambda: server.get("/v1/sites").status_code == 401)
    yield told, gallery
    with server.database.write() as connection:
        connection.exec_driver_sql("DELETE FROM keys")
    wait_for(lambda: server.get("/v1/sites").status_code == 200)


def test_an_export_is_for_who_may_change_the_person_and_stands_in_the_log(server: Any, bound: Any) -> None:
    told, gallery = bound
    with server.database.write() as connection:
        ours = identities.create(connection, "Ours", [gallery], utcnow())
        both = identities.create(connection, "Both", [gallery], utcnow())
        members.join(connection, "default", both, utcnow())
        theirs = identities.create(connection, "Theirs", ["default"], utcnow())

    def ask(person: str, role: Role) -> Any:
        return server.get(f"/v1/identities/{person}/export", headers=told[role])

    assert "audit.ndjson" not in unpacked(ask(ours, Role.OPERATOR).content)
    assert [ask(one, Role.OPERATOR).status_code for one in (both, theirs)] == [409, 404]
    assert ask(ours, Role.VIEWER).status_code == 403


def test_an_export_stands_in_the_audit_log(server: Any, wait_for: Any) -> None:
    ada = server.person("Ada")
    server.get(f"/v1/identities/{ada}/export")

    def rows() -> Any:
        with server.database.read() as connection:
            return audit.listing(connection, wanted=audit.Wanted(concerning=ada, action="identity.export"))

    assert len(wait_for(rows)) == 1
