"""What a text model proposes for products whose rows lack it."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "proposals",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("product_id", sa.BigInteger(), nullable=False),
        sa.Column("field", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column("confidence", sa.REAL(), nullable=False),
        sa.Column("model_version", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), server_default="undecided", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("field IN ('type', 'category', 'colour', 'season')", name=op.f("ck_proposals_field")),
        sa.CheckConstraint("state IN ('undecided', 'accepted', 'rejected')", name=op.f("ck_proposals_state")),
        sa.CheckConstraint(
            "(state = 'undecided') = (decided_at IS NULL)", name=op.f("ck_proposals_decided_at_when_decided")
        ),
        sa.CheckConstraint("confidence BETWEEN 0 AND 1", name=op.f("ck_proposals_confidence_range")),
        sa.ForeignKeyConstraint(
            ["product_id"], ["products.id"], name=op.f("fk_proposals_product_id_products"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_proposals")),
        sa.UniqueConstraint("product_id", "field", name=op.f("uq_proposals_product_id")),
    )
    op.create_index("ix_proposals_state_confidence", "proposals", ["state", "confidence"])


def downgrade() -> None:
    op.drop_table("proposals")
