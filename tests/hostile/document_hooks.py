"""What schemathesis cannot read in the OpenAPI document: how msgpack is written, what a time zone is, and the rules
that a JSON Schema has no words for."""

from __future__ import annotations

import io
import zipfile
from typing import Any

import msgspec
import schemathesis
from hypothesis import strategies as st
from schemathesis.openapi.checks import RejectedPositiveData

MSGPACK = "application/msgpack"

BEYOND_SCHEMAS = (
    "holds characters that are no text",
    "valid_until is not after valid_from",
    "expires_at is past",
    "consent_basis is missing",
    "consent_until is not after consent_given_at",
    "give either ids, or since (and until)",
    "statuses is empty, and no alarms are asked for",
    "there is no site ",
    "there is no gallery ",
    "there is no time zone ",
    "url is not an http:// or https:// URL",
    "leads to this machine or to a private net",
    "day is not of a year from",
    "the edge in the path is not the one that calls",
    "cameras: each name once",
    # The body is a file of no bytes.
    "image is missing",
    "zip is missing",
    "a time is before the year 1 or after the year 9999",
    "attributes hold a number that is too large",
    "source is missing",
    "this password is too weak",
    # msgpack tells bytes from texts.
    "Expected `bytes",
    # To JSON Schema 2.0 is an integer.
    "`, got `float`",
)
"""What is said of data that a schema would take: such data is sent all the same, and may be refused."""


@schemathesis.hook
def filter_failure(_context: Any, failure: Any, _case: Any, response: Any) -> bool:
    """Whether a failure is one."""
    refused = isinstance(failure, RejectedPositiveData) and response.status_code == 400
    return not (refused and any(rule in response.json()["detail"] for rule in BEYOND_SCHEMAS))


@schemathesis.serializer(MSGPACK)
def packed(_context: Any, value: Any) -> bytes:
    return value if isinstance(value, bytes) else msgspec.msgpack.encode(_packable(value))


@schemathesis.deserializer(MSGPACK)
def unpacked(_context: Any, response: Any) -> Any:
    # A snapshot is many values, each behind its length.
    if response.request.url.endswith("/snapshot"):
        return response.content.decode("latin-1")
    return msgspec.to_builtins(msgspec.msgpack.decode(response.content))


def _packable(value: Any) -> Any:
    """msgpack has no numbers beyond 64 bits."""
    if isinstance(value, int) and not -(1 << 63) <= value < 1 << 64:
        return float(value)
    if isinstance(value, dict):
        return {str(key): _packable(inner) for key, inner in value.items()}
    return [_packable(inner) for inner in value] if isinstance(value, list) else value


def _archive(name: str) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(name, b"no picture")
    return file.getvalue()


schemathesis.openapi.format("time-zone", st.sampled_from(["UTC", "Europe/Berlin", "Asia/Kathmandu"]))
schemathesis.openapi.format("uri", st.sampled_from(["https://receiver.example/hook", "https://receiver.example:8443/"]))
schemathesis.openapi.media_type("application/zip", st.sampled_from([_archive("katya.jpg"), _archive("a/../b"), b"PK"]))
