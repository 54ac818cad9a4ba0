"""Retrain and let the gate decide: bottlenecks of what is new, a challenger, the comparison, promoted or not."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any
from uuid import UUID

from sqlalchemy import Engine
from sqlalchemy.orm import Session

from app.config import Settings
from app.errors import SpaceIncomplete
from app.jobs.bottlenecks import BottleneckReport, fill_bottlenecks
from app.jobs.gate import Promote, decide
from app.jobs.material import gather
from app.jobs.outbox import Filled, fill_space, published_when_complete
from app.jobs.retrain_text import TextReport, retrain_texts
from app.jobs.training import TrainOptions, TrainReport, made_bundle, predict_types, recorded
from app.store.bundles import BundleStore, Gate, NewBundle
from app.store.database import transaction
from app.store.media import MediaStore
from models.backbone.locking import exclusive
from models.training.bottlenecks.progress import ProgressCallback


@dataclass(frozen=True, slots=True)
class RetrainOptions:
    """promote: ``never`` makes and compares the challenger and leaves the champion in service, whatever comes out."""

    train: TrainOptions = field(default_factory=TrainOptions)
    promote: Promote = "auto"


@dataclass(frozen=True, slots=True, eq=False)
class RetrainReport:
    """What came of it. gate: see ``app.store.bundles.Gate.to_json``.

    bottlenecks: None where an earlier attempt had recorded the challenger, and only words were left to do.
    """

    trained: TrainReport
    gate: Mapping[str, Any]
    bottlenecks: BottleneckReport | None
    text: TextReport

    @property
    def promoted(self) -> bool:
        """Whether it became the champion."""
        return bool(self.gate["decision"] == "promoted")

    def to_json(self) -> dict[str, Any]:
        """As plain values, for people and for the job's result."""
        filled = self.bottlenecks
        return {
            "version": self.trained.version,
            "space": self.trained.space,
            "promoted": self.promoted,
            **self.gate,
            "text": self.text.to_json(),
            "bottlenecks": None if filled is None else _filled(filled),
            "data": self.trained.metrics.get("data", {}),
        }


@dataclass(frozen=True, slots=True)
class Told:
    """Whom to tell. say: each step. filling: how far the bottlenecks are. filled: when they are done. words: each step
    of what is done with words, at the end.
    """

    say: Callable[[str], None] = lambda line: None
    filling: ProgressCallback | None = None
    filled: Callable[[BottleneckReport], None] = lambda report: None
    words: Callable[[str], None] = lambda line: None


Classified = tuple[TrainReport, Mapping[str, Any], BottleneckReport | None]
"""What was trained, what the gate said, what was computed for it."""


def retrain(
    settings: Settings,
    engine: Engine,
    media: MediaStore,
    options: RetrainOptions,
    told: Told | None = None,
    job_id: UUID | None = None,
) -> RetrainReport:
    """Compute the bottlenecks that are missing, train a challenger, compare it with the champion, and decide; then the
    same with words (``app.jobs.retrain_text``), whatever was decided.

    The challenger is recorded whatever the gate says. job_id: as for ``train_and_publish``.
    :raise NotEnoughData: no photo has bottlenecks. :raise BackboneError: the backbone is not usable.
    """
    told = told or Told()
    trained, gate, filled = _classifiers(settings, engine, media, options, told, job_id)
    text = retrain_texts(settings, engine, media, trained.space, job_id, told.words)
    return RetrainReport(trained, gate, filled, text)


def _classifiers(
    settings: Settings, engine: Engine, media: MediaStore, options: RetrainOptions, told: Told, job_id: UUID | None
) -> Classified:
    bundles = BundleStore(settings.home)
    if (done := _done(engine, bundles, job_id)) is not None:
        return done
    variants = options.train.variants
    filled = fill_bottlenecks(
        settings, engine, media, variants=variants, say=told.say, progress=told.filling, wait=True
    )
    told.filled(filled)
    with exclusive(settings.home / "training.lock"):
        if (done := _done(engine, bundles, job_id)) is not None:
            return done
        material = gather(settings, engine, media, variants, options.train.folds, told.say)
        bundle = made_bundle(engine, bundles, material, options.train, told.say, job_id)
        gate = _settled(
            engine,
            bundles,
            NewBundle(bundle.version, material.space_id, bundle.manifest_sha256, bundle.metrics, job_id),
            partial(decide, settings, engine, material, bundle, options.promote, told.say),
            lambda session: predict_types(session, bundle.types, material.photos, material.listed),
            partial(fill_space, settings, engine, media, material.backbone, told.say),
            told.say,
        )
    trained = TrainReport(bundle.version, bundle.space, bundles.path_for(bundle.version), bundle.metrics)
    return trained, gate.to_json(), filled


def _done(engine: Engine, bundles: BundleStore, job_id: UUID | None) -> Classified | None:
    """What an earlier attempt at this job recorded."""
    done = None if job_id is None else recorded(engine, bundles, job_id)
    if done is None:
        return None
    trained, gate = done
    assert gate is not None, "what this kind of job records has been before the gate"
    return trained, gate, None


def _settled(
    engine: Engine,
    bundles: BundleStore,
    new: NewBundle,
    decide_now: Callable[[], Gate],
    promoted: Callable[[Session], object],
    fill: Callable[[], Filled],
    say: Callable[[str], None],
) -> Gate:
    """Record the challenger with the gate's decision, made against the champion of that very moment.

    promoted: what else belongs into the transaction that makes it champion. fill: gives the challenger's space what it
    lacks, where another is served. Where that does not help, the challenger is kept, with the reason.
    """

    def settle(gate: Gate, session: Session) -> bool:
        row = bundles.settle(session, new, gate)
        if row is not None and gate.decision == "promoted":
            promoted(session)
        return row is not None

    while True:
        gate = decide_now()
        try:
            is_settled = published_when_complete(engine, new.space_id, partial(settle, gate), fill, say)
        except SpaceIncomplete as error:
            gate = replace(gate, decision="kept", reason=f"{error}; {gate.reason}")
            with transaction(engine) as session:
                is_settled = settle(gate, session)
        if is_settled:
            say(f"{gate.decision}: {gate.reason}")
            return gate
        say("another version became champion meanwhile: comparing again")


def _filled(report: BottleneckReport) -> dict[str, Any]:
    fill = report.fill
    return {
        "photos": report.photos,
        "new_photos": fill.new_photos,
        "computed": fill.new,
        "reused": fill.reused,
        "failed": len(fill.failed),
        "vectors": report.vectors,
    }
