"""Model versions, for administrators: which there are, and which one is served."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from app.errors import ModelNotFound, SpaceMismatch
from app.store.bundles import BundleStore
from app.store.database import transaction
from app.store.tables import Bundle, Promotion, Space
from models.bundle import file_sha256, read_manifest
from models.errors import BundleDamaged

REPORT = "report.html"


@dataclass(frozen=True, slots=True)
class PromotionNote:
    """One time the version became champion. undone_at: when that was rolled back."""

    replaced: str | None
    created_at: datetime
    undone_at: datetime | None


@dataclass(frozen=True, slots=True, eq=False)
class ModelVersion:
    """A version as recorded.

    weights: where its space's weights came from, for people (``embedded``, ``imagenet``, ``file:NAME``).
    fits: whether the service's weights make its space, so that it can be served; None where that is not known.
    """

    version: str
    state: str
    space: str
    weights: str | None
    fits: bool | None
    created_at: datetime
    promoted_at: datetime | None
    metrics: Mapping[str, Any]
    promotions: tuple[PromotionNote, ...] = ()


class ModelVersions:
    """Lists, promotes and rolls back.

    space: the identifier of the space that the service's weights make (``PICKTURE_WEIGHTS``); None where it cannot
        be told, and nothing is checked then. weights: how these weights are called.
    """

    def __init__(self, engine: Engine, bundles: BundleStore, space: Callable[[], str | None], weights: str) -> None:
        self._engine = engine
        self._bundles = bundles
        self._space = space
        self._weights = weights

    def all(self) -> list[ModelVersion]:
        """Every version, newest first."""
        fitting = self._space()
        with transaction(self._engine) as session:
            spaces = {space.id: space for space in session.scalars(select(Space))}
            found = self._bundles.list_bundles(session)
        return [_version(bundle, spaces[bundle.space_id], fitting) for bundle in found]

    def get(self, version: str) -> ModelVersion:
        """One version with its promotions, newest first. :raise ModelNotFound: there is none of this name."""
        fitting = self._space()
        with transaction(self._engine) as session:
            bundle = _require(session, version)
            notes = session.scalars(
                select(Promotion).where(Promotion.version == version).order_by(Promotion.id.desc())
            ).all()
            space = session.get_one(Space, bundle.space_id)
        promotions = tuple(PromotionNote(note.replaced, note.created_at, note.undone_at) for note in notes)
        return _version(bundle, space, fitting, promotions)

    def report(self, version: str) -> bytes:
        """The version's report, HTML.

        :raise ModelNotFound: no such version, or it was made without a report.
        :raise BundleNotFound, BundleDamaged: its folder is gone, or the report is not the one that was written.
        """
        with transaction(self._engine) as session:
            _require(session, version)
        folder = self._bundles.path_for(version)
        manifest, _ = read_manifest(folder)
        expected = manifest["files"].get(REPORT)
        if expected is None:
            raise ModelNotFound(f"model {version} was made without a report")
        path = folder / REPORT
        if not path.is_file() or file_sha256(path) != expected:
            raise BundleDamaged(f"bundle {version}: {REPORT} is missing or differs from its SHA-256 in the manifest")
        return path.read_bytes()

    def promote(self, version: str) -> ModelVersion:
        """Serve ``version`` from now on; promoting the champion changes nothing.

        :raise ModelNotFound: there is none of this name. :raise BundleNotFound: its folder is gone.
        :raise SpaceMismatch: it needs other weights than the service runs.
        """
        fitting = self._space()
        with transaction(self._engine) as session:
            _require(session, version)
            return self._checked(session, self._bundles.promote(session, version), fitting)

    def rollback(self) -> ModelVersion:
        """Serve again what was served before the champion; repeated, it goes further back.

        :raise NoEarlierModel: there is nothing to go back to. :raise BundleNotFound: its folder is gone.
        :raise SpaceMismatch: it needs other weights than the service runs.
        """
        fitting = self._space()
        with transaction(self._engine) as session:
            return self._checked(session, self._bundles.rollback(session), fitting)

    def _checked(self, session: Session, bundle: Bundle, fitting: str | None) -> ModelVersion:
        """The new champion; raising takes the promotion back with the transaction."""
        space = session.get_one(Space, bundle.space_id)
        found = _version(bundle, space, fitting)
        if found.fits is False:
            raise SpaceMismatch(
                f"model {bundle.version} was trained with the weights {found.weights or 'of another installation'} "
                f"(space {found.space}); PICKTURE_WEIGHTS={self._weights} makes space {fitting}. Set "
                "PICKTURE_WEIGHTS as it was in training, for this command and for the service, and start the service "
                "again"
            )
        return found


def _require(session: Session, version: str) -> Bundle:
    bundle = session.get(Bundle, version)
    if bundle is None:
        raise ModelNotFound(f"there is no model version {version!r}; GET /v1/admin/models or `models list` shows all")
    return bundle


def _version(
    bundle: Bundle, space: Space, fitting: str | None, promotions: tuple[PromotionNote, ...] = ()
) -> ModelVersion:
    return ModelVersion(
        version=bundle.version,
        state=bundle.state,
        space=space.identifier,
        weights=space.description.get("weights"),
        fits=None if fitting is None else space.identifier == fitting,
        created_at=bundle.created_at,
        promoted_at=bundle.promoted_at,
        metrics=bundle.metrics,
        promotions=promotions,
    )
