"""corrections"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.add_column("enrollments", sa.Column("kind", sa.String(length=16), server_default="photo", nullable=False))
    op.add_column("enrollments", sa.Column("correction_id", sa.String(length=64), nullable=True))
