"""Train the shared space of words and photos on the catalogue, place every product in it, and put it into service.

A version is a folder (``HOME/shared/<version>``) and a row. ``HOME/shared/trials/<version>`` holds what was measured
when it was made, to be asked again beside the next one.
"""

from __future__ import annotations

import platform
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version as library_version
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Engine, select

from app.config import Settings
from app.jobs.shared_material import SharedMaterial, shared_material
from app.jobs.training import plain_metrics
from app.services.words import FOLDER, ServedWords, refresh_all_places, refresh_places
from app.store import shared_vectors
from app.store.bundles import new_version, short_name
from app.store.database import transaction
from app.store.decisions import Decision, read_decision, write_decision
from app.store.media import MediaStore
from app.store.tables import Product
from models.backbone.locking import exclusive
from models.backbone.store import PreparedBackbone
from models.errors import BundleError
from models.multimodal.shared_bundle import SharedBundle, SharedParts, write_shared
from models.training.replacing import against, told
from models.training.shared.replacing import compare_spaces
from models.training.shared.run import SharedOptions, train_shared

LOCK_FILE: Final = "training.lock"
TRIALS: Final = "trials"
HELD: Final = "held"
"""In a trial's metrics: the skus that it has not seen."""

_LIBRARIES: Final = ("keras", "numpy", "scikit-learn", "scipy", "sentencepiece", "tensorflow")

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class SharedTraining:
    """What a training made. placed: products that lie in it, 0 where it was refused. decision: whether it is used, and
    why; None where it was used without asking.
    """

    version: str
    space: str
    folder: Path
    placed: int
    metrics: dict[str, Any]
    decision: Decision | None = None


def train_shared_space(
    settings: Settings,
    engine: Engine,
    media: MediaStore,
    options: SharedOptions | None = None,
    say: Say = lambda line: None,
) -> SharedTraining:
    """Train on names and stored bottlenecks, write the version, place the products, serve it.

    :raise NotEnoughData: too few products have a photo with a bottleneck and a name.
    :raise BackboneError: the backbone of the settings is not prepared, or damaged.
    """
    folder = settings.home / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    with exclusive(folder / LOCK_FILE):
        _remove_leftovers(folder, engine)
        material = shared_material(settings, engine, media, say)
        bundle = _made(folder, material, options, say)
        placed = _published(engine, folder, bundle, material.space_id, say)
    return SharedTraining(bundle.version, bundle.space, folder / bundle.version, placed, bundle.metrics)


def retrain_shared_space(
    settings: Settings,
    engine: Engine,
    media: MediaStore,
    job_id: UUID | None = None,
    options: SharedOptions | None = None,
    say: Say = lambda line: None,
) -> SharedTraining:
    """``train_shared_space``, but the version in service stays where the new one is worse on listings that neither has
    seen.

    job_id: the job that this is done for. One job makes one version, however often it is begun.
    :raise NotEnoughData, BackboneError: see ``train_shared_space``.
    """
    folder = settings.home / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    with exclusive(folder / LOCK_FILE):
        _remove_leftovers(folder, engine, job_id)
        material = shared_material(settings, engine, media, say)
        bundle = _of_job(folder, job_id, material.backbone.space.identifier, say)
        if bundle is None:
            bundle = _made(folder, material, options, say, job_id)
        live = _live(engine)
        decision = read_decision(folder / bundle.version)
        # An earlier attempt may have decided and done it; what it decided against a version that is gone says nothing.
        if decision is None or live not in (decision.champion, bundle.version):
            decision = _decided(folder, bundle, live, material, settings.gate_max_drop)
            write_decision(folder / bundle.version, decision)
        placed = 0
        if decision.decision == "promoted":
            placed = (
                _published(engine, folder, bundle, material.space_id, say)
                if live != bundle.version
                else _placed(engine)
            )
    say(f"shared space {bundle.version} {decision.decision}: {decision.reason}")
    return SharedTraining(bundle.version, bundle.space, folder / bundle.version, placed, bundle.metrics, decision)


def publish_shared(engine: Engine, folder: Path, bundle: SharedBundle, space_id: int) -> int:
    """Record a version, place the products beside the version in service, then swap; returns how many lie in it.

    Products that change while this runs are placed once more in the transaction that swaps: nothing is computed for
    the others, whose digests still hold.
    """
    with transaction(engine) as session:
        shared_id = shared_vectors.new_shared(session, bundle.version, space_id, bundle.manifest_sha256, bundle.metrics)
    served = ServedWords(shared_id, space_id, bundle)
    refresh_all_places(engine, served)
    with transaction(engine) as session:
        refresh_places(session, served, session.scalars(select(Product.id)).all())
        gone = shared_vectors.make_live(session, shared_id)
        placed = shared_vectors.count_places(session, shared_id)
    for version in gone:
        shutil.rmtree(folder / version, ignore_errors=True)
    return placed


