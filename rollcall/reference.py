"""The API's reference for people to read, made from the OpenAPI document."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from control_plane.api import schema as openapi
from control_plane.api.routes import ROUTES
from control_plane.app import VERSION

HEAD = """# The API

Made from the OpenAPI document (`/openapi.json`) by `rollcall openapi --markdown`: what stands here is what runs.
"""
WORDS = {"string": "text", "integer": "whole number", "number": "number", "boolean": "true or false", "null": "null"}

Schema = Mapping[str, Any]


def document() -> Schema:
    """The OpenAPI document that the control plane serves."""
    return openapi.document(openapi.with_document(ROUTES, VERSION), VERSION)


def markdown(document: Schema) -> str:
    """The whole reference: the operations by what they are about, then the values they take and answer."""
    return "\n".join([HEAD, document["info"]["description"], *_operations(document), *_values(document)]) + "\n"


def _operations(document: Schema) -> Iterator[str]:
    about = ""
    for path, operations in sorted(document["paths"].items(), key=lambda item: (_subject(item[0]), item[0])):
        if _subject(path) != about:
            about = _subject(path)
            yield f"\n## {about.capitalize()}\n"
        for method, operation in operations.items():
            yield from _operation(method.upper(), path, operation)


def _subject(path: str) -> str:
    parts = path.strip("/").split("/")
    if parts[0] != "v1":
        return "the single-box service's endpoints, health and this document"
    return parts[1].removesuffix(".json").replace("-", " ")


def _operation(method: str, path: str, operation: Schema) -> Iterator[str]:
    yield f"### `{method} {path}`\n"
    yield f"{_flat(operation['summary'])}\n"
    told = [f"needs `{operation['x-rollcall-needs']}`"]
    for parameter in operation["parameters"]:
        if parameter["in"] == "query":
            told.append(f"`?{parameter['name']}=` {_kind(parameter['schema'])}")
    if body := operation.get("requestBody"):
        told.append("takes " + ", ".join(_content(body["content"])))
    for status, response in operation["responses"].items():
        if status != "default":
            answer = ", ".join(_content(response.get("content", {}))) or "nothing"
            told.append(f"{status}: {answer}")
    yield "".join(f"- {line}\n" for line in told)


def _content(content: Schema) -> Iterator[str]:
    for media_type, said in content.items():
        schema = said["schema"]
        plain = schema.get("format") == "binary" or not schema
        yield f"`{media_type}`" if plain else f"{_kind(schema)} (`{media_type}`)"


def _values(document: Schema) -> Iterator[str]:
    yield "\n## Values\n"
    for name, schema in sorted(document["components"]["schemas"].items()):
        yield f"### {name}\n"
        if description := schema.get("description"):
            yield f"{_flat(description)}\n"
        if "enum" in schema:
            yield " · ".join(f"`{value}`" for value in schema["enum"]) + "\n"
        if fields := schema.get("properties"):
            required = schema.get("required", ())
            yield "| field | value | |\n|---|---|---|"
            for field, kind in fields.items():
                yield f"| `{field}` | {_kind(kind)} | {'' if field in required else 'may be left out'} |"
            yield ""


def _kind(schema: Schema) -> str:
    """A type in words. Alternatives are joined by `or`, bounds are told."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name.rpartition('.')[2]}](#{_anchor(name)})"
    if "anyOf" in schema:
        return " or ".join(_kind(one) for one in schema["anyOf"])
    if "enum" in schema:
        return " or ".join(f"`{value}`" for value in schema["enum"])
    if schema.get("type") == "array":
        return f"list of {_kind(schema.get('items') or {})}"
    word = WORDS.get(schema.get("type", ""), "value")
    if schema.get("format") == "date-time":
        word = "moment (RFC 3339)"
    bounds = [f"{told} {schema[key]}" for key, told in (("minimum", "from"), ("maximum", "to")) if key in schema]
    return " ".join((word, *bounds))


def _anchor(heading: str) -> str:
    """Where a heading is found on a page, as those who show Markdown make it."""
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


def _flat(text: str | None) -> str:
    return " ".join((text or "").split())
