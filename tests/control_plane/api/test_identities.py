from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from control_plane.store import galleries, identities
from control_plane.store.db import Database
from control_plane.store.tables import enrollments


@pytest.fixture(autouse=True)
def _decided(decider: Any) -> None:
    """A worker is at work."""


def add(server: Any, **fields: Any) -> dict[str, Any]:
    response = server.post("/v1/identities", json={"name": "Ann", **fields})
    assert response.status_code == 201, response.text
    made: dict[str, Any] = response.json()
    assert response.headers["Location"] == f"/v1/identities/{made['id']}"
    return made


def send_photo(server: Any, person: str, photo: bytes = b"\xff\xd8\xffface", wait: int = 10, **options: Any) -> Any:
    return server.post(
        f"/v1/identities/{person}/photos",
        data=photo,
        headers={"Content-Type": "image/jpeg", "Prefer": f"wait={wait}"},
        **options,
    )


def test_a_person_is_added_shown_changed_and_erased(server: Any) -> None:
    made = add(server, name="  Ann Lee ", external_id="e-1", attributes={"team": "red"})
    assert (made["name"], made["external_id"], made["galleries"], made["photos"]) == ("Ann Lee", "e-1", ["default"], 0)
    path = f"/v1/identities/{made['id']}"
    assert server.get(path).json() == made
    changed = server.call(
        "PATCH", path, json={"name": "Ann B", "external_id": None, "valid_until": "2030-01-01T00:00:00+02:00"}
    ).json()
    assert (changed["name"], changed["external_id"], changed["attributes"]) == ("Ann B", None, {"team": "red"})
    assert changed["valid_until"] == "2029-12-31T22:00:00Z"
    assert server.call("DELETE", path).status_code == 204
    for method in ("GET", "DELETE"):
        assert server.call(method, path).json()["code"] == "not_found"
    assert server.call("PATCH", path, json={"name": "x"}).status_code == 404


def test_a_change_of_nothing_changes_nothing(server: Any) -> None:
    made = add(server, attributes={"a": 1}, valid_from="2026-01-01T00:00:00Z")
    assert server.call("PATCH", f"/v1/identities/{made['id']}", json={}).json() == made


def test_people_are_found_by_name_external_id_and_gallery_page_by_page(server: Any) -> None:
    ids = [add(server, name=f"Page {n}")["id"] for n in range(5)]
    add(server, name="Other", external_id="x-77")
    seen: list[str] = []
    after = ""
    while after is not None:
        page = server.get("/v1/identities", params={"name": "pAGE ", "limit": 2, "after": after}).json()
        assert len(page["items"]) <= 2
        seen += [i["id"] for i in page["items"]]
        after = page["next"]
    assert seen == ids
    found = server.get("/v1/identities", params={"external_id": "x-77"}).json()
    assert [i["name"] for i in found["items"]] == ["Other"]
    assert server.get("/v1/identities", params={"gallery": "nowhere"}).json() == {"items": [], "next": None}


def test_names_are_found_literally(server: Any) -> None:
    add(server, name="100 %_sure")
    assert len(server.get("/v1/identities", params={"name": "%_s"}).json()["items"]) == 1
    assert server.get("/v1/identities", params={"name": "1%s"}).json()["items"] == []


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"name": ""},
        {"name": "  "},
        {"name": "x" * 201},
        {"name": "a\nb"},
        {"name": "a\u0000b"},
        {"name": "\u001b[31mred"},
        {"name": 5},
        {"name": "x", "external_id": ""},
        {"name": "x", "unheard_of": 1},
        {"name": "x", "valid_from": "2026-01-01T00:00:00"},
        {"name": "x", "valid_from": "2027-01-01T00:00:00Z", "valid_until": "2026-01-01T00:00:00Z"},
        {"name": "x", "attributes": {"n": 10**30}},
        {"name": "x", "attributes": {"n": "x" * 20_000}},
        {"name": "x", "attributes": 1},
        {"name": "x", "galleries": "default"},
    ],
)
def test_an_impossible_person_is_refused_with_the_field(server: Any, body: dict[str, Any]) -> None:
    response = server.post("/v1/identities", json=body)
    assert (response.status_code, response.json()["code"]) == (400, "invalid")
    assert response.json()["detail"]


