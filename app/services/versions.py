"""Model versions, for administrators: which there are, and which one is served."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from app.errors import ModelNotFound, PreconditionFailed, SpaceMismatch
from app.services.spaces import Spaces
from app.store import outbox
from app.store.bundles import BundleStore
from app.store.database import transaction
from app.store.tables import Bundle, Promotion, Space
from models.bundle import bundle_file

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
    fits: whether it can be served here: its space is the served one, or is there with its network prepared.
    gate: what was decided when it was made, see ``app.store.bundles.Gate``; None where nobody was asked.
    """

    version: str
    state: str
    space: str
    weights: str | None
    fits: bool
    created_at: datetime
    promoted_at: datetime | None
    metrics: Mapping[str, Any]
    gate: Mapping[str, Any] | None = None
    promotions: tuple[PromotionNote, ...] = ()

    @property
    def reason(self) -> str | None:
        """Why it was or was not promoted when it was made, in words; None where nobody was asked."""
        return None if self.gate is None else f"{self.gate['decision']}: {self.gate['reason']}"


@dataclass(frozen=True, slots=True)
class Seen:
    """What a person saw before deciding. champion: the served version, "" for none; None: nothing was seen.

    before: what a rollback would serve.
    """

    champion: str | None
    before: str | None = None


class ModelVersions:
    """Lists, promotes and rolls back."""

    def __init__(self, engine: Engine, bundles: BundleStore, spaces: Spaces) -> None:
        self._engine = engine
        self._bundles = bundles
        self._spaces = spaces

    def all(self) -> list[ModelVersion]:
        """Every version, newest first."""
        with transaction(self._engine) as session:
            return [self._version(session, bundle) for bundle in self._bundles.list_bundles(session)]

    def get(self, version: str) -> ModelVersion:
        """One version with its promotions, newest first. :raise ModelNotFound: there is none of this name."""
        with transaction(self._engine) as session:
            bundle = _require(session, version)
            notes = session.scalars(
                select(Promotion).where(Promotion.version == version).order_by(Promotion.id.desc())
            ).all()
            promotions = tuple(PromotionNote(note.replaced, note.created_at, note.undone_at) for note in notes)
            return self._version(session, bundle, promotions)

    def report(self, version: str) -> bytes:
        """The version's report, HTML.

        :raise ModelNotFound: no such version, or it was made without a report.
        :raise BundleNotFound, BundleDamaged: its folder is gone, or the report is not the one that was written.
        """
        with transaction(self._engine) as session:
            _require(session, version)
        found = bundle_file(self._bundles.path_for(version), REPORT)
        if found is None:
            raise ModelNotFound(f"model {version} was made without a report")
        return found

    def champion(self) -> ModelVersion | None:
        """The published version, or None before the first publication."""
        with transaction(self._engine) as session:
            found = self._bundles.champion(session)
            return None if found is None else self._version(session, found)

    def before_champion(self) -> ModelVersion | None:
        """What a rollback would serve, or None where there is nothing to go back to."""
        with transaction(self._engine) as session:
            before = self._bundles.before_champion(session)
            return None if before is None else self._version(session, before)

    def promote(self, version: str, seen: Seen | None = None) -> ModelVersion:
        """Serve ``version`` from now on; promoting the champion changes nothing.

        A version of another space than the served one takes over only when that space lacks no photo. Where it does,
        it is kept complete from now on: promote again when the workers have filled it.

        seen: refuse where yet another version is the champion by now; None asks for no such care.

        :raise PreconditionFailed: it is.
        :raise ModelNotFound: there is none of this name. :raise BundleNotFound: its folder is gone.
        :raise SpaceIncomplete: its space lacks photos.
        :raise SpaceMismatch: its network is not prepared here, or its space was dropped.
        """
        with transaction(self._engine) as session:
            bundle = _require(session, version)
            self._require_as(session, seen, version)
        self._make_ready(bundle)
        with transaction(self._engine) as session:
            self._bundles.own_champion(session)
            self._require_as(session, seen, version)
            return self._version(session, self._bundles.promote(session, version))

    def rollback(self, seen: Seen | None = None) -> ModelVersion:
        """Serve again what was served before the champion; repeated, it goes further back.

        seen: refuse where that would be another version by now, or from another one; None asks for no such care.

        :raise PreconditionFailed: it would.
        :raise NoEarlierModel: there is nothing to go back to. :raise BundleNotFound: its folder is gone.
        :raise SpaceIncomplete, SpaceMismatch: as for ``promote``.
        """
        with transaction(self._engine) as session:
            before = self._bundles.before_champion(session)
            self._require_as(session, seen)
        if before is not None:
            self._make_ready(before)
        with transaction(self._engine) as session:
            self._bundles.own_champion(session)
            self._require_as(session, seen)
            return self._version(session, self._bundles.rollback(session))

    def _require_as(self, session: Session, seen: Seen | None, wanted: str | None = None) -> None:
        """wanted: the version to be promoted, which may be the champion already; None for a rollback.

        :raise PreconditionFailed: the champion, or what a rollback would serve, is not what was seen.
        """
        if seen is None:
            return
        champion, before = self._bundles.champion(session), self._bundles.before_champion(session)
        served = "" if champion is None else champion.version
        if served == wanted:
            return
        if served != seen.champion or (wanted is None and (before.version if before else "") != (seen.before or "")):
            raise PreconditionFailed(f"by now the served version is {served or 'none'}; look again, and decide anew")

    def _make_ready(self, bundle: Bundle) -> None:
        """Have a space that is to take over kept complete from now on, in a transaction of its own."""
        with transaction(self._engine) as session:
            space = session.get_one(Space, bundle.space_id)
            if outbox.champion_space(session) in (None, space.id) or space.dropped_at is not None:
                return
        if not self._spaces.is_prepared(space.identifier):
            raise SpaceMismatch(
                f"model {bundle.version} needs the network of space {space.identifier}, made from the weights "
                f"{space.description.get('weights') or 'of another installation'}, which is not prepared here: copy "
                f"HOME/backbones/{space.identifier} from where it was made, or run `python -m app bottlenecks` with "
                "PICKTURE_WEIGHTS set to these weights"
            )
        outbox.keep_complete(self._engine, space.id)

    def _version(self, session: Session, bundle: Bundle, promotions: tuple[PromotionNote, ...] = ()) -> ModelVersion:
        space = session.get_one(Space, bundle.space_id)
        is_there = outbox.champion_space(session) == space.id or self._spaces.is_prepared(space.identifier)
        return ModelVersion(
            version=bundle.version,
            state=bundle.state,
            space=space.identifier,
            weights=space.description.get("weights"),
            fits=is_there and space.dropped_at is None,
            created_at=bundle.created_at,
            promoted_at=bundle.promoted_at,
            metrics=bundle.metrics,
            gate=bundle.gate,
            promotions=promotions,
        )


def _require(session: Session, version: str) -> Bundle:
    bundle = session.get(Bundle, version)
    if bundle is None:
        raise ModelNotFound(f"there is no model version {version!r}; GET /v1/admin/models or `models list` shows all")
    return bundle
