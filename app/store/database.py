"""The database connection: engines, transactions, migrations and the check of all three."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.exc import ArgumentError, DBAPIError, InterfaceError, OperationalError
from sqlalchemy.orm import Session

from app.config import Settings
from app.errors import DatabaseOutdated, DatabaseUnavailable
from app.store import drift
from app.store.embedded import EmbeddedServer
from models.errors import UsageError

MIGRATIONS = Path(__file__).resolve().parents[2] / "migrations"
MINIMUM_SERVER = 150000
MINIMUM_PGVECTOR = (0, 8)


def make_engine(url: str | URL, server: EmbeddedServer | None = None) -> Engine:
    """An engine over psycopg2; it connects on first use and replaces dead connections.

    url: ``postgresql://`` (or ``postgres://``, ``postgresql+psycopg2://``). server: the embedded server
    behind it; a connection that finds it dead starts it again once.

    :raise UsageError: the URL is malformed or names another database system.
    """
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise UsageError(
            "PICKTURE_DATABASE_URL is not a URL; expected postgresql://USER:PASSWORD@HOST:PORT/DATABASE"
        ) from None
    if parsed.drivername not in ("postgresql", "postgres", "postgresql+psycopg2"):
        raise UsageError(f"PICKTURE_DATABASE_URL starts with {parsed.drivername}://; only postgresql:// is supported")
    engine = create_engine(
        parsed.set(drivername="postgresql+psycopg2"),
        pool_pre_ping=True,
        pool_size=8,
        max_overflow=8,
        connect_args={"application_name": "pickture", "options": "-c timezone=UTC", "connect_timeout": 10},
    )
    if server is not None:
        _revive_when_dead(engine, server)
    return engine


def _revive_when_dead(engine: Engine, server: EmbeddedServer) -> None:
    @event.listens_for(engine, "do_connect")
    def connect(dialect: Any, _: Any, cargs: Any, cparams: dict[str, Any]) -> Any:
        try:
            return dialect.connect(*cargs, **cparams)
        except dialect.dbapi.OperationalError:
            url = server.revive()
            if url is None:
                raise
            return dialect.connect(*cargs, **{**cparams, "host": url.query["host"]})


def open_database(settings: Settings) -> Engine:
    """The configured database, or the embedded one: attached to, or started when nobody has yet.

    Does not migrate; see ``upgrade`` and ``require_current``.

    :raise DatabaseUnavailable: the embedded server does not start.
    """
    if settings.database_url is not None:
        return make_engine(settings.database_url)
    server = EmbeddedServer(settings.home)
    return make_engine(server.start(), server)


@contextmanager
def transaction(engine: Engine) -> Iterator[Session]:
    """One unit of work: commits at the end, rolls back on any exception. Rows stay readable after it.

    :raise DatabaseUnavailable: no connection can be made, or it broke where the driver has no better name for that.
    """
    try:
        with (
            _connect(engine) as connection,
            connection.begin(),
            Session(connection, expire_on_commit=False) as session,
        ):
            yield session
            session.flush()
    except DBAPIError as error:
        # psycopg2 calls a connection that ends under a rollback a plain DatabaseError, which nobody would take for it.
        if not error.connection_invalidated or isinstance(error, OperationalError | InterfaceError):
            raise
        raise DatabaseUnavailable(f"the connection to the database broke: {error.orig}") from error


@contextmanager
def _connect(engine: Engine) -> Iterator[Connection]:
    try:
        connection = engine.connect()
    except OperationalError as error:
        raise DatabaseUnavailable(
            f"no connection to the database at {engine.url.render_as_string()}: {error.orig}"
        ) from error
    with connection:
        yield connection


def _alembic(connection: Connection | None = None) -> Config:
    config = Config(str(MIGRATIONS / "alembic.ini"))
    config.attributes["connection"] = connection
    return config


def upgrade(engine: Engine, revision: str = "head") -> None:
    """Bring the database to ``revision`` in one transaction; nothing changes if it fails."""
    with _connect(engine) as connection, connection.begin():
        command.upgrade(_alembic(connection), revision)


def downgrade(engine: Engine, revision: str) -> None:
    """Take the database back to ``revision`` (``base`` for empty); data of later tables is lost."""
    with _connect(engine) as connection, connection.begin():
        command.downgrade(_alembic(connection), revision)


@dataclass(frozen=True, slots=True)
class DatabaseState:
    """What ``check`` found. ``problems`` is empty when the database fits this code."""

    server: str
    pgvector: str | None
    revision: str | None
    head: str
    problems: tuple[str, ...] = field(default=())

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems


def check(engine: Engine) -> DatabaseState:
    """Server and pgvector version, one migration head, at that head, and no drift from ``tables.py``."""
    heads = ScriptDirectory.from_config(_alembic()).get_heads()
    with _connect(engine) as connection:
        revision = MigrationContext.configure(connection).get_current_revision()
        server = str(connection.scalar(text("SHOW server_version")))
        number = int(str(connection.scalar(text("SHOW server_version_num"))))
        pgvector = connection.scalar(text("SELECT extversion FROM pg_extension WHERE extname = 'vector'"))
        problems = []
        if number < MINIMUM_SERVER:
            problems.append(f"PostgreSQL {server} is too old; 15 or later is needed")
        if pgvector is not None and _numbers(pgvector) < MINIMUM_PGVECTOR:
            problems.append(f"pgvector {pgvector} is too old; 0.8 or later is needed")
        if len(heads) != 1:
            problems.append(f"the migrations have {len(heads)} heads ({', '.join(heads)}); exactly one is needed")
        if revision not in heads:
            problems.append(
                f"the database is at revision {revision or 'none (empty)'}, this code needs {heads[0]}: "
                f"run python -m app db upgrade"
            )
        else:
            problems += [f"differs from the models: {item}" for item in drift.differences(connection)]
    return DatabaseState(server, pgvector, revision, heads[0], tuple(problems))


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".")[:2])


def require_current(engine: Engine) -> None:
    """Refuse to go on with a database that this code does not fit.

    :raise DatabaseOutdated: it is at another revision.
    """
    head = ScriptDirectory.from_config(_alembic()).get_current_head()
    with _connect(engine) as connection:
        revision = MigrationContext.configure(connection).get_current_revision()
    if revision != head:
        raise DatabaseOutdated(
            f"the database is at revision {revision or 'none (empty)'}, this code needs {head}: "
            f"run python -m app db upgrade"
        )
