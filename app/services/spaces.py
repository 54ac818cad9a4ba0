"""Spaces, for administrators: which there are, what they lack, and dropping those that nobody needs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal
from uuid import uuid4

from psycopg2.errors import LockNotAvailable
from sqlalchemy import Engine, func, select, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from app.errors import SpaceInUse, SpaceNotFound
from app.services.catalogue.locking import own_catalogue
from app.store import jobs, outbox
from app.store.bundles import BundleStore
from app.store.database import transaction
from app.store.outbox import Lacking
from app.store.spaces import drop_space, looks_table, reviewed_table, vectors_table
from app.store.tables import Bundle, ReferenceVector, Space
from models.backbone.locking import exclusive
from models.backbone.store import SPACE_FILE, backbones_folder, remove_prepared

SpaceState = Literal["served", "rollback", "preparing", "unused", "dropped"]

SHOWN_UNREADABLE = 5

_LOCK_TIMEOUT = "5s"


@dataclass(frozen=True, slots=True)
class UnreadablePhoto:
    """A photo whose vector could not be computed. reason: why."""

    sku: str
    content_hash: str
    reason: str


@dataclass(frozen=True, slots=True)
class SpaceInfo:
    """A space as an administrator sees it.

    state: ``served``; ``rollback``, where a rollback would serve it; ``preparing``, kept complete for a promotion;
    ``unused``, kept up to date by nobody; ``dropped``, only named by model versions.
    versions: that belong to it, newest first. vectors: reference photos that it holds. lacking: what it still lacks;
    None where nobody keeps account of it. prepared: whether its network is prepared here. size_bytes: of its vectors
    and looks in the database, with their indexes. unreadable: the first ``SHOWN_UNREADABLE``.
    """

    identifier: str
    state: SpaceState
    weights: str | None
    precision: str | None
    versions: tuple[str, ...]
    vectors: int
    lacking: Lacking | None
    unreadable: tuple[UnreadablePhoto, ...]
    prepared: bool
    size_bytes: int
    created_at: datetime
    dropped_at: datetime | None


class Spaces:
    """Lists and drops. home: the state folder, where backbones are prepared."""

    def __init__(self, engine: Engine, home: Path) -> None:
        self._engine = engine
        self._home = home
        self._bundles = BundleStore(home)

    def all(self) -> list[SpaceInfo]:
        """Every space, newest first."""
        with transaction(self._engine) as session:
            spaces = session.scalars(select(Space).order_by(Space.id.desc())).all()
            states = self._states(session)
            lacking = outbox.lacking(session)
            counts = select(ReferenceVector.space_id, func.count()).group_by(ReferenceVector.space_id)
            held = {space_id: count for space_id, count in session.execute(counts)}  # noqa: C416  no pairs to mypy
            return [
                self._info(session, space, states.get(space.id), held.get(space.id, 0), lacking) for space in spaces
            ]

    def get(self, identifier: str) -> SpaceInfo:
        """One space. :raise SpaceNotFound: there is none of this identifier."""
        for found in self.all():
            if found.identifier == identifier:
                return found
        raise _not_found(identifier)

    def is_prepared(self, identifier: str) -> bool:
        """Whether the network of the space lies ready in this state folder."""
        return (backbones_folder(self._home) / identifier / SPACE_FILE).is_file()

    def drop(self, identifier: str) -> None:
        """Remove the space's vectors and looks with their partitions, its outbox, and its prepared backbone.

        Model versions of the space stay, and cannot be served until it has been made again. The bottleneck cache
        stays, and makes that quick. A space that was dropped only in part is dropped to the end.

        :raise SpaceNotFound: there is none of this identifier.
        :raise SpaceInUse: it is served, a rollback would serve it, or a job is at work.
        :raise BackboneError: a backbone is being prepared.
        """
        with self._nobody_at_work(identifier):
            with transaction(self._engine) as session:
                space_id = session.scalar(select(Space.id).where(Space.identifier == identifier))
                if space_id is not None:
                    self._drop_rows(session, identifier, space_id)
            was_prepared = remove_prepared(identifier, self._home)
        if space_id is None and not was_prepared:
            raise _not_found(identifier)

    def _drop_rows(self, session: Session, identifier: str, space_id: int) -> None:
        # Searches queue up behind whoever waits for a table: so not for long.
        session.execute(text(f"SET LOCAL lock_timeout = '{_LOCK_TIMEOUT}'"))
        try:
            own_catalogue(session)
            drop_space(session, space_id)
        except OperationalError as error:
            if isinstance(error.orig, LockNotAvailable):
                raise SpaceInUse(
                    f"space {identifier} cannot be dropped while the catalogue or its vectors are being written or "
                    f"read for long (waited {_LOCK_TIMEOUT}); try again"
                ) from error
            raise

    @contextmanager
    def _nobody_at_work(self, identifier: str) -> Iterator[None]:
        """Keep trainings, and those who fill this space's bottlenecks, from beginning.

        :raise SpaceInUse: one is at work.
        """
        with ExitStack() as stack:
            for path in (self._home / "training.lock", *filling_locks(self._home, identifier)):
                if not path.parent.is_dir():
                    continue
                try:
                    stack.enter_context(exclusive(path, wait=False))
                except BlockingIOError as error:
                    raise SpaceInUse(
                        f"a training, or a filling of space {identifier}, is at work ({path.name} is held); wait for "
                        "its end, or cancel its job, and drop the space then"
                    ) from error
            yield

    def _states(self, session: Session) -> Mapping[int, SpaceState]:
        states: dict[int, SpaceState] = dict.fromkeys(outbox.live_spaces(session), "preparing")
        before = self._bundles.before_champion(session)
        if before is not None and before.space_id in states:
            states[before.space_id] = "rollback"
        served = outbox.champion_space(session)
        if served is not None:
            states[served] = "served"
        return states

    def _info(
        self, session: Session, space: Space, state: SpaceState | None, vectors: int, lacking: Mapping[int, Lacking]
    ) -> SpaceInfo:
        versions = select(Bundle.version).where(Bundle.space_id == space.id).order_by(Bundle.created_at.desc())
        unreadable = outbox.unreadable_photos(session, space.id, SHOWN_UNREADABLE) if state is not None else []
        return SpaceInfo(
            identifier=space.identifier,
            state=state or ("unused" if space.dropped_at is None else "dropped"),
            weights=space.description.get("weights"),
            precision=space.description.get("precision"),
            versions=tuple(session.scalars(versions)),
            vectors=vectors,
            lacking=None if state is None else lacking.get(space.id, Lacking()),
            unreadable=tuple(UnreadablePhoto(*photo) for photo in unreadable),
            prepared=self.is_prepared(space.identifier),
            size_bytes=_size(session, space.id),
            created_at=space.created_at,
            dropped_at=space.dropped_at,
        )


def ask_outbox(session: Session, home: Path) -> bool:
    """Have a worker fill what live spaces lack, where that is due and nobody is at it; returns whether it was.

    A space that is being filled is left out: whoever does that brings its photos. So is one that is only being
    prepared, while a job that may be at it waits or runs; after a worker was lost, that job goes on where it was.
    """
    if jobs.is_kind_busy(session, "outbox"):
        return False
    due = outbox.due_spaces(session, kept_only=jobs.is_filling(session))
    if all(is_being_filled(home, identifier) for identifier in due):
        return False
    return jobs.add_job(session, jobs.NewJob(uuid4(), "outbox", {}, exclusive=False)) is not None


def filling_locks(home: Path, identifier: str) -> tuple[Path, Path]:
    """Held by who fills a space from its beginning to its last vector, and by who writes its bottleneck cache."""
    folder = home / "bottlenecks" / identifier
    return folder / "filling.lock", folder / "writer.lock"


def is_being_filled(home: Path, identifier: str) -> bool:
    """Whether somebody brings a space its photos at this moment.

    The look holds the first lock for an instant; nobody gives up for that one.
    """
    path, _ = filling_locks(home, identifier)
    if not path.exists():
        return False
    try:
        with exclusive(path, wait=False):
            return False
    except BlockingIOError:
        return True


def _size(session: Session, space_id: int) -> int:
    names = [vectors_table(space_id), reviewed_table(space_id), looks_table(space_id)]
    size = text("SELECT coalesce(sum(pg_total_relation_size(to_regclass(name))), 0) FROM unnest(:names) AS name")
    return int(session.scalar(size, {"names": names}) or 0)


def _not_found(identifier: str) -> SpaceNotFound:
    return SpaceNotFound(f"there is no space {identifier!r}; GET /v1/admin/spaces or `spaces list` shows all")