STRANGE = [
    "<script>alert(1)</script>",
    "'; DROP TABLE identities; --",
    "=HYPERLINK()",
    "👩‍🚒",
    "Ærø",
    "x" * 200,
]


@pytest.mark.parametrize("name", STRANGE)
def test_a_strange_name_is_kept_as_it_is(server: Any, name: str) -> None:
    made = add(server, name=name)
    assert server.get(f"/v1/identities/{made['id']}").json()["name"] == name


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b"[]",
        b'{"name": "\\ud800"}',
        b'{"name": "\xff"}',
        b'{"name": "x", "attributes": {"n": NaN}}',
        b'{"name": "x", "attributes": {"n": 1e400}}',
        b'{"name": "x", "attributes": ' + b'{"a":' * 100_000 + b"1" + b"}" * 100_001,
    ],
)
def test_a_body_that_is_no_json_is_refused(server: Any, text: bytes) -> None:
    response = server.post("/v1/identities", data=text, headers={"Content-Type": "application/json"})
    assert (response.status_code, response.json()["code"]) == (400, "invalid")


def test_a_body_of_another_type_or_too_large_is_refused(server: Any) -> None:
    response = server.post("/v1/identities", data={"name": "x"})
    assert (response.status_code, response.json()["code"]) == (415, "unsupported_media_type")
    large = b'{"name": "x"' + b" " * (2 << 20) + b"}"
    for body in (large, iter([large])):
        response = server.post("/v1/identities", data=body, headers={"Content-Type": "application/json"})
        assert (response.status_code, response.json()["code"]) == (413, "too_large")


def test_an_external_id_belongs_to_one_person(server: Any) -> None:
    add(server, external_id="badge-5")
    response = server.post("/v1/identities", json={"name": "Bob", "external_id": "badge-5"})
    assert (response.status_code, response.json()["code"]) == (409, "conflict")
    other = add(server)
    assert server.call("PATCH", f"/v1/identities/{other['id']}", json={"external_id": "badge-5"}).status_code == 409


def test_a_gallery_that_is_not_there_is_not_found(server: Any) -> None:
    response = server.post("/v1/identities", json={"name": "x", "galleries": ["nowhere"]})
    assert (response.status_code, response.json()["code"]) == (404, "not_found")


@pytest.mark.parametrize("identity", ["nobody", "%00", "%2e%2e", "x" * 65, "a;b", "%ff"])
def test_a_person_who_is_not_there_is_not_found(server: Any, identity: str) -> None:
    assert server.get(f"/v1/identities/{identity}").status_code == 404


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=501", "limit=-1", "limit=x", "unheard=1", "name=%00", "after=" + "x" * 65]
)
def test_an_impossible_parameter_is_refused(server: Any, query: str) -> None:
    response = server.get(f"/v1/identities?{query}")
    assert (response.status_code, response.json()["code"]) == (400, "invalid")


def test_an_accepted_photo_is_answered_listed_and_shown(server: Any) -> None:
    person = add(server)["id"]
    response = send_photo(server, person)
    assert response.status_code == 201
    enrollment = response.json()
    assert (enrollment["state"], enrollment["identity_id"]) == ("accepted", person)
    assert server.get(response.headers["Location"]).json() == enrollment
    (photo,) = server.get(f"/v1/identities/{person}/photos").json()["items"]
    assert photo["id"] == enrollment["photo_id"]
    assert server.get(f"/v1/identities/{person}").json()["photos"] == 1


