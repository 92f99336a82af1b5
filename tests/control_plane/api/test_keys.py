from __future__ import annotations

from typing import Any

import pytest
import requests


def bearer(text: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {text}"}


@pytest.fixture
def admin(either: Any) -> dict[str, str]:
    """What the first key, an administrator's, is sent as."""
    made = either.post("/v1/keys", json={"role": "admin", "name": "Ann"})
    assert made.status_code == 201
    return bearer(made.json()["key"])


def test_a_key_is_shown_once_and_counts_until_it_is_revoked(either: Any, admin: dict[str, str], wait_for: Any) -> None:
    wait_for(lambda: requests.get(f"{either.url}/v1/keys", timeout=5).status_code == 401)
    made = either.post("/v1/keys", json={"role": "viewer", "sites": ["default"]}, headers=admin).json()
    wait_for(lambda: either.get("/v1/events", headers=bearer(made["key"])).status_code == 200)
    listed = either.get("/v1/keys", headers=admin)
    assert made["key"] not in listed.text
    assert [(k["role"], k["name"], k["sites"]) for k in listed.json()["items"]] == [
        ("admin", "Ann", None),
        ("viewer", "", ["default"]),
    ]
    assert either.call("DELETE", f"/v1/keys/{made['id']}", headers=admin).status_code == 204
    wait_for(lambda: either.get("/v1/events", headers=bearer(made["key"])).status_code == 401)


def test_keys_are_listed_by_pages(server: Any) -> None:
    with server.database.write() as connection:
        from control_plane.store import keys
        from control_plane.store.db import utcnow
        from control_plane.store.keys import Role

        for number in range(3):
            keys.create(connection, Role.EDGE, utcnow(), name=str(number), sites=["default"])
    first = server.get("/v1/keys?limit=2").json()
    second = server.get(f"/v1/keys?limit=2&after={first['next']}").json()
    assert [k["name"] for k in first["items"] + second["items"]] == ["0", "1", "2"]
    assert second["next"] is None


@pytest.mark.parametrize(
    "body",
    [
        {"role": "edge"},
        {"role": "admin", "sites": ["nowhere"]},
        {"role": "admin", "sites": []},
        {"role": "admin", "expires_at": "2020-01-01T00:00:00Z"},
        {"role": "admin", "name": "a\nb"},
    ],
)
def test_a_key_that_makes_no_sense_is_refused(server: Any, body: dict[str, object]) -> None:
    assert server.post("/v1/keys", json=body).status_code == 400


def test_a_key_that_is_not_there_is_not_revoked(server: Any) -> None:
    assert server.call("DELETE", "/v1/keys/nothing").status_code == 404
