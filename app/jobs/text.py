"""Train the model that tells categories on the imported catalogue, replace the one in use by it, and measure."""

from __future__ import annotations

import platform
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version as library_version
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Engine

from app.config import Settings
from app.jobs.text_rows import catalogue_text_rows, folder_text_rows
from app.jobs.training import plain_metrics
from app.services.name_shares import name_shares
from app.store.bundles import new_version
from app.store.decisions import Decision
from app.store.text_models import TextModelStore
from models.backbone.locking import exclusive
from models.backbone.store import load_space
from models.errors import BundleError
from models.multimodal.bundle import TextBundle, load_text_bundle, save_text_bundle
from models.multimodal.stop_words import from_lists
from models.photo import PhotoLimits
from models.training.bottlenecks.progress import ProgressCallback
from models.training.replacing import against, told
from models.training.reports.text import text_report
from models.training.text.compare import COMPARISONS, SEEDS, compare, odd_and_even_years
from models.training.text.evaluate import evaluate_text
from models.training.text.noise import measure_noise
from models.training.text.replacing import compare_classifiers
from models.training.text.rows import TextRows
from models.training.text.settings import TextSettings
from models.training.text.train import MEMBERS, TrainedText, split_rows, train_text
from models.values import Float32

LOCK_FILE: Final = "training.lock"

NOISE: Final = "noise"
"""What is compared with wrong types injected."""

HELD: Final = "held"
"""In a trial's metrics: the skus that it has not seen."""

_LIBRARIES: Final = ("keras", "numpy", "scikit-learn", "scipy", "sentencepiece", "tensorflow")

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True, eq=False)
class TextTraining:
    """What a training made. decision: whether it is used, and why; None where it was used without asking."""

    version: str
    space: str
    folder: Path
    metrics: dict[str, Any]
    decision: Decision | None = None


def train_text_model(
    settings: Settings,
    engine: Engine,
    text_settings: TextSettings | None = None,
    members: int = MEMBERS,
    say: Say = lambda line: None,
) -> TextTraining:
    """Train on the catalogue's names and the stored bottlenecks of its photos, and use the model from now on.

    :raise NotEnoughData: too few names or types. :raise BackboneError: see ``catalogue_text_rows``.
    """
    store = TextModelStore(settings.home)
    store.folder.mkdir(parents=True, exist_ok=True)
    with exclusive(store.folder / LOCK_FILE):
        store.remove_leftovers()
        rows, space = catalogue_text_rows(settings, engine, say)
        bundle = _made(store, rows, space, text_settings, members, say)
        store.use(bundle.version)
    return TextTraining(bundle.version, space, store.path_for(bundle.version), bundle.metrics)


def retrain_text_model(
    settings: Settings,
    engine: Engine,
    job_id: UUID | None = None,
    text_settings: TextSettings | None = None,
    say: Say = lambda line: None,
) -> TextTraining:
    """``train_text_model``, but the model in use stays where the new one is worse on rows that neither has seen.

    job_id: the job that this is done for. One job makes one version, however often it is begun.
    :raise NotEnoughData, BackboneError: see ``train_text_model``.
    """
    store = TextModelStore(settings.home)
    store.folder.mkdir(parents=True, exist_ok=True)
    with exclusive(store.folder / LOCK_FILE):
        store.remove_leftovers()
        rows, space = catalogue_text_rows(settings, engine, say)
        bundle = _of_job(store, job_id, space, say)
        if bundle is None:
            bundle = _made(store, rows, space, text_settings, MEMBERS, say, job_id)
        decision = store.decision(bundle.version)
        # An earlier attempt may have decided and done it; what it decided against a model that is gone says nothing.
        if decision is None or store.current() not in (decision.champion, bundle.version):
            decision = _decided(store, bundle, rows, settings.gate_max_drop)
            store.decide(bundle.version, decision)
        if decision.decision == "promoted" and store.current() != bundle.version:
            store.use(bundle.version)
    say(f"text model {bundle.version} {decision.decision}: {decision.reason}")
    return TextTraining(bundle.version, bundle.space, store.path_for(bundle.version), bundle.metrics, decision)


def evaluate_text_model(
    settings: Settings, directory: Path, say: Say = lambda line: None, progress: ProgressCallback | None = None
) -> dict[str, Any]:
    """Measure the text model in use on a catalogue folder whose rows give their type; see ``evaluate_text``.

    :raise BundleNotFound: no text model. :raise CatalogueError, NotEnoughData, BackboneNotReady: see
        ``folder_text_rows``.
    """
    bundle = TextModelStore(settings.home).load()
    rows = folder_text_rows(settings, directory, bundle.space, say, progress)
    return evaluate_text(bundle.classifier, bundle.words, bundle.counts, rows)


