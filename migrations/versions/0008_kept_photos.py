"""Which files of the image store are there for shoppers, whatever becomes of their searches; searches of a crop."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "kept_photos",
        sa.Column("content_hash", sa.String(length=64), nullable=False),
        sa.Column("kept_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("content_hash", name=op.f("pk_kept_photos")),
    )
    op.execute(
        "INSERT INTO kept_photos (content_hash) SELECT DISTINCT photo_hash FROM queries WHERE photo_hash IS NOT NULL"
    )
    op.add_column("queries", sa.Column("cropped", sa.Boolean(), server_default=sa.text("false"), nullable=False))


def downgrade() -> None:
    op.drop_column("queries", "cropped")
    op.drop_table("kept_photos")
