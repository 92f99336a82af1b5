"""columns that no release uses any more"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0027"
down_revision = "0026"

COLUMNS = {"events": ["thumbnail"], "deliveries": ["lease_owner", "lease_until"]}


def upgrade() -> None:
    # The tables are not rebuilt: one may be the largest there is.
    for table, columns in COLUMNS.items():
        there = {column["name"] for column in sa.inspect(op.get_bind()).get_columns(table)}
        for column in columns:
            if column in there:
                op.drop_column(table, column)
