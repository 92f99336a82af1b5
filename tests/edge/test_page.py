from __future__ import annotations

import pytest

from edge.page import serves


@pytest.mark.parametrize(
    ("host", "asked", "served"),
    [
        ("127.0.0.1", "127.0.0.1:5050", True),
        ("127.0.0.1", "localhost:5050", True),
        ("127.0.0.1", "rebound.example:5050", False),
        ("127.0.0.1", "127.0.0.1.rebound.example:5050", False),
        ("127.0.0.1", "evil", False),
        ("127.0.0.1", None, False),
        ("0.0.0.0", "box.example:5050", True),
    ],
)
def test_on_loopback_only_names_of_this_machine_are_served(host: str, asked: str | None, served: bool) -> None:
    assert serves(host, asked) is served
