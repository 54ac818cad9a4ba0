"""The worker's way to the database, which waits where the database is away instead of giving up."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, LiteralString, TypeVar

import psycopg
from procrastinate import PsycopgConnector
from procrastinate.connector import Notify
from procrastinate.exceptions import ConnectorException
from sqlalchemy import Engine
from sqlalchemy.exc import InterfaceError, OperationalError, SQLAlchemyError

from app.errors import DatabaseUnavailable

log = logging.getLogger(__name__)

FIRST_WAIT_S = 0.5
LONGEST_WAIT_S = 5.0
AWAY = (OperationalError, InterfaceError, DatabaseUnavailable)
"""What our own statements raise when the database is away."""

Result = TypeVar("Result")


class PatientConnector(PsycopgConnector):
    """Repeats a statement until the database answers; only what fails for want of a connection.

    A statement whose answer was lost may so be executed twice. Of the worker's only taking a job matters there:
    the job taken first has nobody then, which ``app.store.queue.strays`` finds.

    engine: ours on the same database; asking it brings a dead embedded server back.
    """

    def __init__(self, engine: Engine, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._engine = engine

    async def execute_query_async(self, query: LiteralString, **arguments: Any) -> None:
        """See the base class."""
        await self._patiently(lambda: super(PatientConnector, self).execute_query_async(query, **arguments))

    async def execute_query_one_async(self, query: LiteralString, **arguments: Any) -> dict[str, Any]:
        """See the base class."""
        return await self._patiently(lambda: super(PatientConnector, self).execute_query_one_async(query, **arguments))

    async def execute_query_all_async(self, query: LiteralString, **arguments: Any) -> list[dict[str, Any]]:
        """See the base class."""
        return await self._patiently(lambda: super(PatientConnector, self).execute_query_all_async(query, **arguments))

    async def listen_notify(self, on_notification: Notify, channels: Iterable[str]) -> None:
        """See the base class."""
        listened = tuple(channels)
        await self._patiently(lambda: super(PatientConnector, self).listen_notify(on_notification, listened))

    async def _patiently(self, work: Callable[[], Awaitable[Result]]) -> Result:
        wait_s = FIRST_WAIT_S
        while True:
            try:
                return await work()
            except ConnectorException as error:
                if not isinstance(error.__cause__, psycopg.OperationalError | psycopg.InterfaceError):
                    raise
                log.warning("the database does not answer (%s); asking again in %.1f s", _words(error), wait_s)
            await asyncio.sleep(wait_s)
            wait_s = min(LONGEST_WAIT_S, 2 * wait_s)
            await asyncio.to_thread(_wake, self._engine)


def _words(error: BaseException) -> str:
    return " ".join(str(error.__cause__ or error).split())[:200]


def _wake(engine: Engine) -> None:
    """Connect once through our engine, which starts an embedded server that died."""
    try:
        with engine.connect():
            pass
    except (SQLAlchemyError, DatabaseUnavailable) as error:
        log.debug("still no database: %s", error)
