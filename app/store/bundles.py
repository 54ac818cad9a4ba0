"""Model versions: which exist, which one is served, and where their files lie.

What is inside a bundle's folder is the concern of ``models.recognizer``; here it is a name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from app.errors import NoEarlierModel
from app.store.tables import Bundle, Promotion
from models.errors import BundleNotFound, UsageError

_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_LOCK = "SELECT pg_advisory_xact_lock(hashtext('pickture.champion'))"


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
        self, session: Session, version: str, space_id: int, manifest_sha256: str, metrics: Mapping[str, Any]
    ) -> Bundle:
        """Record a finished bundle and make it the champion; the champion before it retires.

        :raise BundleNotFound: its folder is not in place yet.
        :raise UsageError: the version exists already.
        """
        self._require_folder(version)
        session.execute(text(_LOCK))
        if session.get(Bundle, version) is not None:
            raise UsageError(f"model version {version} has been published before: promote it instead")
        bundle = Bundle(
            version=version,
            space_id=space_id,
            state="challenger",
            manifest_sha256=manifest_sha256,
            metrics=dict(metrics),
        )
        session.add(bundle)
        session.flush()
        return self._promote(session, bundle)

    def champion(self, session: Session) -> Bundle | None:
        """The served version, or None before the first publication."""
        return session.scalar(select(Bundle).where(Bundle.state == "champion"))

    def list_bundles(self, session: Session) -> Sequence[Bundle]:
        """Every version, newest first."""
        return session.scalars(select(Bundle).order_by(Bundle.created_at.desc(), Bundle.version.desc())).all()

    def promote(self, session: Session, version: str) -> Bundle:
        """Make a recorded version the champion; promoting the champion changes nothing.

        :raise BundleNotFound: no such version, or its folder is gone.
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
        """
        session.execute(text(_LOCK))
        latest = session.scalar(
            select(Promotion).where(Promotion.undone_at.is_(None)).order_by(Promotion.id.desc()).limit(1)
        )
        if latest is None:
            raise NoEarlierModel("nothing has been published yet, so there is nothing to roll back")
        if latest.replaced is None:
            raise NoEarlierModel(f"{latest.version} was the first model version served; none came before it")
        self._require_folder(latest.replaced)
        before = session.get(Bundle, latest.replaced, populate_existing=True)
        assert before is not None, "promotions.replaced refers to bundles"
        latest.undone_at = func.now()
        self._crown(session, before)
        return before

    def _promote(self, session: Session, bundle: Bundle) -> Bundle:
        previous = self.champion(session)
        session.add(Promotion(version=bundle.version, replaced=previous.version if previous else None))
        self._crown(session, bundle)
        return bundle

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
