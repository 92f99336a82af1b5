from __future__ import annotations

from typing import Any

import pytest

from control_plane.store import keys
from control_plane.store.db import utcnow
from control_plane.store.keys import Role

GOOD = "correct horse battery"


@pytest.fixture
def admin(server: Any) -> dict[str, str]:
    """The headers of an administrator's key."""
    with server.database.write() as connection:
        text = keys.create(connection, Role.ADMIN, utcnow())
    headers = {"Authorization": f"Bearer {text}"}
    while server.get("/v1/users", headers=headers).status_code != 200:
        pass
    return headers


def made(server: Any, admin: dict[str, str], **fields: Any) -> Any:
    told = {"name": "Ann", "password": GOOD, "role": "viewer", **fields}
    return server.post("/v1/users", json=told, headers=admin)


def test_an_administrator_adds_a_user_who_then_signs_in(server: Any, admin: dict[str, str]) -> None:
    answer = made(server, admin, name=" Dora ", role="operator", sites=["default"])
    user = answer.json()
    assert (answer.status_code, user["name"], user["role"], user["sites"]) == (201, "Dora", "operator", ["default"])
    assert answer.headers["Location"] == f"/v1/users/{user['id']}"
    assert server.get(f"/v1/users/{user['id']}", headers=admin).json() == user
    assert server.page("dora").call("GET", "/v1/session").json()["user_id"] == user["id"]
    assert "argon2" not in server.get("/v1/users", headers=admin).text


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"name": ""}, 400),
        ({"name": "x\x00y"}, 400),
        ({"name": "weak", "password": "short"}, 400),
        ({"name": "Longwinded", "password": "longwinded is the name"}, 400),
        ({"name": "robot", "role": "integrator"}, 400),
        ({"name": "robot", "role": "edge"}, 400),
        ({"name": "nowhere", "sites": ["no-such-site"]}, 400),
        ({"name": "nowhere", "sites": []}, 400),
    ],
)
def test_what_makes_no_user_is_refused(server: Any, admin: dict[str, str], fields: dict[str, Any], status: int) -> None:
    answer = made(server, admin, **fields)
    assert answer.status_code == status
    assert "short" not in answer.text.replace("too short", "")


def test_a_name_is_taken_once(server: Any, admin: dict[str, str]) -> None:
    assert made(server, admin, name="Twice").status_code == 201
    assert made(server, admin, name="TWICE").json()["code"] == "conflict"


def test_role_and_sites_are_changed_together_or_alone(server: Any, admin: dict[str, str]) -> None:
    user_id = made(server, admin, name="Moving").json()["id"]

    def change(**told: Any) -> tuple[str, list[str] | None]:
        answer = server.call("PATCH", f"/v1/users/{user_id}", json=told, headers=admin).json()
        return answer["role"], answer["sites"]

    assert change(sites=["default"]) == ("viewer", ["default"])
    assert change(role="operator") == ("operator", ["default"])
    assert change(role="admin", sites=None) == ("admin", None)
    assert change() == ("admin", None)
    wrong = server.call("PATCH", f"/v1/users/{user_id}", json={"sites": ["nowhere"]}, headers=admin)
    assert (wrong.status_code, change()) == (400, ("admin", None))
    assert server.call("PATCH", "/v1/users/nobody", json={"disabled": True}, headers=admin).status_code == 404


def test_users_are_paged(server: Any, admin: dict[str, str]) -> None:
    for number in range(3):
        made(server, admin, name=f"Page {number}")
    everybody = server.get("/v1/users", headers=admin).json()["items"]
    found, after = [], ""
    while after is not None:
        page = server.get("/v1/users", params={"limit": 2, "after": after}, headers=admin).json()
        found += page["items"]
        after = page["next"]
    assert found == everybody
