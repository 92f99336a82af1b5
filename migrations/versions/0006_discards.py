"""Files that no row names any more, until they are deleted."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.create_table(
        "discards",
        sa.Column("blob", sa.Text(), nullable=False),
        sa.Column("discarded_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("blob", name=op.f("pk_discards")),
    )
    with op.batch_alter_table("discards", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_discards_discarded_at"), ["discarded_at"], unique=False)
