"""Hostile requests: bodies, parameters and headers that no honest client sends, and honest ones at the same instant."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import pytest
import requests

from control_plane.api.route import JSON, Route
from control_plane.api.routes import ROUTES
from faces import wire
from tests.hostile.conftest import Product

DEEP = 100_000
HUGE = "1" + "0" * 400
BODIES = {
    "nested arrays": b"[" * DEEP,
    "nested objects": b'{"a":' * DEEP,
    "nested whole": b"[" * DEEP + b"]" * DEEP,
    "NaN": b'{"name":"a","th_accept":NaN}',
    "Infinity": b'{"lease_days":Infinity}',
    "-Infinity": b"-Infinity",
}
EDGE = {wire.EDGE_HEADER: "edge-hostile", wire.WIRE_HEADER: str(wire.WIRE)}
PAGED = [route for route in ROUTES if route.query is not None and "limit" in route.query.__struct_fields__]


def takes(route: Route[Any, Any], kind: str) -> bool:
    return (route.body is not None and kind == JSON) or kind in route.reads


def send(product: Product, route: Route[Any, Any], body: bytes, kind: str = JSON) -> requests.Response:
    url = product.place.url + route.path.replace("{id}", "edge-hostile").replace("{", "").replace("}", "")
    headers = {**EDGE, "Content-Type": kind}
    return requests.request(route.method, url, data=body, headers=headers, timeout=10)


@pytest.mark.parametrize("body", BODIES)
def test_hostile_27_json_that_is_none_on_every_route(product: Product, body: str) -> None:
    with product.bounds():
        for route in ROUTES:
            if takes(route, JSON):
                answer = send(product, route, BODIES[body])
                assert (answer.status_code, answer.json()["code"]) in {(400, "invalid"), (401, "unauthenticated")}, (
                    route.path,
                    answer.text[:200],
                )


def test_hostile_27_msgpack_nested_as_deep(product: Product) -> None:
    with product.bounds():
        for route in ROUTES:
            if takes(route, wire.MSGPACK):
                for start in (b"\x91", b"\x81\xa1a"):
                    answer = send(product, route, start * DEEP, wire.MSGPACK)
                    assert (answer.status_code, answer.json()["code"]) == (400, "invalid"), route.path


@pytest.mark.parametrize("number", ["1e400", HUGE, f"-{HUGE}", "1e-400", "18446744073709551616"])
def test_hostile_27_a_number_beyond_all_bounds(product: Product, number: str) -> None:
    url = product.place.url
    tiny = number == "1e-400"
    with product.bounds():
        for body in (f'{{"name":"a","attributes":{{"n":{number}}}}}', f'{{"name":{number}}}'):
            answer = requests.post(f"{url}/v1/identities", data=body, headers={"Content-Type": JSON}, timeout=10)
            assert answer.status_code == 400 or tiny
        for field in ("lease_days", "event_days"):
            answer = requests.patch(
                f"{url}/v1/sites/default", data=f'{{"{field}":{number}}}', headers={"Content-Type": JSON}, timeout=10
            )
            assert answer.status_code == 400 or tiny
        assert requests.get(f"{url}/v1/events", params={"after": number}, timeout=10).status_code == 400 or tiny


@pytest.mark.parametrize("depth", [20, 200, 400, 600, 900, 1100])
def test_hostile_27_attributes_nested_so_deep_are_refused_or_shown_again(product: Product, depth: int) -> None:
    url, value = f"{product.place.url}/v1/identities", '{"a":' * depth + "1" + "}" * depth
    with product.bounds():
        body = f'{{"name":"Deep","attributes":{value}}}'
        made = requests.post(url, data=body, headers={"Content-Type": JSON}, timeout=10)
        if depth > 32:
            assert (made.status_code, made.json()["code"]) == (400, "invalid")
            return
        shown = requests.get(f"{url}/{made.json()['id']}", timeout=10)
        assert json.dumps(shown.json()["attributes"], separators=(",", ":")) == value


def test_hostile_27_of_two_fields_of_one_name_the_last_counts(product: Product) -> None:
    url = f"{product.place.url}/v1/identities"
    with product.bounds():
        body = '{"name":"first","name":"last","attributes":{"k":1,"k":2}}'
        made = requests.post(url, data=body, headers={"Content-Type": JSON}, timeout=10).json()
        assert (made["name"], made["attributes"]) == ("last", {"k": 2})
        assert requests.post(url, data='{"name":"a","name":1}', headers={"Content-Type": JSON}).status_code == 400


@pytest.mark.parametrize("limit", ["-1", "0", "501", "1e3", "NaN", HUGE, "٣", "1&limit=-1"])
def test_hostile_27_a_limit_that_is_none_on_every_list(product: Product, limit: str) -> None:
    with product.bounds():
        assert len(PAGED) > 8
        for route in PAGED:
            url = product.place.url + route.path.replace("{id}", "default")
            answer = requests.get(f"{url}?limit={limit}", timeout=10)
            assert (answer.status_code, answer.json()["code"]) == (400, "invalid"), route.path


@pytest.mark.parametrize("ranges", ["0-0,", "0-,", "-1,", "5-1,", f"0-{HUGE},"])
def test_hostile_28_a_range_of_ten_thousand_parts(product: Product, ranges: str) -> None:
    url = f"{product.place.url}/dashboard/style.css"
    whole = requests.get(url, timeout=10).content
    with product.bounds():
        for asked in ("bytes=" + (ranges * 10_000)[:-1], "bytes=" + ",".join(f"{i}-{i}" for i in range(0, 20_000, 2))):
            answer = requests.get(url, headers={"Range": asked}, timeout=10)
            assert answer.status_code in (200, 206, 400, 416, 431)
            assert len(answer.content) < 4 * len(whole)


def at_once(*calls: Callable[[], requests.Response]) -> list[requests.Response]:
    with ThreadPoolExecutor(len(calls)) as threads:
        return [future.result() for future in [threads.submit(call) for call in calls]]


@pytest.fixture
def person(product: Product) -> str:
    """Somebody enrolled; the id."""
    made = requests.post(f"{product.place.url}/v1/identities", json={"name": f"Twin {uuid4().hex[:6]}"}, timeout=10)
    return str(made.json()["id"])


def test_hostile_29_two_enrolments_at_the_same_instant(product: Product, portrait: dict[str, bytes]) -> None:
    with product.bounds():
        told = at_once(*[lambda: product.register(portrait["obama"], "Obama")] * 4)
        assert {answer.status_code for answer in told} == {200}
        (found,) = requests.get(f"{product.place.url}/v1/identities", timeout=10).json()["items"]
        assert (found["name"], found["photos"]) == ("Obama", 4), "one person, as one after the other"


def test_hostile_29_two_enrolments_under_two_names_at_the_same_instant(
    product: Product, portrait: dict[str, bytes]
) -> None:
    with product.bounds():
        told = at_once(*[lambda n=n: product.register(portrait["obama"], f"Obama {n}") for n in range(4)])  # type: ignore[misc]
        assert sorted(answer.status_code for answer in told) == [200, 422, 422, 422]
        assert {a.json()["reason"] for a in told if a.status_code == 422} == {"look_alike"}
        assert len(requests.get(f"{product.place.url}/faces", timeout=10).json()) == 1


def test_hostile_29_two_erasures_at_the_same_instant(product: Product, person: str) -> None:
    url = f"{product.place.url}/v1/identities/{person}"
    with product.bounds():
        told = at_once(*[lambda: requests.delete(url, timeout=10)] * 4)
        assert sorted(answer.status_code for answer in told) == [204, 404, 404, 404]
        assert requests.get(f"{url}/erasure", timeout=10).status_code == 200


def test_hostile_29_two_members_joined_at_the_same_instant(product: Product, person: str) -> None:
    url = f"{product.place.url}/v1/galleries"
    gallery = requests.post(url, json={"name": f"list {uuid4().hex[:6]}"}, timeout=10).json()["id"]
    with product.bounds():
        told = at_once(*[lambda: requests.put(f"{url}/{gallery}/members/{person}", timeout=10)] * 4)
        assert {answer.status_code for answer in told} == {204}
        assert requests.get(f"{url}/{gallery}", timeout=10).json()["identities"] == 1
        told = at_once(*[lambda: requests.delete(f"{url}/{gallery}/members/{person}", timeout=10)] * 4)
        assert {answer.status_code for answer in told} <= {204, 404}
        assert requests.get(f"{url}/{gallery}", timeout=10).json()["identities"] == 0
    requests.delete(f"{url}/{gallery}", timeout=10)


def test_hostile_29_an_external_id_is_given_once(product: Product) -> None:
    url, wanted = f"{product.place.url}/v1/identities", {"name": "Twin", "external_id": uuid4().hex}
    with product.bounds():
        told = at_once(*[lambda: requests.post(url, json=wanted, timeout=10)] * 4)
        assert sorted(answer.status_code for answer in told) == [201, 409, 409, 409]


def test_hostile_29_an_erasure_during_an_enrolment(product: Product, portrait: dict[str, bytes]) -> None:
    """Whichever comes first, nothing of an erased person stays."""
    url = f"{product.place.url}/v1/identities"
    photo: dict[str, Any] = {"data": portrait["obama"], "headers": {"Content-Type": "image/jpeg", "Prefer": "wait=5"}}
    with product.bounds():
        for _ in range(4):
            made = requests.post(url, json={"name": "Gone"}, timeout=10).json()["id"]
            added, erased = at_once(
                lambda made=made: requests.post(f"{url}/{made}/photos", timeout=10, **photo),  # type: ignore[misc]
                lambda made=made: requests.delete(f"{url}/{made}", timeout=10),  # type: ignore[misc]
            )
            assert erased.status_code == 204
            assert added.status_code in (201, 404, 422)
        assert requests.get(url, timeout=10).json()["items"] == []
    product.nothing_stays()
