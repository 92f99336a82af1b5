"""reencodings"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"


def upgrade() -> None:
    op.add_column("galleries", sa.Column("model", sa.String(length=64), nullable=True))
    op.create_table(
        "reencodings",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("model", sa.String(length=64), nullable=False),
        sa.Column("from_model", sa.String(length=64), nullable=True),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("switched_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_reencodings")),
    )
    op.create_index(op.f("ix_reencodings_state"), "reencodings", ["state"])
    op.create_table(
        "reencoding_chunks",
        sa.Column("reencoding_id", sa.String(length=64), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("photos", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("lease_owner", sa.String(length=64), nullable=True),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["reencoding_id"],
            ["reencodings.id"],
            name=op.f("fk_reencoding_chunks_reencoding_id_reencodings"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("reencoding_id", "number", name=op.f("pk_reencoding_chunks")),
    )
    op.create_table(
        "reencoding_refusals",
        sa.Column("reencoding_id", sa.String(length=64), nullable=False),
        sa.Column("photo_id", sa.String(length=64), nullable=False),
        sa.Column("reason", sa.String(length=32), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["photo_id"], ["photos.id"], name=op.f("fk_reencoding_refusals_photo_id_photos"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["reencoding_id"],
            ["reencodings.id"],
            name=op.f("fk_reencoding_refusals_reencoding_id_reencodings"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("reencoding_id", "photo_id", name=op.f("pk_reencoding_refusals")),
    )
    op.create_index(op.f("ix_reencoding_refusals_photo_id"), "reencoding_refusals", ["photo_id"])
    op.create_index(op.f("ix_encodings_photo_id"), "encodings", ["photo_id"])
