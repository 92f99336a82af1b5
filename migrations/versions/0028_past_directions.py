"""directions of cameras that are gone"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0028"
down_revision = "0027"


def upgrade() -> None:
    op.create_table(
        "past_directions",
        sa.Column("edge_id", sa.String(length=64), nullable=False),
        sa.Column("camera", sa.Text(), nullable=False),
        sa.Column("direction", sa.String(length=3), nullable=False),
        sa.PrimaryKeyConstraint("edge_id", "camera", name=op.f("pk_past_directions")),
    )
