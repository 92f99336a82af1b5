from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa

from control_plane.store import camera_orders
from control_plane.store.db import utcnow
from control_plane.store.tables import camera_orders as table
from faces import wire
from faces.wire import CameraOrder, Hint, OrderAction, Ordered, OrderOutcome

SOURCE = "rtsp://user:hush@10.0.0.9/1"
PUT = {"action": "put", "camera": "gate", "source": SOURCE, "max_fps": 10}


def orders(edge: Any) -> list[CameraOrder]:
    return wire.decode(edge.call("GET", "/v1/edge/orders").content, list[CameraOrder])


def finish(edge: Any, order_id: str, **outcome: Any) -> int:
    status: int = edge.call("POST", f"/v1/edge/orders/{order_id}", OrderOutcome(**outcome)).status_code
    return status


def test_an_order_goes_to_its_edge_alone_and_its_password_is_dropped_when_done(either: Any) -> None:
    edge, other = either.edge(), either.edge()
    made = either.post(f"/v1/edges/{edge.id}/orders", json=PUT)
    assert (made.status_code, made.json()["state"], "hush" in made.text) == (202, "pending", False)
    assert orders(other) == []
    (order,) = orders(edge)
    assert (order.action, order.camera) == (OrderAction.PUT, "gate")
    assert order.settings == {"source": SOURCE, "max_fps": "10.0"}
    assert finish(other, order.id, done=True) == 404
    assert finish(edge, order.id, done=False, message="it cannot be opened", remedy="Look.") == 204
    assert finish(edge, order.id, done=True) == 204
    told = either.get(made.headers["Location"]).json()
    assert (told["state"], told["message"], told["remedy"]) == ("failed", "it cannot be opened", "Look.")
    assert orders(edge) == []
    with either.database.read() as connection:
        assert connection.execute(sa.select(table.c.body)).scalars().all() == [None]


def test_a_look_brings_a_picture_to_whoever_waits(server: Any, jpeg: bytes) -> None:
    edge = server.edge()
    made = server.post(f"/v1/edges/{edge.id}/orders", json={"action": "look", "camera": "door"}).json()
    assert server.get(f"/v1/edges/{edge.id}/orders/{made['id']}/picture").status_code == 404
    assert finish(edge, made["id"], done=True, picture=jpeg) == 204
    told = server.get(f"/v1/edges/{edge.id}/orders/{made['id']}", headers={"Prefer": "wait=5"}).json()
    assert (told["state"], told["picture"]) == ("done", True)
    assert server.get(f"/v1/edges/{edge.id}/orders/{made['id']}/picture").content == jpeg


def test_a_connected_edge_is_told_at_once_and_one_that_connects_later_then(
    server: Any, wait_for: Callable[..., Any]
) -> None:
    edge = server.edge()

    def told(link: Any) -> wire.LinkDown:
        while isinstance(said := wire.decode_text(link.recv(timeout=5), wire.LinkDown), Hint):  # type: ignore[arg-type]
            pass
        return said  # type: ignore[return-value]

    with edge.link() as link:
        server.post(f"/v1/edges/{edge.id}/orders", json=PUT)
        assert told(link) == Ordered()
    with edge.link() as link:
        assert told(link) == Ordered()


@pytest.mark.parametrize(
    "body",
    [
        {"action": "put", "camera": "gate"},
        {"action": "put", "camera": "", "source": "0"},
        {"action": "put", "camera": "gate", "source": "0", "max_fps": 0},
        {"action": "put", "camera": "gate", "source": "rtsp://h/\0"},
        {"action": "drop", "camera": "gate"},
    ],
)
def test_an_order_that_makes_no_sense_is_refused(server: Any, body: dict[str, object]) -> None:
    assert server.post(f"/v1/edges/{server.edge().id}/orders", json=body).status_code == 400


def test_an_edge_that_is_not_there_gets_no_orders(server: Any) -> None:
    assert server.post("/v1/edges/nobody/orders", json=PUT).status_code == 404


def test_orders_that_nobody_fetches_do_not_pile_up(server: Any) -> None:
    edge = server.edge()
    answers = [server.post(f"/v1/edges/{edge.id}/orders", json=PUT) for _ in range(camera_orders.MOST_WAITING + 1)]
    assert [a.status_code for a in answers[-2:]] == [202, 409]


def test_a_look_that_nobody_waits_for_any_more_is_not_done(database: Any, event: Any) -> None:
    now = utcnow()
    with database.write() as connection:
        connection.exec_driver_sql("DELETE FROM camera_orders")
        _edge(connection, now)
        look = CameraOrder(action=OrderAction.LOOK, camera="door")
        put = CameraOrder(action=OrderAction.PUT, camera="gate", settings={"source": "0"})
        camera_orders.create(connection, "e", look, now - timedelta(seconds=1))
        camera_orders.create(connection, "e", put, now)
        later = now + camera_orders.LOOK_WITHIN
        assert [o.camera for o in camera_orders.waiting(connection, "e", now)] == ["door", "gate"]
        assert [o.camera for o in camera_orders.waiting(connection, "e", later)] == ["gate"]
        camera_orders.forget(connection, now + camera_orders.KEPT + timedelta(seconds=1))
        kept = connection.execute(sa.select(table.c.camera)).scalars().all()
        assert kept == ["gate"]


def _edge(connection: Any, now: Any) -> None:
    from control_plane.store import sites

    hello = wire.Hello(name="box", version="1", engine="sface", cameras=[])
    sites.welcome(connection, "e", hello, wire.WIRE, now)


def test_an_order_survives_its_encoding() -> None:
    order = CameraOrder(id="o", action=OrderAction.PUT, camera="gate", settings={"source": SOURCE})
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(order), type=CameraOrder) == order


def test_a_cameras_password_and_picture_are_sealed_in_the_row(database: Any, jpeg: bytes) -> None:
    now = utcnow()
    with database.write() as connection:
        _edge(connection, now)
        put = CameraOrder(action=OrderAction.PUT, camera="gate", settings={"source": SOURCE})
        order_id = camera_orders.create(connection, "e", put, now)
        assert b"hush" not in bytes(connection.execute(sa.select(table.c.body)).scalar_one())
        assert camera_orders.waiting(connection, "e", now)[0].settings == {"source": SOURCE}
        camera_orders.finish(connection, "e", order_id, OrderOutcome(done=True, picture=jpeg), now)
        assert jpeg not in bytes(connection.execute(sa.select(table.c.picture)).scalar_one())
        assert camera_orders.picture(connection, "e", order_id) == jpeg
