"""A product's season, as its shop calls it."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("products", sa.Column("season", sa.Text(), nullable=True))
    # Until now an accepted season had no column to go to, and stayed with its proposal.
    op.execute(
        "UPDATE products SET season = proposals.value FROM proposals "
        "WHERE proposals.product_id = products.id AND proposals.field = 'season' AND proposals.state = 'accepted'"
    )


def downgrade() -> None:
    op.drop_column("products", "season")
