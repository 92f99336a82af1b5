"""What a running control plane takes a client for: its address, its line, and how often it may ask."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from control_plane.config import Config
from control_plane.store import keys
from control_plane.store.db import utcnow
from control_plane.store.keys import Role
from faces.errors import SettingError

GOOD = "correct horse battery"


@pytest.mark.parametrize(
    ("trusted", "address"), [("127.0.0.0/8, 10.1.0.0/16", "203.0.113.9"), ("10.9.9.9", "127.0.0.1")]
)
def test_a_clients_address_is_believed_from_listed_proxies_alone(
    running: Any, fresh: Any, tmp_path: Path, trusted: str, address: str
) -> None:
    with running(fresh(tmp_path), tmp_path, TRUSTED_PROXIES=trusted) as server:
        server.user("Ann")
        # What the client itself wrote stands first, and what the proxies added behind it.
        told = {
            "X-Forwarded-For": "8.8.8.8, 203.0.113.9, 10.1.2.3",
            "X-Forwarded-Proto": "https",
            "Forwarded": "for=1.2.3.4",
        }
        answer = server.post("/v1/session", json={"name": "Ann", "password": GOOD}, headers=told)
        believed = address != "127.0.0.1"
        assert answer.headers["Set-Cookie"].startswith("__Host-rollcall=") is believed
        assert ("Secure" in answer.headers["Set-Cookie"]) is believed
        server.http.cookies.clear()
        (here, *_) = server.page("Ann").call("GET", "/v1/sign-ins").json()["items"][::-1]
        assert here["address"] == address


def test_what_a_proxy_passes_on_is_served_from_the_first_key_on(
    running: Any, fresh: Any, tmp_path: Path, wait_for: Any
) -> None:
    with running(fresh(tmp_path), tmp_path) as server:
        with server.database.write() as connection:
            key = {"Authorization": f"Bearer {keys.create(connection, Role.ADMIN, utcnow())}"}
        wait_for(lambda: server.get("/v1/sites").status_code == 401)
        for told in ({"X-Forwarded-For": "203.0.113.9"}, {"Forwarded": "for=203.0.113.9"}, {"Via": "1.1 proxy"}):
            assert server.get("/v1/sites", headers={**key, **told}).status_code == 200


def test_behind_a_proxy_nobody_is_let_in_before_the_first_key(running: Any, fresh: Any, tmp_path: Path) -> None:
    with running(fresh(tmp_path), tmp_path, TRUSTED_PROXIES="10.9.9.9") as server:
        answer = server.get("/v1/identities")
        assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")


@pytest.mark.parametrize("wrong", ["*", "proxy.example", "10.0.0.0/33", "10.0.0.1/8"])
def test_proxies_are_a_list_of_addresses(wrong: str, tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="TRUSTED_PROXIES"):
        Config.read({"TRUSTED_PROXIES": wrong}, tmp_path / "none")


def test_who_asks_too_often_waits_and_nobody_else_does(running: Any, fresh: Any, tmp_path: Path, wait_for: Any) -> None:
    with running(fresh(tmp_path), tmp_path, LIMIT_IDENTIFY="2/hour", LIMIT_SIGN_IN="3/hour") as server:
        for _ in range(4):
            assert server.post("/v1/identify", data=b"", headers={"Content-Type": "image/jpeg"}).status_code != 429
        with server.database.write() as connection:
            one, other = ({"Authorization": f"Bearer {keys.create(connection, Role.ADMIN, utcnow())}"} for _ in "ab")
        wait_for(lambda: server.get("/v1/sites").status_code == 401)

        def identify(headers: dict[str, str]) -> Any:
            return server.post("/v1/identify", data=b"", headers={"Content-Type": "image/jpeg", **headers})

        told = [identify(one) for _ in range(3)]
        assert [answer.status_code == 429 for answer in told] == [False, False, True]
        assert told[-1].json()["code"] == "too_many_requests"
        assert 0 < int(told[-1].headers["Retry-After"]) <= 1800
        assert identify(other).status_code != 429
        tries = [server.post("/v1/session", json={"name": f"n{n}", "password": GOOD}) for n in range(4)]
        assert [answer.status_code for answer in tries] == [401, 401, 401, 429]
