"""What live spaces still lack of the catalogue's photos; spaces that are being prepared, or were dropped."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_KINDS = "kind IN ('import', 'bottlenecks', 'train', 'retrain', 'finetune', 'outbox')"
_FORMER_KINDS = "kind IN ('import', 'bottlenecks', 'train', 'retrain', 'finetune')"
_FOLLOW_UPS = "NOT exclusive AND kind IN ('bottlenecks', 'outbox') AND state = 'queued' AND attempts = 0"
_FORMER_FOLLOW_UPS = "NOT exclusive AND kind = 'bottlenecks' AND state = 'queued' AND attempts = 0"

_SEED = """
INSERT INTO space_outbox (space_id, {column})
SELECT live.id, photos.id
FROM {photos} AS photos CROSS JOIN (
    SELECT space_id AS id FROM bundles WHERE state = 'champion'
    UNION
    SELECT space_id FROM bundles WHERE version = (
        SELECT replaced FROM promotions WHERE undone_at IS NULL ORDER BY id DESC LIMIT 1)
) AS live
WHERE NOT EXISTS (SELECT 1 FROM {vectors} AS vectors
                  WHERE vectors.{column} = photos.id AND vectors.space_id = live.id)
"""


def upgrade() -> None:
    op.add_column("spaces", sa.Column("preparing", sa.Boolean(), server_default=sa.text("false"), nullable=False))
    op.add_column("spaces", sa.Column("dropped_at", sa.DateTime(timezone=True), nullable=True))
    op.create_table(
        "space_outbox",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("space_id", sa.Integer(), nullable=False),
        sa.Column("image_id", sa.BigInteger(), nullable=True),
        sa.Column("reviewed_id", sa.BigInteger(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("tried_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.CheckConstraint("num_nonnulls(image_id, reviewed_id) = 1", name=op.f("ck_space_outbox_one_photo")),
        sa.ForeignKeyConstraint(
            ["space_id"], ["spaces.id"], name=op.f("fk_space_outbox_space_id_spaces"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["image_id"], ["images.id"], name=op.f("fk_space_outbox_image_id_images"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["reviewed_id"],
            ["reviewed_photos.id"],
            name=op.f("fk_space_outbox_reviewed_id_reviewed_photos"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_space_outbox")),
        sa.UniqueConstraint("image_id", "space_id", name=op.f("uq_space_outbox_image_id")),
        sa.UniqueConstraint("reviewed_id", "space_id", name=op.f("uq_space_outbox_reviewed_id")),
    )
    op.create_index("ix_space_outbox_space_id_id", "space_outbox", ["space_id", "id"])
    op.execute(_SEED.format(column="image_id", photos="images", vectors="reference_vectors"))
    op.execute(_SEED.format(column="reviewed_id", photos="reviewed_photos", vectors="reviewed_vectors"))
    _change_jobs(_KINDS, _FOLLOW_UPS)


def _change_jobs(kinds: str, follow_ups: str) -> None:
    op.drop_constraint(op.f("ck_jobs_kind"), "jobs", type_="check")
    op.create_check_constraint(op.f("ck_jobs_kind"), "jobs", kinds)
    op.drop_index("uq_jobs_follow_up", table_name="jobs")
    op.create_index("uq_jobs_follow_up", "jobs", ["kind"], unique=True, postgresql_where=sa.text(follow_ups))


def downgrade() -> None:
    op.execute("DELETE FROM jobs WHERE kind = 'outbox'")
    _change_jobs(_FORMER_KINDS, _FORMER_FOLLOW_UPS)
    op.drop_table("space_outbox")
    op.drop_column("spaces", "dropped_at")
    op.drop_column("spaces", "preparing")
