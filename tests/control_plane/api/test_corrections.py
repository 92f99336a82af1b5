from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from control_plane.store import corrections
from tests.control_plane.conftest import JPEG, Decider, Server

WAIT = {"Prefer": "wait=10"}


def path(person: str) -> str:
    return f"/v1/identities/{person}/corrections"


def test_a_photo_becomes_a_correction_that_is_listed_and_taken_back(server: Server, decider: Decider) -> None:
    ann = server.person("Ann")
    made = server.post(path(ann), data=JPEG, headers={"Content-Type": "image/jpeg", **WAIT})
    assert made.status_code == 201
    assert (made.json()["kind"], made.json()["photo_id"]) == ("correction", None)
    (shown,) = server.get(path(ann)).json()["items"]
    assert (shown["id"], shown["identity_id"]) == (made.json()["correction_id"], ann)
    assert server.get(f"/v1/identities/{ann}").json()["photos"] == 1
    assert server.call("DELETE", f"{path(ann)}/{shown['id']}").status_code == 204
    assert server.get(path(ann)).json()["items"] == []
    assert server.call("DELETE", f"{path(ann)}/{shown['id']}").status_code == 404


def test_an_event_becomes_a_correction_of_the_person_it_named(
    server: Server, decider: Decider, event: Callable[..., Any]
) -> None:
    ann, bob = server.person("Ann"), server.person("Bob")
    seen, blind = event(identity_id=ann), event(identity_id=ann, thumbnail=None)
    server.edge().send(seen, blind)
    made = server.post(path(ann), json={"event_id": str(seen.id)}, headers=WAIT)
    assert (made.status_code, made.json()["kind"]) == (201, "correction")
    with server.database.read() as connection:
        assert len(corrections.listing(connection, ann)) == 1
    other = server.post(path(bob), json={"event_id": str(seen.id)})
    assert (other.status_code, other.json()["code"]) == (409, "conflict")
    assert server.post(path(ann), json={"event_id": str(blind.id)}).status_code == 404
    assert server.post(path(ann), json={"event_id": "no-such"}).status_code == 404


@pytest.mark.parametrize(("sent", "code"), [({"data": b""}, 400), ({"json": {"event": 1}}, 400)])
def test_what_is_no_correction_is_refused(server: Server, sent: dict[str, Any], code: int) -> None:
    assert server.post(path(server.person("Ann")), **sent).status_code == code


def test_a_refused_correction_says_why(server: Server, decider: Decider) -> None:
    ann = server.person("Ann")
    files = {"image": b"refuse:correction_too_close"}
    refused = server.post(path(ann), files=files, headers=WAIT)
    assert (refused.status_code, refused.json()["reason"]) == (422, "correction_too_close")
    assert server.post(path("nobody"), files=files).status_code == 404
