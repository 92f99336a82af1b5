"""encodings of strangers, grouped by likeness"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0026"
down_revision = "0025"

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.add_column("sites", sa.Column("probe_days", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("sites", sa.Column("grouped_at", sa.DateTime(timezone=True), nullable=True))
    op.create_table(
        "unknowns",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("site_id", sa.String(length=64), nullable=False),
        sa.Column("model", sa.String(length=64), nullable=False),
        sa.Column("dismissed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["site_id"], ["sites.id"], name=op.f("fk_unknowns_site_id_sites"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_unknowns")),
    )
    op.create_index(op.f("ix_unknowns_site_id_id"), "unknowns", ["site_id", "id"])
    op.create_table(
        "probes",
        sa.Column(
            "position", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False
        ),
        sa.Column("site_id", sa.String(length=64), nullable=False),
        sa.Column("model", sa.String(length=64), nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.Column("arrived_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("unknown_id", sa.String(length=64), nullable=True),
        sa.ForeignKeyConstraint(
            ["position"], ["events.position"], name=op.f("fk_probes_position_events"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["unknown_id"], ["unknowns.id"], name=op.f("fk_probes_unknown_id_unknowns"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("position", name=op.f("pk_probes")),
    )
    op.create_index(op.f("ix_probes_site_id_position"), "probes", ["site_id", "position"])
    op.create_index(op.f("ix_probes_unknown_id_position"), "probes", ["unknown_id", "position"])