def _published(engine: Engine, folder: Path, bundle: SharedBundle, space_id: int, say: Say) -> int:
    say("shared space: placing the products")
    placed = publish_shared(engine, folder, bundle, space_id)
    for path in list((folder / TRIALS).glob("[!.]*")):
        if path.name != bundle.version:
            shutil.rmtree(path, ignore_errors=True)
    return placed


def _live(engine: Engine) -> str | None:
    with transaction(engine) as session:
        live = shared_vectors.live_shared(session)
    return None if live is None else live.version


def _placed(engine: Engine) -> int:
    with transaction(engine) as session:
        live = shared_vectors.live_shared(session)
        return 0 if live is None else shared_vectors.count_places(session, live.id)


def _made(
    folder: Path, material: SharedMaterial, options: SharedOptions | None, say: Say, job_id: UUID | None = None
) -> SharedBundle:
    """Train and write a version with its trial, not yet in service. The caller holds the lock."""
    parts = train_shared(material.data, material.planted, options, say)
    created = datetime.now(UTC)
    version = new_version(created, job_id)
    manifest = _manifest(version, material.backbone, created)
    if parts.trial is not None:  # first, so that a version is never without it
        trial = SharedParts(parts.trial.shared, parts.trial.match, parts.trial.restricted, {HELD: list(parts.held)})
        write_shared(folder / TRIALS / version, trial, manifest)
    plain = SharedParts(parts.shared, parts.match, parts.restricted, plain_metrics(parts.metrics))
    write_shared(folder / version, plain, manifest)
    return SharedBundle.load(folder / version)


def _manifest(version: str, backbone: PreparedBackbone, created: datetime) -> dict[str, Any]:
    return {
        "version": version,
        "space": backbone.space.identifier,
        "weights": backbone.space.weights,
        "created_at": created.isoformat(timespec="seconds"),
        "libraries": {"python": platform.python_version(), **{name: library_version(name) for name in _LIBRARIES}},
    }


def _of_job(folder: Path, job_id: UUID | None, space: str, say: Say) -> SharedBundle | None:
    """The version that an earlier attempt at the job wrote."""
    for path in sorted(folder.glob(f"*-{short_name(job_id)}"), reverse=True) if job_id is not None else ():
        with suppress(BundleError):  # one of other weights, or damaged since, is made again under another name
            bundle = SharedBundle.load(path)
            if bundle.space == space:
                say(f"an earlier attempt has made shared space {bundle.version}: going on with it")
                return bundle
    return None


def _decided(
    folder: Path, bundle: SharedBundle, champion: str | None, material: SharedMaterial, max_drop: float
) -> Decision:
    """Compare a written version with the one in service. Nothing is written."""
    if champion is None:
        return Decision("promoted", "first shared space")
    try:
        before, after = (SharedBundle.load(folder / TRIALS / version) for version in (champion, bundle.version))
    except BundleError as error:
        return Decision("promoted", f"{champion} cannot be compared with: {error}", champion)
    if before.space != bundle.space:
        return Decision("promoted", f"{champion} reads the bottlenecks of other weights", champion)
    held = frozenset(before.metrics[HELD]) & frozenset(after.metrics[HELD])
    tables = compare_spaces(before.shared, after.shared, material.data, held)
    worse = against(tables, max_drop)
    if worse:
        return Decision("refused", "; ".join(worse), champion, tables)
    said = "; ".join(f"{name}: {told(row)}" for name, row in tables.items() if row["asked"])
    return Decision("promoted", f"not worse: {said or 'nothing could be compared'}", champion, tables)


def _remove_leftovers(folder: Path, engine: Engine, job_id: UUID | None = None) -> None:
    """What a training that was cut off left: versions that never went live, but for those of this job. The caller holds
    the lock.
    """
    with transaction(engine) as session:
        kept = shared_vectors.remove_unfinished(session)
    for path in [*folder.iterdir(), *(folder / TRIALS).glob("*")]:
        is_of_job = job_id is not None and path.name.endswith(f"-{short_name(job_id)}")
        if path.is_dir() and path.name not in kept | {TRIALS} and not (is_of_job and not path.name.startswith(".")):
            with suppress(OSError):
                shutil.rmtree(path)
