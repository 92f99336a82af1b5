"""What has failed for good, of every kind, and having it done over where what it was made of is still there."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Any

import msgspec
import sqlalchemy as sa

from control_plane.store import deliveries, enrollments, identifications, import_items, imports, reencodings
from control_plane.store.tables import deliveries as delivery_rows
from control_plane.store.tables import enrollments as enrollment_rows
from control_plane.store.tables import identifications as identification_rows
from control_plane.store.tables import import_items as item_rows
from control_plane.store.tables import imports as import_rows
from control_plane.store.tables import reencoding_refusals as refusal_rows
from control_plane.store.tables import reencodings as reencoding_rows
from control_plane.store.tables import webhooks as hook_rows
from faces.errors import Reason

PAGE = 500
"""How many are done over in a transaction: a longer one would keep everybody else from writing."""

SWITCHED_OFF = "its webhook is switched off: switch it on first"
ERASED = "it is about somebody who was erased"
DISCARDED = "its photo was discarded as it was refused: send it again"
DELETED = "its archive was deleted as it failed: import it again"
NOT_TWICE = "an import looks at a photo once: send it again"
OVER = "that change of the engine is over: give the person another photo"


class Kind(StrEnum):
    """What may fail. Photos are listed where workers died of them: any other refusal is an answer to who sent them."""

    DELIVERY = "delivery"
    ENROLLMENT = "enrollment"
    IDENTIFICATION = "identification"
    IMPORT = "import"
    IMPORT_PHOTO = "import_photo"
    REENCODED_PHOTO = "reencoded_photo"


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """Something that has failed for good.

    `id` is the row's, of photos `import:number` and `reencoding:photo`. `at` is when it failed; of photos, when what
    they belong to was begun. `attempts` is None where they are not counted. `obstacle` says why it cannot be retried.
    """

    kind: Kind
    id: str
    at: datetime
    reason: str | None
    message: str
    attempts: int | None
    obstacle: str | None


def counts(connection: sa.Connection) -> dict[Kind, int]:
    """How many there are of each kind that there are any of."""
    numbers = {
        kind: connection.execute(sa.select(sa.func.count()).select_from(query().subquery())).scalar_one()
        for kind, query in _QUERIES.items()
    }
    return {kind: number for kind, number in numbers.items() if number}


def newest(connection: sa.Connection, kind: Kind, limit: int) -> list[Failure]:
    """The last of a kind, the newest first."""
    found = _QUERIES[kind]().subquery()
    return _failures(connection, kind, sa.select(found).order_by(found.c.at.desc(), found.c.id.desc()).limit(limit))


def named(connection: sa.Connection, ids: Sequence[str]) -> list[Failure]:
    """Those with these ids; what has not failed, or not any more, is not among them."""
    found = {kind: query().subquery() for kind, query in _QUERIES.items()}
    return [f for kind, q in found.items() for f in _failures(connection, kind, sa.select(q).where(q.c.id.in_(ids)))]


def page(connection: sa.Connection, kind: Kind, after: str, limit: int = PAGE) -> list[Failure]:
    """Those of a kind that can be retried, in the order of their ids."""
    q = _QUERIES[kind]().subquery()
    wanted = q.c.obstacle.is_(None) & (q.c.id > after)
    return _failures(connection, kind, sa.select(q).where(wanted).order_by(q.c.id).limit(limit))


def retry(connection: sa.Connection, found: Sequence[Failure], now: datetime) -> list[Failure]:
    """Have these done over; returns those that are. What has an obstacle is left, and what somebody else has had done
    over meanwhile."""
    wanted = [f for f in found if f.obstacle is None]
    done = set(deliveries.retry(connection, [f.id for f in wanted if f.kind is Kind.DELIVERY], now))
    photos: dict[str, list[str]] = {}
    for failure in wanted:
        if failure.kind is Kind.REENCODED_PHOTO:
            reencoding_id, _, photo_id = failure.id.partition(":")
            photos.setdefault(reencoding_id, []).append(photo_id)
    for reencoding_id, ids in photos.items():
        done |= {f"{reencoding_id}:{photo_id}" for photo_id in reencodings.retry(connection, reencoding_id, ids)}
    return [f for f in wanted if f.id in done]


def _failures(connection: sa.Connection, kind: Kind, query: sa.Select[Any]) -> list[Failure]:
    return [Failure(kind=kind, **row._mapping) for row in connection.execute(query)]


def _deliveries() -> sa.Select[Any]:
    d = delivery_rows.c
    because = sa.func.coalesce(d.last_error, "")
    return (
        _columns(
            d.id,
            at=_ended(delivery_rows),
            reason=sa.null(),
            message=sa.literal("webhook ") + d.webhook_id + sa.literal(": ") + because,
            attempts=d.attempts,
            obstacle=sa.case(
                (~hook_rows.c.enabled, SWITCHED_OFF), (~deliveries.may_be_told(), ERASED), else_=sa.null()
            ),
        )
        .join_from(delivery_rows, hook_rows)
        .where(d.state == deliveries.DeliveryState.FAILED)
    )


def _enrollments() -> sa.Select[Any]:
    return _refused(enrollment_rows, enrollments.State.REFUSED)


def _identifications() -> sa.Select[Any]:
    return _refused(identification_rows, identifications.State.REFUSED)


def _refused(table: sa.Table, state: str) -> sa.Select[Any]:
    c = table.c
    columns = _columns(
        c.id, at=_ended(table), reason=c.reason, message=c.message, attempts=c.attempts, obstacle=DISCARDED
    )
    return columns.where((c.state == state) & (c.reason == Reason.INTERNAL))


def _imports() -> sa.Select[Any]:
    c = import_rows.c
    return _columns(
        c.id,
        at=_ended(import_rows),
        reason=c.error["code"].as_string(),
        message=c.error["message"].as_string(),
        attempts=sa.null(),
        obstacle=DELETED,
    ).where(c.state == imports.State.FAILED)


def _import_photos() -> sa.Select[Any]:
    c = item_rows.c
    return (
        _columns(
            c.import_id + sa.literal(":") + sa.cast(c.seq, sa.String),
            at=import_rows.c.created_at,
            reason=c.reason,
            message=c.message,
            attempts=c.attempts,
            obstacle=NOT_TWICE,
        )
        .join_from(item_rows, import_rows)
        .where((c.state == import_items.ItemState.REFUSED) & (c.reason == Reason.INTERNAL))
    )


def _reencoded_photos() -> sa.Select[Any]:
    c = refusal_rows.c
    under_way = reencoding_rows.c.state.in_(reencodings.OPEN)
    return (
        _columns(
            c.reencoding_id + sa.literal(":") + c.photo_id,
            at=reencoding_rows.c.created_at,
            reason=c.reason,
            message=c.message,
            attempts=sa.null(),
            obstacle=sa.case((under_way, sa.null()), else_=OVER),
        )
        .join_from(refusal_rows, reencoding_rows)
        .where(c.reason == Reason.INTERNAL)
    )


def _ended(table: sa.Table) -> sa.ColumnElement[datetime]:
    return sa.func.coalesce(table.c.finished_at, table.c.created_at, type_=table.c.created_at.type)


def _columns(id_: sa.ColumnElement[str], **values: Any) -> sa.Select[Any]:
    columns = {"id": id_} | {k: v if isinstance(v, sa.ColumnElement) else sa.literal(v) for k, v in values.items()}
    labelled: list[Any] = [column.label(name) for name, column in columns.items()]
    selected: sa.Select[Any] = sa.select(*labelled)
    return selected


_QUERIES: Mapping[Kind, Callable[[], sa.Select[Any]]] = MappingProxyType(
    {
        Kind.DELIVERY: _deliveries,
        Kind.ENROLLMENT: _enrollments,
        Kind.IDENTIFICATION: _identifications,
        Kind.IMPORT: _imports,
        Kind.IMPORT_PHOTO: _import_photos,
        Kind.REENCODED_PHOTO: _reencoded_photos,
    }
)