def test_a_photo_is_shown_under_the_type_its_bytes_have(server: Any, jpeg: bytes) -> None:
    person = server.person("Ann")
    (photo,) = server.get(f"/v1/identities/{person}/photos").json()["items"]
    response = server.get(f"/v1/identities/{person}/photos/{photo['id']}")
    assert (response.content, response.headers["Content-Type"]) == (jpeg, "image/jpeg")
    assert response.headers["Cache-Control"] == "no-store"
    other = add(server)["id"]
    assert server.get(f"/v1/identities/{other}/photos/{photo['id']}").status_code == 404


def test_a_refused_photo_says_why(server: Any) -> None:
    person = add(server)["id"]
    response = send_photo(server, person, b"refuse:several_faces")
    told = response.json()
    assert (response.status_code, told["code"], told["reason"]) == (422, "refused", "several_faces")
    assert (told["detail"], told["remedy"]) == ("This will not do.", "Another.")
    assert told["enrollment"]["state"] == "refused"
    assert server.get(f"/v1/identities/{person}").json()["photos"] == 0


def test_who_does_not_wait_is_told_pending_and_asks_later(server: Any, decider: Any) -> None:
    person = add(server)["id"]
    with decider.at_work:
        response = send_photo(server, person, wait=0)
        assert (response.status_code, response.json()["state"]) == (202, "pending")
        path = response.headers["Location"]
        assert server.get(path).json()["state"] == "pending"
        assert server.get(path, headers={"Prefer": "wait=1"}).json()["state"] == "pending"
    assert server.get(path, headers={"Prefer": "respond-async, wait=20"}).json()["state"] == "accepted"


def test_a_photo_may_come_in_a_form_and_be_forced(server: Any, decider: Any) -> None:
    person = add(server)["id"]
    image = {"image": b"\xff\xd8\xffface"}
    with decider.at_work:
        sent = [
            server.post(f"/v1/identities/{person}/photos", files=image, data={"force": "true"}),
            server.post(f"/v1/identities/{person}/photos?force=true", files=image),
            server.post(f"/v1/identities/{person}/photos", files=image),
        ]
        ids = [r.json()["id"] for r in sent]
        with server.database.read() as connection:
            forced = [connection.execute(enrollments.select().where(enrollments.c.id == i)).one().force for i in ids]
    assert forced == [True, True, False]


@pytest.mark.parametrize(
    "options",
    [
        {"files": {"photo": b"x"}},
        {"data": {"image": "not a file"}},
        {"data": b"", "headers": {"Content-Type": "image/png"}},
        {"data": b"x", "headers": {"Content-Type": "text/plain"}},
        {"files": {"image": b"x"}, "data": {"force": "perhaps"}},
        {"data": b"x", "headers": {"Content-Type": "multipart/form-data"}},
        {"data": b"--x\r\nbroken", "headers": {"Content-Type": "multipart/form-data; boundary=x"}},
    ],
)
def test_a_photo_that_is_missing_is_refused(server: Any, options: dict[str, Any]) -> None:
    person = add(server)["id"]
    response = server.post(f"/v1/identities/{person}/photos", **options)
    assert (response.status_code, response.json()["code"]) == (400, "invalid")


def test_a_photo_for_nobody_is_not_found_and_not_kept(server: Any) -> None:
    before = server.files()
    assert send_photo(server, "nobody").status_code == 404
    assert server.files() == before


@pytest.mark.parametrize("announced", [True, False])
def test_a_photo_larger_than_the_limit_is_refused_and_not_kept(
    running: Any, fresh: Any, tmp_path: Any, announced: bool
) -> None:
    with running(fresh(tmp_path), tmp_path, MAX_PHOTO_BYTES="1000") as server:
        person = add(server)["id"]
        photo = b"x" * 300_000
        response = send_photo(server, person, photo if announced else iter([photo]))  # type: ignore[arg-type]
        assert (response.status_code, response.json()["code"]) == (413, "too_large")
        just_over = server.post(f"/v1/identities/{person}/photos", files={"image": b"x" * 1001})
        assert just_over.status_code == 413
        assert send_photo(server, person, b"x" * 1000, wait=0).status_code == 202
        assert len(server.files()) == 1


