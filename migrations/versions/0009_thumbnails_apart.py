"""thumbnails in a table of their own, the ids of events no longer kept, indexes for the log's filters"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

# The release before reads and writes it still; 0027 drops it.
UNUSED = {"events": ["thumbnail"]}


def upgrade() -> None:
    op.create_table(
        "past_events",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("body_hash", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_past_events")),
    )
    op.create_table(
        "thumbnails",
        sa.Column("position", BIG, autoincrement=False, nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["position"], ["events.position"], name=op.f("fk_thumbnails_position_events"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("position", name=op.f("pk_thumbnails")),
    )
    op.execute(
        "INSERT INTO thumbnails (position, data) SELECT position, thumbnail FROM events WHERE thumbnail IS NOT NULL"
    )
    op.add_column("events", sa.Column("clock_offset_s", sa.Float(), nullable=True))
    op.drop_index(op.f("ix_events_identity_id"), table_name="events")
    for columns in (
        ["site_id", "position"],
        ["site_id", "captured_at"],
        ["identity_id", "position"],
        ["camera", "position"],
        ["kind", "position"],
    ):
        op.create_index(op.f(f"ix_events_{'_'.join(columns)}"), "events", columns, unique=False)
