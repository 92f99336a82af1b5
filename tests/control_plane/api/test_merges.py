from __future__ import annotations

from tests.control_plane.conftest import Server


def test_two_become_one_and_the_old_id_points_to_her_until_they_are_taken_apart(server: Server) -> None:
    ann, anna = server.person("Ann"), server.person("Anna", photos=2)
    merged = server.post(f"/v1/identities/{ann}/merge", json={"from": anna})
    assert (merged.status_code, merged.json()["photos"], merged.json()["merged"]) == (200, 3, [anna])
    for method, path, body in (
        ("GET", "", None),
        ("PATCH", "", {"name": "A"}),
        ("DELETE", "", None),
        ("GET", "/photos", None),
        ("GET", "/corrections", None),
    ):
        gone = server.call(method, f"/v1/identities/{anna}{path}", json=body)
        assert (gone.status_code, gone.json()["code"], gone.json()["survivor"]) == (410, "merged", ann), path
    assert server.post(f"/v1/identities/{ann}/merge", json={"from": ann}).status_code == 409
    assert server.post(f"/v1/identities/{anna}/unmerge", json={"from": ann}).status_code == 410
    apart = server.post(f"/v1/identities/{ann}/unmerge", json={"from": anna})
    assert (apart.status_code, apart.json()["photos"], apart.json()["merged"]) == (200, 1, [])
    assert server.get(f"/v1/identities/{anna}").json()["photos"] == 2


def test_erasing_her_erases_who_was_merged_into_her(server: Server) -> None:
    ann, anna = server.person("Ann"), server.person("Anna")
    photo = server.get(f"/v1/identities/{anna}/photos").json()["items"][0]["id"]
    server.post(f"/v1/identities/{ann}/merge", json={"from": anna})
    assert server.blobs.path(f"photos/{photo}").is_file()
    assert server.call("DELETE", f"/v1/identities/{ann}").status_code == 204
    assert not server.blobs.path(f"photos/{photo}").is_file()
    assert server.get(f"/v1/identities/{anna}").status_code == 404
    assert server.get(f"/v1/identities/{anna}/erasure").status_code == 200
