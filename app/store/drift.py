"""Whether the database still has the shape that ``app.store.tables`` describes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import CheckConstraint, Connection, inspect, text

from app.store.job_table import Job
from app.store.logins import AdminLogin
from app.store.operation_counts import OperationCount
from app.store.outbox_table import OutboxPhoto
from app.store.proposal_table import Proposal
from app.store.review_tables import ReviewItem
from app.store.shared_tables import SharedVector
from app.store.tables import Base

FOREIGN_PREFIXES = ("procrastinate_", "alembic_version")
"""Tables kept by libraries in the same database."""

_OURS = (Job, ReviewItem, OutboxPhoto, OperationCount, Proposal, SharedVector, AdminLogin)
assert all(table.metadata is Base.metadata for table in _OURS), "every table of ours is compared"


def include_object(connection: Connection) -> Callable[..., bool]:
    """Alembic's filter: leaves out partitions (made at run time, one a space) and the tables of libraries."""
    partitions = set(
        connection.scalars(text("SELECT relname FROM pg_class WHERE relispartition AND relkind IN ('r', 'p')"))
    )

    def include(_: Any, name: str | None, kind: str, reflected: bool, __: Any) -> bool:
        return not (
            kind == "table" and reflected and name is not None
            and (name in partitions or name.startswith(FOREIGN_PREFIXES))
        )  # fmt: skip

    return include


def differences(connection: Connection) -> list[str]:
    """What an upgrade script would have to do so that the database equals the models; empty when equal."""
    options = {
        "compare_type": True,
        "compare_server_default": True,
        "include_object": include_object(connection),
    }
    context = MigrationContext.configure(connection, opts=options)
    found = [str(difference) for difference in compare_metadata(context, Base.metadata)]
    return found + _check_constraint_differences(connection)


def _check_constraint_differences(connection: Connection) -> list[str]:
    """Alembic does not compare CHECK constraints; this compares their names."""
    inspector = inspect(connection)
    present = set(inspector.get_table_names())
    found = []
    for table in Base.metadata.sorted_tables:
        if table.name not in present:
            continue  # compare_metadata has said so
        wanted = {str(item.name) for item in table.constraints if isinstance(item, CheckConstraint)}
        actual = {str(item["name"]) for item in inspector.get_check_constraints(table.name)}
        found += [f"missing check constraint {name} on {table.name}" for name in sorted(wanted - actual)]
        found += [f"unknown check constraint {name} on {table.name}" for name in sorted(actual - wanted)]
    return found
