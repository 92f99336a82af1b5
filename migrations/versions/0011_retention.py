"""time zone and retention of a site, direction of a camera"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.add_column("sites", sa.Column("time_zone", sa.Text(), nullable=False, server_default="UTC"))
    op.add_column("sites", sa.Column("event_days", sa.Integer(), nullable=True))
    op.add_column("sites", sa.Column("thumbnail_days", sa.Integer(), nullable=True))
    op.add_column("sites", sa.Column("tidied_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("sites", sa.Column("thumbnails_to", BIG, nullable=False, server_default="0"))
    op.add_column("cameras", sa.Column("direction", sa.String(length=3), nullable=True))
