"""Review items, reviewed photos and their vectors; which installation of the app a session belongs to."""

import sqlalchemy as sa
from alembic import op
from pgvector.sqlalchemy import HALFVEC

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("sessions", sa.Column("installation", sa.Uuid(), nullable=True))
    _review_items()
    op.create_table(
        "reviewed_photos",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("query_id", sa.Uuid(), nullable=False),
        sa.Column("product_id", sa.BigInteger(), nullable=False),
        sa.Column("content_hash", sa.String(length=64), nullable=False),
        sa.Column("installation", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["product_id"], ["products.id"], name=op.f("fk_reviewed_photos_product_id_products"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["query_id"],
            ["review_items.query_id"],
            name=op.f("fk_reviewed_photos_query_id_review_items"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_reviewed_photos")),
        sa.UniqueConstraint("query_id", name=op.f("uq_reviewed_photos_query_id")),
    )
    op.create_index(op.f("ix_reviewed_photos_installation"), "reviewed_photos", ["installation"])
    op.create_index(op.f("ix_reviewed_photos_product_id"), "reviewed_photos", ["product_id"])
    _reviewed_vectors()


def _review_items() -> None:
    op.create_table(
        "review_items",
        sa.Column("query_id", sa.Uuid(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("sku", sa.Text(), nullable=True),
        sa.Column("label", sa.Text(), nullable=True),
        sa.Column("photo_hash", sa.String(length=64), nullable=False),
        sa.Column("installation", sa.Text(), nullable=True),
        sa.Column("address", sa.Text(), nullable=True),
        sa.Column("findings", sa.ARRAY(sa.Text()), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("decided_by", sa.Integer(), nullable=True),
        sa.Column("decided_sku", sa.Text(), nullable=True),
        sa.Column("accepted_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "state IN ('undecided', 'accepted', 'relabelled', 'discarded')", name=op.f("ck_review_items_state")
        ),
        sa.CheckConstraint("outcome IN ('picked', 'none_of_these')", name=op.f("ck_review_items_outcome")),
        sa.CheckConstraint("(outcome = 'picked') = (sku IS NOT NULL)", name=op.f("ck_review_items_sku_when_picked")),
        sa.CheckConstraint(
            "(state = 'undecided') = (decided_at IS NULL)", name=op.f("ck_review_items_decided_at_when_decided")
        ),
        sa.CheckConstraint(
            "(state IN ('accepted', 'relabelled')) = (decided_sku IS NOT NULL)",
            name=op.f("ck_review_items_decided_sku_when_accepted"),
        ),
        sa.ForeignKeyConstraint(
            ["query_id"], ["queries.id"], name=op.f("fk_review_items_query_id_queries"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["decided_by"], ["access_keys.id"], name=op.f("fk_review_items_decided_by_access_keys"), ondelete="SET NULL"
        ),
        sa.PrimaryKeyConstraint("query_id", name=op.f("pk_review_items")),
    )
    op.create_index("ix_review_items_created_at_query_id", "review_items", ["created_at", "query_id"])
    op.create_index("ix_review_items_label_installation", "review_items", ["label", "installation"])
    op.create_index("ix_review_items_installation_created_at", "review_items", ["installation", "created_at"])
    op.create_index("ix_review_items_address_created_at", "review_items", ["address", "created_at"])
    op.create_index(op.f("ix_review_items_photo_hash"), "review_items", ["photo_hash"])


def _reviewed_vectors() -> None:
    """The table, and a partition with its index for each space that is there; later ones bring their own."""
    op.create_table(
        "reviewed_vectors",
        sa.Column("space_id", sa.Integer(), nullable=False),
        sa.Column("reviewed_id", sa.BigInteger(), nullable=False),
        sa.Column("product_id", sa.BigInteger(), nullable=False),
        sa.Column("label", sa.Text(), nullable=False),
        sa.Column("raw", HALFVEC(2048), nullable=False),
        sa.Column("projected", HALFVEC(256), nullable=False),
        sa.ForeignKeyConstraint(
            ["product_id"], ["products.id"], name=op.f("fk_reviewed_vectors_product_id_products"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["reviewed_id"],
            ["reviewed_photos.id"],
            name=op.f("fk_reviewed_vectors_reviewed_id_reviewed_photos"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(["space_id"], ["spaces.id"], name=op.f("fk_reviewed_vectors_space_id_spaces")),
        sa.PrimaryKeyConstraint("reviewed_id", "space_id", name="pk_reviewed_vectors"),
        postgresql_partition_by="LIST (space_id)",
    )
    op.create_index("ix_reviewed_vectors_label", "reviewed_vectors", ["label"])
    op.create_index("ix_reviewed_vectors_product_id", "reviewed_vectors", ["product_id"])
    for space_id in op.get_bind().scalars(sa.text("SELECT id FROM spaces ORDER BY id")).all():
        name = f"reviewed_vectors_s{space_id}"
        op.execute(f"CREATE TABLE {name} PARTITION OF reviewed_vectors FOR VALUES IN ({space_id})")
        op.execute(
            f"CREATE INDEX {name}_projected ON {name} USING hnsw (projected halfvec_l2_ops) "
            "WITH (m = 16, ef_construction = 128)"
        )


def downgrade() -> None:
    op.drop_table("reviewed_vectors")
    op.drop_table("reviewed_photos")
    op.drop_table("review_items")
    op.drop_column("sessions", "installation")
