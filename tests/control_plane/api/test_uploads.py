from __future__ import annotations

import hashlib
import socket
from typing import Any

import pytest

from control_plane.store import enrollments
from control_plane.store.db import utcnow


def test_what_is_kept_is_what_was_sent_to_the_byte(server: Any) -> None:
    person, photo = server.person("Ann", photos=0), bytes(range(256)) * 20_000
    made = [
        server.post(f"/v1/identities/{person}/photos", files={"image": photo}),
        server.post(f"/v1/identities/{person}/photos", data=photo, headers={"Content-Type": "image/png"}),
    ]
    with server.database.write() as connection:
        works = [enrollments.claim(connection, m.json()["id"], "x", utcnow()) for m in made]
    for work in works:
        assert work is not None
        assert server.blobs.get(work.blob) == photo
        assert work.sha256 == hashlib.sha256(photo).hexdigest()


@pytest.mark.parametrize(
    "parts",
    [
        [("image", b"a"), ("image", b"b")],
        [("image", b"a"), ("other", b"b")],
        [("image", b"a"), *[(f"f{n}", None) for n in range(30)]],
    ],
)
def test_a_form_of_too_many_parts_is_refused(server: Any, parts: list[tuple[str, bytes | None]]) -> None:
    person, before = server.person("Ann", photos=0), server.files()
    files = [(name, ("f", data) if data is not None else (None, "x")) for name, data in parts]
    response = server.post(f"/v1/identities/{person}/photos", files=files)
    assert (response.status_code, response.json()["code"]) == (400, "invalid")
    assert server.files() == before


def test_an_upload_that_breaks_off_leaves_nothing(server: Any, wait_for: Any) -> None:
    person, before = server.person("Ann", photos=0), server.files()
    head = f"POST /v1/identities/{person}/photos HTTP/1.1\r\nHost: localhost\r\n"
    with socket.create_connection(("127.0.0.1", server.port)) as raw:
        raw.sendall(f"{head}Content-Type: image/jpeg\r\nContent-Length: 5000\r\n\r\n".encode() + b"x" * 4950)
        wait_for(lambda: server.files() != before)
    wait_for(lambda: server.files() == before)


def test_an_announced_giant_is_refused_before_it_is_sent(server: Any) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as raw:
        raw.sendall(
            b"POST /register HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=x\r\n"
            b"Content-Length: 99999999999\r\n\r\n"
        )
        answer = raw.makefile("rb").read()
    assert answer.startswith(b"HTTP/1.1 413")
    assert b'"code":"too_large"' in answer
    assert b'"success":false' in answer


def test_the_files_name_means_nothing(server: Any) -> None:
    person = server.person("Ann", photos=0)
    response = server.post(f"/v1/identities/{person}/photos", files={"image": ("../../../etc/passwd", b"x")})
    assert response.status_code == 202
    assert not any("passwd" in path.name for path in server.files())
