"""Finding the queries that kept a photo by it."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index(
        "ix_queries_photo_hash", "queries", ["photo_hash"], postgresql_where=sa.text("photo_hash IS NOT NULL")
    )


def downgrade() -> None:
    op.drop_index("ix_queries_photo_hash", table_name="queries")
