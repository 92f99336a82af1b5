"""The OpenAPI document, made from the routes and the types they declare."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable
from typing import Any

import msgspec
from starlette.responses import Response

from control_plane.api.route import JSON, PATH_PART, Call, Media, Route
from control_plane.auth import ANYBODY, EDGE, EDGE_ID, JOIN, OLDEST_WIRE, SIGN_IN
from control_plane.cookies import CSRF_HEADER, NAME
from control_plane.problems import PROBLEM_JSON, Problem
from faces.wire import EDGE_HEADER, WIRE, WIRE_HEADER

REF = "#/components/schemas/{name}"
BINARY = {"type": "string", "format": "binary"}
TEXT = {"type": "string"}
BASE64 = "^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$"
ERROR = Media((PROBLEM_JSON,), Problem)
EDGE_HEADERS = {
    EDGE_HEADER: {"type": "string", "pattern": f"^{EDGE_ID.pattern}$"},
    WIRE_HEADER: {"type": "string", "enum": [str(version) for version in range(OLDEST_WIRE, WIRE + 1)]},
}
SECURITY = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "An access key; `x-rollcall-needs` is its scope."},
    "basic": {"type": "http", "scheme": "basic", "description": "The same key as the password, with any user."},
    "cookie": {
        "type": "apiKey",
        "in": "cookie",
        "name": NAME,
        "description": f"Of POST /v1/session; over TLS __Host-{NAME}. What changes something needs {CSRF_HEADER} too.",
    },
}
INTRODUCTION = (
    "Errors are application/problem+json with a stable `code`. Live frames and events: WebSocket `/ws/face-stream`, "
    "subprotocol `rollcall.v1`; edges: `/v1/edge/link`. Lists are paged: give `next` as `after`."
)

Schema = dict[str, Any]


def with_document(routes: Iterable[Route[Any, Any]], version: str) -> tuple[Route[Any, Any], ...]:
    """The routes, and one more that serves the document of all of them."""
    served: list[Route[Any, Any]] = list(routes)

    async def show(_call: Call[None, None]) -> Response:
        """This document."""
        return Response(text, media_type=JSON)

    served.append(Route("GET", "/openapi.json", show, ANYBODY, {200: dict[str, Any]}))
    text = msgspec.json.encode(document(served, version))
    return tuple(served)


def document(routes: Iterable[Route[Any, Any]], version: str) -> Schema:
    """An OpenAPI 3.1 document of the routes."""
    routes = list(routes)
    types = _types(routes)
    schemas, components = msgspec.json.schema_components(types, ref_template=REF)
    _refuse_other_than_base64(components)

    def schema_of(kind: Any) -> Schema:
        return schemas[types.index(kind)]

    paths: dict[str, Schema] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, schema_of, components)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Rollcall", "version": version, "description": INTRODUCTION},
        "paths": paths,
        "components": {"schemas": components, "securitySchemes": SECURITY},
    }


def _refuse_other_than_base64(schema: Any) -> None:
    """Have the pattern say what `contentEncoding` only notes."""
    if isinstance(schema, dict):
        if schema.get("contentEncoding") == "base64":
            schema["pattern"] = BASE64
        schema = list(schema.values())
    for inner in schema if isinstance(schema, list) else ():
        _refuse_other_than_base64(inner)


def _types(routes: Iterable[Route[Any, Any]]) -> list[Any]:
    """Every type that a route declares, each once."""
    found: list[Any] = [Problem]
    for route in routes:
        declared = [route.body, route.query, *route.answers.values(), *route.reads.values()]
        for kind in (d.value if isinstance(d, Media) else d for d in declared):
            if kind is not None and not isinstance(kind, dict) and kind not in found:
                found.append(kind)
    return found


def _operation(route: Route[Any, Any], schema_of: Callable[[Any], Schema], components: dict[str, Any]) -> Schema:
    responses: Schema = {str(status): _response(kind, schema_of) for status, kind in route.answers.items()}
    responses["default"] = {"description": "An error", "content": _content(ERROR, schema_of)}
    operation: Schema = {
        "summary": inspect.getdoc(route.endpoint),
        "operationId": f"{route.method.lower()}_{re.sub(r'[^a-z0-9]+', '_', route.path.lower()).strip('_')}",
        "x-rollcall-needs": route.needs,
        "security": _security(route),
        "parameters": [*_path_parameters(route), *_headers(route), *_query_parameters(route, schema_of, components)],
        "responses": responses,
    }
    if route.body is not None:
        operation["requestBody"] = {"required": True, "content": {JSON: {"schema": schema_of(route.body)}}}
    elif route.reads:
        contents = [_content(Media((kind,), media.value), schema_of) for kind, media in route.reads.items()]
        operation["requestBody"] = {"required": True, "content": {k: v for c in contents for k, v in c.items()}}
    return operation


def _security(route: Route[Any, Any]) -> list[Schema]:
    if route.needs in (ANYBODY, SIGN_IN):
        return []
    schemes = ("bearer", "basic") if route.needs in (EDGE, JOIN) else SECURITY
    return [{scheme: []} for scheme in schemes]


def _response(kind: Any, schema_of: Callable[[Any], Schema]) -> Schema:
    if kind is None:
        return {"description": "Done"}
    media = kind if isinstance(kind, Media) else Media((JSON,), kind)
    return {"description": "The answer", "content": _content(media, schema_of)}


def _content(media: Media, schema_of: Callable[[Any], Schema]) -> Schema:
    return {media_type: {"schema": _schema(media_type, media.value, schema_of)} for media_type in media.types}


def _schema(media_type: str, value: Any, schema_of: Callable[[Any], Schema]) -> Schema:
    if media_type.startswith("text/"):
        return TEXT
    if value is None:
        return BINARY
    return value if isinstance(value, dict) else schema_of(value)


def _path_parameters(route: Route[Any, Any]) -> list[Schema]:
    part = {"type": "string", "pattern": f"^{PATH_PART.pattern}$"}
    return [
        {"name": name, "in": "path", "required": True, "schema": part} for name in re.findall(r"{(\w+)}", route.path)
    ]


def _headers(route: Route[Any, Any]) -> list[Schema]:
    headers = EDGE_HEADERS if route.needs in (EDGE, JOIN) else {}
    return [{"name": name, "in": "header", "required": True, "schema": schema} for name, schema in headers.items()]


def _query_parameters(
    route: Route[Any, Any], schema_of: Callable[[Any], Schema], components: dict[str, Any]
) -> list[Schema]:
    if route.query is None:
        return []
    kind = components[schema_of(route.query)["$ref"].rpartition("/")[2]]
    return [
        {"name": n, "in": "query", "required": n in kind["required"], "schema": schema}
        for n, schema in kind["properties"].items()
    ]
