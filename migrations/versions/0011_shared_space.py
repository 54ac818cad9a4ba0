"""The shared space of words and photos: its versions, where products lie in them; searches without a verdict.

The partitions of ``shared_vectors`` are made at run time, one a version.
"""

import sqlalchemy as sa
from alembic import op
from pgvector.sqlalchemy import HALFVEC
from sqlalchemy.dialects.postgresql import JSONB

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "shared_spaces",
        sa.Column("id", sa.Integer(), sa.Identity(always=False), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("space_id", sa.Integer(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("manifest_sha256", sa.String(length=64), nullable=False),
        sa.Column("metrics", JSONB(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("state IN ('filling', 'live', 'retired')", name=op.f("ck_shared_spaces_state")),
        sa.ForeignKeyConstraint(["space_id"], ["spaces.id"], name=op.f("fk_shared_spaces_space_id_spaces")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_shared_spaces")),
        sa.UniqueConstraint("version", name=op.f("uq_shared_spaces_version")),
    )
    op.create_index(
        "uq_shared_spaces_live", "shared_spaces", ["state"], unique=True, postgresql_where=sa.text("state = 'live'")
    )
    op.create_table(
        "shared_vectors",
        sa.Column("shared_id", sa.Integer(), nullable=False),
        sa.Column("product_id", sa.BigInteger(), nullable=False),
        sa.Column("place", HALFVEC(256), nullable=False),
        sa.Column("digest", sa.String(length=32), nullable=False),
        sa.ForeignKeyConstraint(
            ["product_id"],
            ["products.id"],
            name=op.f("fk_shared_vectors_product_id_products"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["shared_id"], ["shared_spaces.id"], name=op.f("fk_shared_vectors_shared_id_shared_spaces")
        ),
        sa.PrimaryKeyConstraint("product_id", "shared_id", name="pk_shared_vectors"),
        postgresql_partition_by="LIST (shared_id)",
    )
    op.alter_column("queries", "verdict", existing_type=sa.Text(), nullable=True)


def downgrade() -> None:
    op.execute("DELETE FROM queries WHERE verdict IS NULL")
    op.alter_column("queries", "verdict", existing_type=sa.Text(), nullable=False)
    op.drop_table("shared_vectors")
    op.drop_table("shared_spaces")
