"""consent, and when it ends"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0024"
down_revision = "0023"


def upgrade() -> None:
    op.add_column("identities", sa.Column("consent_basis", sa.String(length=64), nullable=True))
    for name in ("consent_given_at", "consent_until", "consent_noticed"):
        op.add_column("identities", sa.Column(name, sa.DateTime(timezone=True), nullable=True))
    op.create_index(op.f("ix_identities_consent_until"), "identities", ["consent_until"])
    op.add_column("import_items", sa.Column("consent", sa.JSON(none_as_null=True), nullable=True))