def test_erasing_removes_rows_and_photos_and_tells_the_galleries(server: Any) -> None:
    person = server.person("Ann", photos=2)
    (photo, _) = server.get(f"/v1/identities/{person}/photos").json()["items"]
    blob = server.blobs.path(f"photos/{photo['id']}")
    assert blob.exists()
    revision = server.get("/v1/galleries/default").json()["revision"]
    assert server.call("DELETE", f"/v1/identities/{person}").status_code == 204
    assert not blob.exists()
    assert server.get("/v1/galleries/default").json()["revision"] == revision + 3


def test_after_an_erasure_no_byte_of_the_encoding_is_left_in_the_database_files(
    running: Any, template: Any, tmp_path: Any
) -> None:
    (tmp_path / "rollcall.db").write_bytes(template.read_bytes())
    with running(Database(f"sqlite:///{tmp_path / 'rollcall.db'}"), tmp_path) as server:
        person = server.person("Ann Unforgettable")
        with server.database.read() as connection:
            rows = [r for r in galleries.snapshot(connection, "default")[1] if hasattr(r, "data")]
        template = rows[0].data
        files = list(tmp_path.glob("rollcall.db*"))
        assert any(template in f.read_bytes() for f in files)
        server.call("DELETE", f"/v1/identities/{person}")
        assert not any(template in f.read_bytes() or b"Unforgettable" in f.read_bytes() for f in files if f.exists())


def test_the_same_person_erased_twice_at_once_is_erased_once(either: Any) -> None:
    people = [either.person(f"P{n}") for n in range(4)]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda p: either.call("DELETE", f"/v1/identities/{p}").status_code, people * 2))
    assert sorted(answers) == [204] * 4 + [404] * 4


def test_one_external_id_given_to_two_at_once_goes_to_one(either: Any) -> None:
    body = {"name": "Twin", "external_id": "only-one"}
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda _: either.post("/v1/identities", json=body).status_code, range(6)))
    assert sorted(answers) == [201] + [409] * 5


def test_people_are_kept_the_same_on_every_database(either: Any) -> None:
    made = add(either, name="Zoë", attributes={"nested": {"a": [1, 2.5, None]}}, valid_from="2026-01-01T00:00:00Z")
    assert either.get(f"/v1/identities/{made['id']}").json() == made
    assert either.get("/v1/identities", params={"name": "ZOË"[:2]}).json()["items"] == [made]
    with either.database.read() as connection:
        assert identities.get(connection, made["id"]).attributes == {"nested": {"a": [1, 2.5, None]}}


def test_consent_is_kept_with_the_person_and_changed(server: Any) -> None:
    given = {"consent_basis": "contract", "consent_given_at": "2026-01-01T00:00:00Z"}
    until = "2999-01-01T00:00:00Z"
    made = server.post("/v1/identities", json={"name": "Ada", **given, "consent_until": until}).json()
    assert {name: made[name] for name in given} == given
    assert made["consent_until"] == until
    changed = server.call("PATCH", f"/v1/identities/{made['id']}", json={"consent_until": None}).json()
    assert (changed["consent_basis"], changed["consent_until"]) == ("contract", None)


@pytest.mark.parametrize(
    "consent",
    [
        {"consent_basis": "by word of mouth"},
        {"consent_until": "2999-01-01T00:00:00Z"},
        {"consent_basis": "x", "consent_given_at": "2026-01-02T00:00:00Z", "consent_until": "2026-01-01T00:00:00Z"},
        {"consent_basis": "x", "consent_until": "2999-01-01T00:00:00"},
    ],
)
def test_a_consent_that_cannot_be_meant_is_refused(server: Any, consent: dict[str, str]) -> None:
    assert server.post("/v1/identities", json={"name": "Ada", **consent}).status_code == 400
    person = server.person("Eve")
    assert server.call("PATCH", f"/v1/identities/{person}", json=consent).status_code == 400
    assert server.get(f"/v1/identities/{person}").json()["consent_basis"] is None
