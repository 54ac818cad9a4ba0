"""How Alembic reaches the database: on the caller's connection, or on the configured database.

All revisions of one upgrade run in one transaction. ``lock_timeout`` makes a revision that meets a busy
table give up instead of queueing every request behind itself; ``statement_timeout`` bounds how long it may
hold what it locked. Two upgrades at once wait for each other.
"""

from __future__ import annotations

from alembic import context
from sqlalchemy import Connection, text

from app.config import Settings
from app.store.database import open_database
from app.store.drift import include_object
from app.store.tables import Base

UPGRADE_LOCK = 0x7069636B  # "pick": the advisory lock of migrations
LOCK_TIMEOUT = "2s"
STATEMENT_TIMEOUT = "60s"


def run(connection: Connection) -> None:
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        compare_type=True,
        compare_server_default=True,
        include_object=include_object(connection),
    )
    with context.begin_transaction():
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": UPGRADE_LOCK})
        connection.execute(text(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'"))
        connection.execute(text(f"SET LOCAL statement_timeout = '{STATEMENT_TIMEOUT}'"))
        context.run_migrations()


given = context.config.attributes.get("connection")
if context.is_offline_mode():
    raise SystemExit("offline SQL is not supported: revisions look at the database they change")
if given is not None:
    run(given)
else:
    engine = open_database(Settings.from_env())
    with engine.connect() as connection:
        run(connection)
        connection.commit()
    engine.dispose()
