"""What a bundle was made by and what the gate said of it; a version may be refused."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("bundles", sa.Column("job_id", sa.Uuid(), nullable=True))
    op.add_column("bundles", sa.Column("gate", JSONB(), nullable=True))
    op.create_unique_constraint(op.f("uq_bundles_job_id"), "bundles", ["job_id"])
    op.drop_constraint(op.f("ck_bundles_state"), "bundles", type_="check")
    op.create_check_constraint(
        op.f("ck_bundles_state"), "bundles", "state IN ('challenger', 'champion', 'refused', 'retired')"
    )


def downgrade() -> None:
    op.execute("UPDATE bundles SET state = 'challenger' WHERE state = 'refused'")
    op.drop_constraint(op.f("ck_bundles_state"), "bundles", type_="check")
    op.create_check_constraint(op.f("ck_bundles_state"), "bundles", "state IN ('challenger', 'champion', 'retired')")
    op.drop_constraint(op.f("uq_bundles_job_id"), "bundles", type_="unique")
    op.drop_column("bundles", "gate")
    op.drop_column("bundles", "job_id")
