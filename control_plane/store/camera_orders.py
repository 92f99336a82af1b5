"""Camera orders: what an edge is to do with a camera of its own. It fetches them, does them, and says how it went.

An order may hold a camera's password: what it says is told to nobody but its edge, and dropped when it is done.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum

import msgspec
import sqlalchemy as sa

from control_plane.store import seals, sites
from control_plane.store.db import new_id
from control_plane.store.seals import Plain, Sealed
from control_plane.store.tables import camera_orders
from faces.errors import Conflict, NotFound
from faces.sealing import about
from faces.wire import CameraOrder, OrderAction, OrderOutcome

KEPT = timedelta(minutes=15)
"""How long an outcome, and the picture that may belong to it, can be asked for."""

LOOK_WITHIN = timedelta(minutes=1)
"""Who asked for a picture does not wait for longer: the edge is told of it no more."""

MOST_WAITING = 64


class OrderState(StrEnum):
    """`PENDING` moves to `DONE` or `FAILED`; those two are final."""

    PENDING = "pending"
    DONE = "done"
    FAILED = "failed"


class ToldOrder(msgspec.Struct, frozen=True, kw_only=True):
    """An order as the API shows it, without what it says of the camera. `picture`: there is one to be fetched."""

    id: str
    edge_id: str
    action: OrderAction
    camera: str
    state: OrderState
    message: str
    remedy: str
    picture: bool
    created_at: datetime
    finished_at: datetime | None


def create(connection: sa.Connection, edge_id: str, order: CameraOrder, now: datetime) -> str:
    """Give an edge an order, whose `id` is ignored; returns its id. Raises NotFound, and Conflict if too many wait."""
    sites.site_of(connection, edge_id)
    forget(connection, now)
    mine = (camera_orders.c.edge_id == edge_id) & (camera_orders.c.state == OrderState.PENDING)
    waiting = connection.execute(sa.select(sa.func.count()).select_from(camera_orders).where(mine)).scalar_one()
    if waiting >= MOST_WAITING:
        raise Conflict("the edge has many orders to do already", remedy="See whether it is connected.")
    order = msgspec.structs.replace(order, id=new_id(now))
    connection.execute(
        camera_orders.insert().values(
            id=order.id,
            edge_id=edge_id,
            action=order.action,
            camera=order.camera,
            body=_sealed(connection, edge_id, order.id, msgspec.msgpack.encode(order)),
            state=OrderState.PENDING,
            message="",
            remedy="",
            created_at=now,
        )
    )
    return order.id


def get(connection: sa.Connection, edge_id: str, order_id: str) -> ToldOrder:
    """Raises NotFound, also for an order of another edge."""
    columns = [c for c in camera_orders.c if c.name not in ("body", "picture")]
    query = sa.select(*columns, camera_orders.c.picture.is_not(None).label("picture"))
    row = connection.execute(query.where(_of(edge_id, order_id))).one_or_none()
    if row is None:
        raise unknown(order_id)
    return ToldOrder(**{**row._mapping, "action": OrderAction(row.action), "state": OrderState(row.state)})


def picture(connection: sa.Connection, edge_id: str, order_id: str) -> bytes:
    """The JPEG that a look has brought; raises NotFound."""
    found = connection.execute(sa.select(camera_orders.c.picture).where(_of(edge_id, order_id))).scalar()
    if found is None:
        raise unknown(order_id)
    return seals.unseal_all(connection, [Sealed(_what(order_id), found)])[0]


def unknown(order_id: str) -> NotFound:
    return NotFound(f"there is no order {order_id!r}", remedy="Outcomes are kept a short while.")


def waiting(connection: sa.Connection, edge_id: str, now: datetime) -> list[CameraOrder]:
    """What an edge has to do, oldest first."""
    fresh = (camera_orders.c.action != OrderAction.LOOK) | (camera_orders.c.created_at > now - LOOK_WITHIN)
    query = (
        sa.select(camera_orders.c.id, camera_orders.c.body)
        .where((camera_orders.c.edge_id == edge_id) & (camera_orders.c.state == OrderState.PENDING) & fresh)
        .order_by(camera_orders.c.id)
    )
    found = [Sealed(_what(order_id), body) for order_id, body in connection.execute(query)]
    return [msgspec.msgpack.decode(body, type=CameraOrder) for body in seals.unseal_all(connection, found)]


def newest(connection: sa.Connection) -> dict[str, str]:
    """Each edge's newest order that is to be done."""
    mine = camera_orders.c.edge_id, sa.func.max(camera_orders.c.id)
    query = sa.select(*mine).where(camera_orders.c.state == OrderState.PENDING).group_by(camera_orders.c.edge_id)
    return {row[0]: row[1] for row in connection.execute(query)}


def finish(connection: sa.Connection, edge_id: str, order_id: str, outcome: OrderOutcome, now: datetime) -> None:
    """Note how an edge says it went; one that is finished stays as it is. Raises NotFound."""
    get(connection, edge_id, order_id)
    picture = outcome.picture and _sealed(connection, edge_id, order_id, outcome.picture)
    connection.execute(
        camera_orders.update()
        .where(_of(edge_id, order_id) & (camera_orders.c.state == OrderState.PENDING))
        .values(
            state=OrderState.DONE if outcome.done else OrderState.FAILED,
            message=outcome.message,
            remedy=outcome.remedy,
            picture=picture,
            body=None,
            finished_at=now,
        )
    )


def forget(connection: sa.Connection, now: datetime) -> None:
    """Drop outcomes that were kept long enough, and looks that nobody waits for any more."""
    stale = camera_orders.c.finished_at <= now - KEPT
    looks = (camera_orders.c.action == OrderAction.LOOK) & (camera_orders.c.created_at <= now - KEPT)
    connection.execute(camera_orders.delete().where(stale | looks))


def _sealed(connection: sa.Connection, edge_id: str, order_id: str, data: bytes) -> bytes:
    """A camera's password, or what it shows, as the row is to hold it: both go within the hour, the key stays."""
    return seals.seal_all(connection, [Plain(f"cameras/{edge_id}", _what(order_id), data)])[0]


def _what(order_id: str) -> bytes:
    return about("camera_order", order_id)


def _of(edge_id: str, order_id: str) -> sa.ColumnElement[bool]:
    return (camera_orders.c.edge_id == edge_id) & (camera_orders.c.id == order_id)
