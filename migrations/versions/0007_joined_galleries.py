"""Imports that bring somebody known into a gallery."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    with op.batch_alter_table("import_items", schema=None) as batch_op:
        batch_op.add_column(sa.Column("joined", sa.Boolean(), server_default=sa.false(), nullable=False))
