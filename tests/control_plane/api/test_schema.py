from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any

import msgspec
import pytest

from control_plane.api.route import Media
from control_plane.api.routes import ROUTES
from control_plane.problems import PROBLEM_JSON
from faces.wire import OrderOutcome


@pytest.fixture(scope="module")
def document(server: Any) -> dict[str, Any]:
    found: dict[str, Any] = server.get("/openapi.json").json()
    return found


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


def test_every_route_is_in_it_and_nothing_else(document: dict[str, Any]) -> None:
    declared = {(r.path, r.method.lower()) for r in ROUTES} | {("/openapi.json", "get")}
    assert {(path, method) for path, method, _ in operations(document)} == declared


def test_every_answer_of_every_route_is_described_with_its_types(document: dict[str, Any]) -> None:
    for route in ROUTES:
        responses = document["paths"][route.path][route.method.lower()]["responses"]
        for status, kind in route.answers.items():
            media = kind.types if isinstance(kind, Media) else ("application/json",)
            content = responses[str(status)].get("content", {})
            assert set(content) == (set() if kind is None else set(media)), route.path
        assert set(responses["default"]["content"]) == {PROBLEM_JSON}


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    def references(value: Any) -> Iterator[str]:
        if isinstance(value, dict):
            for key, inner in value.items():
                if key == "$ref":
                    yield inner
                yield from references(inner)
        elif isinstance(value, list):
            for inner in value:
                yield from references(inner)

    found = set(references(document))
    schemas = document["components"]["schemas"]
    assert {f"#/components/schemas/{name}" for name in schemas} >= found
    assert len(found) > 20


def test_it_is_shaped_as_openapi_asks(document: dict[str, Any]) -> None:
    assert re.fullmatch(r"3\.1\.\d", document["openapi"])
    assert {"title", "version"} <= set(document["info"])
    ids = [operation["operationId"] for _, _, operation in operations(document)]
    assert len(ids) == len(set(ids))
    for name in document["components"]["schemas"]:
        assert re.fullmatch(r"[A-Za-z0-9._-]+", name)
    for path, method, operation in operations(document):
        named = {p["name"] for p in operation["parameters"] if p["in"] == "path"}
        assert named == set(re.findall(r"{(\w+)}", path))
        assert all(response["description"] for response in operation["responses"].values())
        assert operation["summary"]
        assert method in ("post", "put", "patch") or "requestBody" not in operation


def test_parameters_bodies_and_callers_are_those_of_the_types(document: dict[str, Any]) -> None:
    log = document["paths"]["/v1/events"]["get"]["parameters"]
    assert {"after", "before", "order", "limit", "since", "status"} <= {p["name"] for p in log}
    (limit,) = (p for p in log if p["name"] == "limit")
    assert limit["schema"] == {"type": "integer", "minimum": 1, "maximum": 500, "default": 100}
    ingest = document["paths"]["/v1/events"]["post"]
    assert ingest["x-rollcall-needs"] == "edge"
    assert document["paths"]["/healthz"]["get"]["security"] == []
    assert document["paths"]["/v1/identities"]["get"]["security"] == [
        {"bearer": []},
        {"basic": []},
        {"cookie": []},
    ]
    assert set(document["components"]["securitySchemes"]) == {"bearer", "basic", "cookie"}
    assert {p["name"] for p in ingest["parameters"]} == {"Rollcall-Edge", "Rollcall-Wire"}
    assert set(ingest["requestBody"]["content"]) == {"application/msgpack", "application/json"}
    photo = document["paths"]["/v1/identities/{id}/photos"]["post"]["requestBody"]["content"]
    assert {"multipart/form-data", "image/jpeg", "image/png", "image/webp"} <= set(photo)
    form = document["paths"]["/register"]["post"]["requestBody"]["content"]["multipart/form-data"]["schema"]
    assert form["required"] == ["image", "name"]
    attendance = {p["name"]: p["required"] for p in document["paths"]["/v1/attendance"]["get"]["parameters"]}
    assert attendance == {"day": True, "site": False, "format": False}
    new = document["components"]["schemas"]["NewIdentity"]
    assert new["required"] == ["name"]
    assert new["properties"]["name"]["maxLength"] == 200
    assert new["properties"]["external_id"]["anyOf"]


@pytest.mark.parametrize("written", ["", "QQ==", "QQ", "QUI=", "QUI", "QUJD", "QUJ-", "QU\nJD", "\u001e", "QQ==QQ=="])
def test_base64_is_described_as_it_is_read(document: dict[str, Any], written: str) -> None:
    told = document["components"]["schemas"]["OrderOutcome"]["properties"]["picture"]["anyOf"][0]
    fits = re.fullmatch(told["pattern"], written)
    body = msgspec.json.encode({"done": True, "picture": written})
    with nullcontext() if fits else pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(body, type=OrderOutcome)