def compare_text(
    settings: Settings,
    engine: Engine,
    what: str,
    years: bool = False,
    seeds: int = SEEDS,
    say: Say = lambda line: None,
) -> dict[str, Any]:
    """Measure ways to teach, or care for wrong types (``what`` = ``noise``), on the catalogue.

    years: teach on odd years and ask about even ones, instead of a random split.
    :raise NotEnoughData, BackboneError: see ``catalogue_text_rows``.
    """
    rows, space = catalogue_text_rows(settings, engine, say)
    parts = odd_and_even_years(rows) if years else split_rows(rows)
    facts = {
        "what": what,
        "split": "odd and even years" if years else "random",
        "space": space,
        "rows": {part: len(getattr(parts, part)) for part in ("training", "validation", "test")},
        "with_image": int(rows.has_image.sum()),
    }
    if what == NOISE:
        return {**facts, "table": measure_noise(rows, parts, TextSettings(), seeds=seeds, say=say)}
    return {**facts, "table": compare(rows, parts, COMPARISONS[what], TextSettings(), seeds, say)}


def photo_vector(settings: Settings, space: str, data: bytes) -> Float32:
    """The bottleneck of one photo in a space, float32 (1, 2048). :raise PhotoError: it cannot be used."""
    from models.backbone.preprocessing import fit_input
    from models.photo import read_photo

    backbone = load_space(space, settings.home, settings.runtime)
    limits = PhotoLimits(max_bytes=settings.max_upload_bytes, max_pixels=settings.max_photo_pixels)
    return backbone.extract([fit_input(read_photo(data, limits, with_advice=False).pixels)])


def _made(
    store: TextModelStore,
    rows: TextRows,
    space: str,
    text_settings: TextSettings | None,
    members: int,
    say: Say,
    job_id: UUID | None = None,
) -> TextBundle:
    """Train and write a version with its trial, not yet in use. The caller holds the lock."""
    trained = train_text(rows, text_settings, members, say, from_lists(store.stop_words()))
    created = datetime.now(UTC)
    bundle = _bundle(new_version(created, job_id), space, created, trained)
    manifest = {
        "version": bundle.version,
        "space": space,
        "created_at": bundle.created_at,
        "libraries": {"python": platform.python_version(), **{name: library_version(name) for name in _LIBRARIES}},
    }
    if trained.trial is not None:  # first, so that a version is never without it
        trial = _bundle(bundle.version, space, created, trained.trial, {HELD: list(trained.held)})
        save_text_bundle(store.trial_path(bundle.version), manifest, trial)
    shares = partial(name_shares, (trained.trial or trained).classifier)
    report = text_report(manifest, trained, rows, shares)
    save_text_bundle(store.path_for(bundle.version), manifest, bundle, report)
    return bundle


def _bundle(
    version: str, space: str, created: datetime, trained: TrainedText, metrics: dict[str, Any] | None = None
) -> TextBundle:
    told_metrics = plain_metrics(trained.metrics if metrics is None else metrics)
    moment = created.isoformat(timespec="seconds")
    return TextBundle(version, space, moment, trained.classifier, trained.words, trained.counts, told_metrics)


def _of_job(store: TextModelStore, job_id: UUID | None, space: str, say: Say) -> TextBundle | None:
    """The version that an earlier attempt at the job wrote."""
    for version in store.of_job(job_id) if job_id is not None else ():
        with suppress(BundleError):  # one of other weights, or damaged since, is made again under another name
            bundle = load_text_bundle(store.path_for(version))
            if bundle.space == space:
                say(f"an earlier attempt has made text model {version}: going on with it")
                return bundle
    return None


def _decided(store: TextModelStore, bundle: TextBundle, rows: TextRows, max_drop: float) -> Decision:
    """Compare a written version with the one in use. Nothing is written."""
    champion = store.current()
    if champion is None:
        return Decision("promoted", "first text model")
    try:
        before, after = (load_text_bundle(store.trial_path(version)) for version in (champion, bundle.version))
    except BundleError as error:
        return Decision("promoted", f"{champion} cannot be compared with: {error}", champion)
    if before.space != bundle.space:
        return Decision("promoted", f"{champion} reads the bottlenecks of other weights", champion)
    held = frozenset(before.metrics[HELD]) & frozenset(after.metrics[HELD])
    tables = compare_classifiers(before.classifier, after.classifier, rows, held)
    worse = against(tables, max_drop)
    if worse:
        return Decision("refused", "; ".join(worse), champion, tables)
    said = told(tables["types"]) if tables["types"]["asked"] else "nothing could be compared"
    return Decision("promoted", f"not worse: {said}", champion, tables)
