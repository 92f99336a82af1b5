from __future__ import annotations

import re
from pathlib import Path

import msgspec
from click.testing import CliRunner

from control_plane.api.routes import ROUTES
from rollcall.cli import cli
from rollcall.reference import document, markdown


def test_every_route_and_value_is_told() -> None:
    told = markdown(document())
    assert all(f"### `{route.method} {route.path}`" in told for route in ROUTES)
    assert set(re.findall(r"^### ([\w.]+)$", told, re.M)) == set(document()["components"]["schemas"])


def test_every_link_leads_to_a_heading() -> None:
    told = markdown(document())
    anchors = {heading.lower().replace(".", "") for heading in re.findall(r"^### ([\w.]+)$", told, re.M)}
    assert set(re.findall(r"\]\(#([^)]+)\)", told)) <= anchors


def test_the_document_is_printed_as_it_is_served() -> None:
    printed = CliRunner().invoke(cli, ["openapi"]).output
    assert msgspec.json.decode(printed) == msgspec.json.decode(msgspec.json.encode(document()))


def test_the_documentation_holds_the_api_as_it_is() -> None:
    kept = (Path(__file__).resolve().parents[2] / "docs" / "api.md").read_text()
    assert kept.strip() == markdown(document()).strip(), "rollcall openapi --markdown > docs/api.md"
