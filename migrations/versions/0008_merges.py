"""merges"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    op.create_table(
        "merged_members",
        sa.Column("identity_id", sa.String(length=64), nullable=False),
        sa.Column("gallery_id", sa.String(length=64), nullable=False),
        sa.Column("added", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(
            ["gallery_id"], ["galleries.id"], name=op.f("fk_merged_members_gallery_id_galleries"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["identity_id"],
            ["identities.id"],
            name=op.f("fk_merged_members_identity_id_identities"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("identity_id", "gallery_id", name=op.f("pk_merged_members")),
    )
    op.add_column("identities", sa.Column("merged_into", sa.String(length=64), nullable=True))
    op.create_index(op.f("ix_identities_merged_into"), "identities", ["merged_into"])
    for table in ("photos", "encodings", "enrollments"):
        op.add_column(table, sa.Column("origin_id", sa.String(length=64), nullable=True))
