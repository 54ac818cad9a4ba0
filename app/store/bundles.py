"""Model versions: which exist, which one is served, and where their files lie.

What is inside a bundle's folder is the concern of ``models.recognizer``; here it is a name.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import func, select, text, update
from sqlalchemy.orm import Session

from app.errors import NoEarlierModel
from app.store import outbox
from app.store.tables import Bundle, Promotion, Space
from models.errors import BundleNotFound, UsageError

_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_LOCK = "SELECT pg_advisory_xact_lock(hashtext('pickture.champion'))"

ORPHAN_AGE = timedelta(days=1)
"""How long a folder without a row is left alone, from its being written or copied here: an operator may be restoring
folders before the database."""

Decision = Literal["promoted", "refused", "kept"]
"""``kept``: nothing speaks against it, but nobody wanted it served by itself."""


@dataclass(frozen=True, slots=True)
class NewBundle:
    """A version whose folder is in place and whose row is not. job_id: the job that made it, if one did."""

    version: str
    space_id: int
    manifest_sha256: str
    metrics: Mapping[str, Any]
    job_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class Gate:
    """What was decided about a challenger.

    champion: the version it was compared with; None where none was served. comparison: plain values, as
    ``models.training.gate`` gives them; None where nothing was compared.
    """

    decision: Decision
    reason: str
    champion: str | None
    comparison: Mapping[str, Any] | None = None

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        comparison = None if self.comparison is None else dict(self.comparison)
        return {
            "decision": self.decision,
            "reason": self.reason,
            "champion": self.champion,
            "comparison": comparison,
        }


def new_version(created: datetime, job_id: UUID | None = None) -> str:
    """The name of a version made at that moment (UTC); versions sort by it. A job's shows in its name.

    ``20261121T222808944Z``, ``20261121T222808944Z-0dd124120a24``.
    """
    moment = created.strftime("%Y%m%dT%H%M%S%f")[:18] + "Z"
    return moment if job_id is None else f"{moment}-{short_name(job_id)}"


def short_name(job_id: UUID) -> str:
    """How a job shows in the names of versions that it makes."""
    return job_id.hex[:12]


class BundleStore:
    """Bundles under ``HOME/bundles/<version>`` and their rows. Changes count when the session commits."""

    def __init__(self, home: Path) -> None:
        self.folder = home / "bundles"

    def path_for(self, version: str) -> Path:
        """The folder of a version, whether it exists or not.

        :raise UsageError: not 1 to 100 letters, digits, ``.``, ``_``, ``-``, a letter or digit first.
        """
        if not _VERSION.fullmatch(version):
            raise UsageError(f"{version!r} is no model version: 1 to 100 of A-Z a-z 0-9 . _ -, a letter or digit first")
        return self.folder / version

    def publish(
        self,
        session: Session,
        version: str,
        space_id: int,
        manifest_sha256: str,
        metrics: Mapping[str, Any],
        job_id: UUID | None = None,
    ) -> Bundle:
        """Record a finished bundle and make it the champion; the champion before it retires.

        :raise BundleNotFound: its folder is not in place yet.
        :raise UsageError: the version exists already.
        :raise SpaceIncomplete: it belongs to another space than the champion, and that one lacks photos.
        """
        bundle = self._record(session, NewBundle(version, space_id, manifest_sha256, metrics, job_id))
        return self._promote(session, bundle)

    def settle(self, session: Session, new: NewBundle, gate: Gate) -> Bundle | None:
        """Record a finished bundle with what the gate decided, and make it the champion where that was so.

        None, and nothing written, where ``gate.champion`` is no longer the champion: the comparison is of no use then.

        :raise BundleNotFound: its folder is not in place yet.
        :raise UsageError: the version exists already.
        :raise SpaceIncomplete: as for ``publish``.
        """
        session.execute(text(_LOCK))
        champion = self.champion(session)
        if (champion.version if champion is not None else None) != gate.champion:
            return None
        bundle = self._record(session, new)
        bundle.gate = gate.to_json()
        if gate.decision == "promoted":
            return self._promote(session, bundle)
        bundle.state = "refused" if gate.decision == "refused" else "challenger"
        session.flush()
        return bundle

    def of_job(self, session: Session, job_id: UUID) -> Bundle | None:
        """The version that a job made and recorded, or None."""
        return session.scalar(select(Bundle).where(Bundle.job_id == job_id))

    def folders_of_job(self, job_id: UUID) -> list[Path]:
        """The finished folders that a job made, newest first, recorded or not.

        A job that was ended between writing and recording finds here what it need not make again.
        """
        found = [path for path in self.folder.glob(f"*-{short_name(job_id)}") if _VERSION.fullmatch(path.name)]
        return sorted(found, reverse=True)

    def remove_leftovers(self) -> None:
        """Remove folders whose writing was cut off. The caller is the only one who writes (``training.lock``)."""
        for path in self.folder.glob(".*"):
            shutil.rmtree(path, ignore_errors=True)

    def remove_orphans(self, session: Session, working: Collection[UUID]) -> list[str]:
        """Remove finished folders without a row that are here for more than ``ORPHAN_AGE``; returns their versions.

        Who made them ended between writing and recording and did not come back, so that nobody can ever serve them.
        Folders that are older than the first version of this database may be another database's, and stay.
        working: jobs that have not ended: what they wrote they go on with. The caller is the only one who writes.
        """
        recorded = {row.version: row.created_at for row in session.execute(select(Bundle.version, Bundle.created_at))}
        if not recorded:
            return []
        awaited = tuple(f"-{short_name(job_id)}" for job_id in working)
        first, latest = min(recorded.values()).timestamp(), (datetime.now(UTC) - ORPHAN_AGE).timestamp()
        removed = []
        for path in sorted(self.folder.glob("*")):
            is_known = path.name in recorded or path.name.endswith(awaited)
            if is_known or not _VERSION.fullmatch(path.name) or not _was_written(path, first, latest):
                continue
            shutil.rmtree(path, ignore_errors=True)
            if not path.exists():
                removed.append(path.name)
        return removed

    def champion(self, session: Session) -> Bundle | None:
        """The served version, or None before the first publication."""
        return session.scalar(select(Bundle).where(Bundle.state == "champion"))

    def own_champion(self, session: Session) -> None:
        """Let nobody else change the champion until this transaction ends."""
        session.execute(text(_LOCK))

    def list_bundles(self, session: Session) -> Sequence[Bundle]:
        """Every version, newest first."""
        return session.scalars(select(Bundle).order_by(Bundle.created_at.desc(), Bundle.version.desc())).all()

    def promote(self, session: Session, version: str) -> Bundle:
        """Make a recorded version the champion; promoting the champion changes nothing.

        :raise BundleNotFound: no such version, or its folder is gone.
        :raise SpaceIncomplete: it belongs to another space than the champion, and that one lacks photos.
        :raise SpaceMismatch: its space was dropped.
        """
        self._require_folder(version)
        session.execute(text(_LOCK))
        bundle = session.get(Bundle, version, populate_existing=True)
        if bundle is None:
            raise BundleNotFound(f"there is no model version {version}: `models list` shows those there are")
        return bundle if bundle.state == "champion" else self._promote(session, bundle)

    def rollback(self, session: Session) -> Bundle:
        """Serve again what was served before the champion's promotion; repeated, it walks further back.

        :raise NoEarlierModel: nothing is served, or nothing was served before it.
        :raise BundleNotFound: that one's folder is gone.
        :raise SpaceIncomplete, SpaceMismatch: as for ``promote``.
        """
        session.execute(text(_LOCK))
        latest = _latest(session)
        if latest is None:
            raise NoEarlierModel("nothing has been published yet, so there is nothing to roll back")
        if latest.replaced is None:
            raise NoEarlierModel(f"{latest.version} was the first model version served; none came before it")
        self._require_folder(latest.replaced)
        before = session.get(Bundle, latest.replaced, populate_existing=True)
        assert before is not None, "promotions.replaced refers to bundles"
        with self._changing(session, before):
            latest.undone_at = func.now()
            self._crown(session, before)
        return before

    def before_champion(self, session: Session) -> Bundle | None:
        """The version that a rollback would serve, or None where there is none."""
        latest = _latest(session)
        return None if latest is None or latest.replaced is None else session.get(Bundle, latest.replaced)

    def _record(self, session: Session, new: NewBundle) -> Bundle:
        self._require_folder(new.version)
        session.execute(text(_LOCK))
        if session.get(Bundle, new.version) is not None:
            raise UsageError(f"model version {new.version} has been published before: promote it instead")
        bundle = Bundle(
            version=new.version,
            space_id=new.space_id,
            state="challenger",
            manifest_sha256=new.manifest_sha256,
            metrics=dict(new.metrics),
            job_id=new.job_id,
        )
        session.add(bundle)
        session.flush()
        return bundle

    def _promote(self, session: Session, bundle: Bundle) -> Bundle:
        previous = self.champion(session)
        with self._changing(session, bundle):
            session.add(Promotion(version=bundle.version, replaced=previous.version if previous else None))
            self._crown(session, bundle)
        return bundle

    @contextmanager
    def _changing(self, session: Session, bundle: Bundle) -> Iterator[None]:
        """Around the change of champion: nobody adds photos meanwhile, and no space that takes over lacks any.

        Which spaces are live changes with the champion: what one that becomes live lacks is noted in the same
        transaction.
        """
        outbox.own_outbox(session)
        live = outbox.live_spaces(session)
        previous = self.champion(session)
        if previous is not None and previous.space_id != bundle.space_id:
            outbox.require_complete(session, bundle.version, bundle.space_id)
        yield
        session.execute(update(Space).where(Space.id == bundle.space_id).values(preparing=False))
        for space_id in sorted(outbox.live_spaces(session) - live):
            outbox.note_lacking(session, space_id)

    def _crown(self, session: Session, bundle: Bundle) -> None:
        previous = self.champion(session)
        if previous is not None:
            previous.state = "retired"
            session.flush()  # a partial unique index allows one champion at any moment
        bundle.state = "champion"
        bundle.promoted_at = func.now()
        session.flush()
        session.refresh(bundle)

    def _require_folder(self, version: str) -> None:
        folder = self.path_for(version)
        if not folder.is_dir():
            raise BundleNotFound(f"the folder {folder} of model version {version} is missing: train, or restore it")


def _was_written(path: Path, after: float, before: float) -> bool:
    """Whether a path is a folder that was written and, as it is, came to this disk between two moments.

    after, before: seconds since 1970. What copies a folder with its times keeps that of the writing alone.
    """
    if path.is_symlink() or not path.is_dir():
        return False
    found = path.stat()
    return found.st_mtime > after and found.st_ctime < before


def _latest(session: Session) -> Promotion | None:
    """The promotion that a rollback would undo."""
    return session.scalar(select(Promotion).where(Promotion.undone_at.is_(None)).order_by(Promotion.id.desc()).limit(1))
