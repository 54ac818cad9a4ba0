"""Spaces and their vectors, bundles, queries and picks.

The partitions of ``reference_vectors`` and ``product_looks`` are made at run time, one a space.
"""

import sqlalchemy as sa
from alembic import op
from pgvector.sqlalchemy import HALFVEC
from sqlalchemy.dialects.postgresql import JSONB

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("CREATE EXTENSION IF NOT EXISTS vector")
    op.create_table(
        "spaces",
        sa.Column("id", sa.Integer(), sa.Identity(always=False), nullable=False),
        sa.Column("identifier", sa.Text(), nullable=False),
        sa.Column("description", JSONB(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_spaces")),
        sa.UniqueConstraint("identifier", name=op.f("uq_spaces_identifier")),
    )
    op.create_table(
        "bundles",
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("space_id", sa.Integer(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("manifest_sha256", sa.String(length=64), nullable=False),
        sa.Column("metrics", JSONB(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("promoted_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("state IN ('challenger', 'champion', 'retired')", name=op.f("ck_bundles_state")),
        sa.ForeignKeyConstraint(["space_id"], ["spaces.id"], name=op.f("fk_bundles_space_id_spaces")),
        sa.PrimaryKeyConstraint("version", name=op.f("pk_bundles")),
    )
    op.create_index(
        "uq_bundles_champion",
        "bundles",
        ["state"],
        unique=True,
        postgresql_where=sa.text("state = 'champion'"),
    )
    op.create_table(
        "product_looks",
        sa.Column("space_id", sa.Integer(), nullable=False),
        sa.Column("product_id", sa.BigInteger(), nullable=False),
        sa.Column("look", HALFVEC(256), nullable=False),
        sa.ForeignKeyConstraint(
            ["product_id"],
            ["products.id"],
            name=op.f("fk_product_looks_product_id_products"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(["space_id"], ["spaces.id"], name=op.f("fk_product_looks_space_id_spaces")),
        sa.PrimaryKeyConstraint("product_id", "space_id", name="pk_product_looks"),
        postgresql_partition_by="LIST (space_id)",
    )
    op.create_table(
        "promotions",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("replaced", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("undone_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["replaced"], ["bundles.version"], name=op.f("fk_promotions_replaced_bundles")),
        sa.ForeignKeyConstraint(["version"], ["bundles.version"], name=op.f("fk_promotions_version_bundles")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_promotions")),
    )
    op.create_index(op.f("ix_promotions_version"), "promotions", ["version"], unique=False)
    op.create_table(
        "queries",
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("session_id", sa.BigInteger(), nullable=True),
        sa.Column("model_version", sa.Text(), nullable=False),
        sa.Column("verdict", sa.Text(), nullable=False),
        sa.Column("calibrated", sa.Boolean(), nullable=False),
        sa.Column("candidates", JSONB(), nullable=False),
        sa.Column("category", sa.Text(), nullable=True),
        sa.Column("photo_hash", sa.String(length=64), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["session_id"], ["sessions.id"], name=op.f("fk_queries_session_id_sessions"), ondelete="SET NULL"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_queries")),
    )
    op.create_index(op.f("ix_queries_created_at"), "queries", ["created_at"], unique=False)
    op.create_index(op.f("ix_queries_session_id"), "queries", ["session_id"], unique=False)
    op.create_table(
        "picks",
        sa.Column("query_id", sa.UUID(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("sku", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("(outcome = 'picked') = (sku IS NOT NULL)", name=op.f("ck_picks_sku_when_picked")),
        sa.CheckConstraint("outcome IN ('picked', 'none_of_these')", name=op.f("ck_picks_outcome")),
        sa.ForeignKeyConstraint(
            ["query_id"], ["queries.id"], name=op.f("fk_picks_query_id_queries"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("query_id", name=op.f("pk_picks")),
    )
    op.create_table(
        "reference_vectors",
        sa.Column("space_id", sa.Integer(), nullable=False),
        sa.Column("image_id", sa.BigInteger(), nullable=False),
        sa.Column("product_id", sa.BigInteger(), nullable=False),
        sa.Column("label", sa.Text(), nullable=False),
        sa.Column("raw", HALFVEC(2048), nullable=False),
        sa.Column("projected", HALFVEC(256), nullable=False),
        sa.ForeignKeyConstraint(
            ["image_id"], ["images.id"], name=op.f("fk_reference_vectors_image_id_images"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["product_id"],
            ["products.id"],
            name=op.f("fk_reference_vectors_product_id_products"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(["space_id"], ["spaces.id"], name=op.f("fk_reference_vectors_space_id_spaces")),
        sa.PrimaryKeyConstraint("image_id", "space_id", name="pk_reference_vectors"),
        postgresql_partition_by="LIST (space_id)",
    )
    op.create_index("ix_reference_vectors_label", "reference_vectors", ["label"], unique=False)
    op.create_index("ix_reference_vectors_product_id", "reference_vectors", ["product_id"], unique=False)


def downgrade() -> None:
    op.drop_table("reference_vectors")
    op.drop_table("picks")
    op.drop_table("queries")
    op.drop_table("promotions")
    op.drop_table("product_looks")
    op.drop_table("bundles")
    op.drop_table("spaces")
