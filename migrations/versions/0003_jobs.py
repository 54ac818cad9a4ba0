"""Jobs, and the queue that hands them to the worker (Procrastinate's own tables and functions)."""

from importlib import resources

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB, REAL

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

QUEUE_SCHEMA = "03.04.00_50"
"""The last of Procrastinate's migrations that belong to this revision; later ones get a revision of their own."""

_DROP_QUEUE = """
DO $$
DECLARE item record;
BEGIN
    FOR item IN SELECT oid::regclass AS name FROM pg_class
                WHERE relkind = 'r' AND relname LIKE 'procrastinate\\_%' AND relnamespace = current_schema()::regnamespace
    LOOP EXECUTE format('DROP TABLE %s CASCADE', item.name); END LOOP;
    FOR item IN SELECT oid::regprocedure AS name FROM pg_proc
                WHERE proname LIKE 'procrastinate\\_%' AND pronamespace = current_schema()::regnamespace
    LOOP EXECUTE format('DROP FUNCTION %s CASCADE', item.name); END LOOP;
    FOR item IN SELECT oid::regtype AS name FROM pg_type
                WHERE typname LIKE 'procrastinate\\_%' AND typnamespace = current_schema()::regnamespace
                  AND (typtype = 'e' OR (typtype = 'c' AND typrelid IN (SELECT oid FROM pg_class WHERE relkind = 'c')))
    LOOP EXECUTE format('DROP TYPE %s CASCADE', item.name); END LOOP;
END
$$
"""


def upgrade() -> None:
    _make_queue()
    op.create_table(
        "jobs",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("exclusive", sa.Boolean(), nullable=False),
        sa.Column("parent_id", sa.Uuid(), nullable=True),
        sa.Column("key_id", sa.Integer(), nullable=True),
        sa.Column("idempotency_key", sa.Text(), nullable=True),
        sa.Column("request_sha256", sa.String(length=64), nullable=True),
        sa.Column("queue_id", sa.BigInteger(), nullable=True),
        sa.Column("payload", JSONB(), nullable=False),
        sa.Column("progress", REAL(), server_default=sa.text("0"), nullable=False),
        sa.Column("step", sa.Text(), nullable=True),
        sa.Column("result", JSONB(), nullable=True),
        sa.Column("error", JSONB(), nullable=True),
        sa.Column("row_errors", JSONB(), server_default=sa.text("'[]'"), nullable=False),
        sa.Column("row_errors_total", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("log_tail", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("cancel_requested", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("attempts", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("interruptions", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("crashes", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "kind IN ('import', 'bottlenecks', 'train', 'retrain', 'finetune')", name=op.f("ck_jobs_kind")
        ),
        sa.CheckConstraint(
            "state IN ('queued', 'running', 'succeeded', 'failed', 'cancelled')", name=op.f("ck_jobs_state")
        ),
        sa.CheckConstraint("progress BETWEEN 0 AND 1", name=op.f("ck_jobs_progress_range")),
        sa.CheckConstraint(
            "(state IN ('succeeded', 'failed', 'cancelled')) = (finished_at IS NOT NULL)",
            name=op.f("ck_jobs_finished_when_ended"),
        ),
        sa.ForeignKeyConstraint(
            ["key_id"], ["access_keys.id"], name=op.f("fk_jobs_key_id_access_keys"), ondelete="SET NULL"
        ),
        sa.ForeignKeyConstraint(["parent_id"], ["jobs.id"], name=op.f("fk_jobs_parent_id_jobs"), ondelete="SET NULL"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_jobs")),
    )
    op.create_index("ix_jobs_created_at_id", "jobs", ["created_at", "id"])
    op.create_index(op.f("ix_jobs_queue_id"), "jobs", ["queue_id"])
    op.create_index(
        "uq_jobs_exclusive",
        "jobs",
        ["exclusive"],
        unique=True,
        postgresql_where=sa.text("exclusive AND state IN ('queued', 'running')"),
    )
    op.create_index(
        "uq_jobs_follow_up",
        "jobs",
        ["kind"],
        unique=True,
        postgresql_where=sa.text("NOT exclusive AND kind = 'bottlenecks' AND state = 'queued' AND attempts = 0"),
    )
    op.create_index(
        "uq_jobs_idempotency_key",
        "jobs",
        ["key_id", "idempotency_key"],
        unique=True,
        postgresql_where=sa.text("idempotency_key IS NOT NULL"),
    )


def _make_queue() -> None:
    """Procrastinate's migrations up to ``QUEUE_SCHEMA``: whatever version is installed, the same tables come of it."""
    cursor = op.get_bind().connection.cursor()
    folder = resources.files("procrastinate.sql") / "migrations"
    names = sorted(item.name for item in folder.iterdir() if item.name.endswith(".sql"))
    for name in names:
        if name[: len(QUEUE_SCHEMA)] <= QUEUE_SCHEMA:
            cursor.execute((folder / name).read_text("utf-8"))  # as it is: it has no parameters, but % and : signs


def downgrade() -> None:
    op.drop_table("jobs")
    op.get_bind().connection.cursor().execute(_DROP_QUEUE)
