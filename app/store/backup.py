"""Backup and restore of the database; photos, backbones and bundles are files of the state folder.

The format is pg_dump's custom one, written and read by the programs of the embedded PostgreSQL 18; they also
serve an external server up to that version.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from psycopg2.extensions import make_dsn
from sqlalchemy import Engine, text

from app.errors import DatabaseError
from app.store.embedded import program
from models.errors import UsageError

_LIBPQ_OPTIONS = ("dbname", "host", "port", "user", "sslmode", "sslrootcert", "sslcert", "sslkey")


def backup(engine: Engine, file: Path) -> int:
    """Write the whole database to ``file``, consistent as of now, replacing it at the end. Returns its bytes.

    The file is readable by its owner alone (it holds key hashes and shoppers' queries).

    :raise DatabaseError: the dump failed; ``file`` is left as it was.
    """
    file = file.resolve()
    if not file.parent.is_dir():
        raise UsageError(f"{file.parent} is not a folder: make it first")
    partial = file.with_name(f".{file.name}.{os.getpid()}.part")
    try:
        with partial.open("wb") as stream:
            partial.chmod(0o600)
            _run(
                engine,
                "pg_dump",
                ["--format=custom", "--no-owner", "--no-privileges"],
                stdout=stream.fileno(),
            )
            os.fsync(stream.fileno())
            size = stream.tell() or partial.stat().st_size
        partial.replace(file)
    finally:
        partial.unlink(missing_ok=True)
    return size


def restore(engine: Engine, file: Path) -> None:
    """Fill an empty database from a backup, in one transaction: all or nothing.

    :raise UsageError: the file is no backup, or the database already has tables.
    :raise DatabaseError: the restore failed; the database stays empty.
    """
    if not file.is_file():
        raise UsageError(f"{file} is not a file")
    listed = subprocess.run([program("pg_restore"), "--list", file], capture_output=True, text=True, check=False)
    if listed.returncode != 0:
        raise UsageError(f"{file} is not a backup made by `db backup`: {listed.stderr.strip()}")
    with engine.connect() as connection:
        tables = connection.scalar(text("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"))
    if tables:
        raise UsageError(
            f"the database already has {tables} tables; restore goes into an empty one: set PICKTURE_HOME to "
            f"a new folder, or PICKTURE_DATABASE_URL to a new database"
        )
    options = ["--single-transaction", "--exit-on-error", "--no-owner", "--no-privileges", str(file)]
    _run(engine, "pg_restore", options)


def _run(engine: Engine, name: str, options: Sequence[str], stdout: int = subprocess.DEVNULL) -> None:
    """Run a client program on the engine's database; the password goes by environment, not by argument."""
    _, parameters = engine.dialect.create_connect_args(engine.url)
    place = make_dsn(**{key: value for key, value in parameters.items() if key in _LIBPQ_OPTIONS})
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PG")}
    if parameters.get("password"):
        environment["PGPASSWORD"] = str(parameters["password"])
    command = [str(program(name)), f"--dbname={place}", "--no-password", *options]
    with engine.connect():  # revives a dead embedded server, and says so plainly where there is none
        done = subprocess.run(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    if done.returncode != 0:
        raise DatabaseError(f"{name} failed with status {done.returncode}: {done.stderr.strip()[-2000:]}")
