"""Fine-tune the backbone on the catalogue: new weights beside those in use, nothing else is touched."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import Engine

from app.config import Settings
from app.jobs.bottlenecks import CatalogueImage, catalogue_images
from app.jobs.experiments import write_result
from app.jobs.splits import catalogue_split
from app.store.bundles import BundleStore
from app.store.database import transaction
from app.store.media import MediaStore
from models.backbone.locking import exclusive
from models.errors import TrainingError, UsageError
from models.training.finetune.compare import outcome
from models.training.finetune.depth import DepthPlan, DepthTable, run_depth
from models.training.finetune.network import build_any_size
from models.training.finetune.photos import ChosenPhotos, choose_photos
from models.training.finetune.run import Finetuned, Workshop, pack
from models.training.finetune.settings import FinetuneSettings, check_name
from models.training.finetune.start import StartWeights, start_weights
from models.training.splits import Split

Say = Callable[[str], None]

DEFAULT_NAME = "finetuned"
_EXPERIMENT = ".depth-experiment"
"""Folder of the experiment; no weights can have this name."""


@dataclass(frozen=True, slots=True)
class FinetuneOptions:
    """name: of the new weights. source: the start weights, ``PICKTURE_WEIGHTS`` where None. tuning: how.

    build: makes the network.
    """

    name: str = DEFAULT_NAME
    source: str | None = None
    tuning: FinetuneSettings = field(default_factory=FinetuneSettings)
    build: Callable[[], Any] = build_any_size


@dataclass(frozen=True, slots=True)
class FinetuneReport:
    """What was made, and what it is worth.

    weights: the new file. start: name of the start weights. photos: counts by use. comparison: see
    ``models.training.finetune.compare.compare``. outcome: ``better``, ``worse``, ``no difference shown`` or ``not
    measured``. epochs, best_epoch, seconds: of the training.
    use, back: shell commands that change to the new weights (VERSION is what ``retrain`` names), and back.
    """

    name: str
    weights: Path
    start: str
    depth: str
    photos: Mapping[str, int]
    labels: int
    epochs: int
    best_epoch: int
    seconds: float
    comparison: Mapping[str, Any]
    outcome: str
    use: tuple[str, ...]
    back: tuple[str, ...]


def finetune_catalogue(
    settings: Settings,
    engine: Engine,
    media: MediaStore,
    options: FinetuneOptions | None = None,
    say: Say = lambda line: None,
) -> FinetuneReport:
    """Adapt the start weights to the catalogue and write ``HOME/weights/<name>.npz`` and ``.json`` (this report).

    Spaces, bottlenecks, bundles and what is served stay as they are. An interrupted run goes on after its last whole
    epoch when it is started again with the same options.
    :raise UsageError: an unfit name, or one that is taken. :raise BackboneError: the start weights are not usable.
    :raise TrainingError: too few photos, a photo that cannot be read, the disk is full, or a run of this name is at
        work, or began otherwise.
    """
    options = options or FinetuneOptions()
    target = settings.home / "weights" / f"{check_name(options.name)}.npz"
    folder = settings.home / "finetune" / options.name
    if target.exists():
        left = f"; {folder} is left of the run that made them and can be removed" if folder.exists() else ""
        raise UsageError(f"{target} exists: give these weights another --name, or remove it{left}")
    with _alone(folder, f"a run named {options.name} is at work; wait for it, or give another --name"):
        return _finetune(settings, engine, media, options, target, say)


def depth_experiment(
    settings: Settings, engine: Engine, media: MediaStore, plan: DepthPlan, source: str | None, say: Say
) -> tuple[DepthTable, Path]:
    """The table of ``models.training.finetune.depth`` on the catalogue; writes no weights.

    source: the start weights, ``PICKTURE_WEIGHTS`` where None. An interrupted experiment goes on when it is started
    again with the same plan; its folder below ``HOME/finetune`` is removed when the table is written
    (``HOME/experiments/depth.json``). Returns that file's path, too.
    :raise: see ``finetune_catalogue``.
    """
    folder = settings.home / "finetune" / _EXPERIMENT
    with _alone(folder, "the depth experiment is at work already; wait for it"):
        images, split = _photos(settings, engine, media, say)
        start = start_weights(source or settings.weights, settings.home, say)
        table = run_depth(images, split, start, folder, plan, say)
        path = write_result(settings.home, "depth", table.to_json())
        Workshop.clean(folder)
        return table, path


@contextmanager
def _alone(folder: Path, refusal: str) -> Iterator[None]:
    """Hold the lock file beside ``folder``, which the run removes. :raise TrainingError: somebody else does."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        try:
            stack.enter_context(exclusive(folder.parent / f"{folder.name}.lock", wait=False))
        except BlockingIOError as error:
            raise TrainingError(refusal) from error
        yield


def _photos(settings: Settings, engine: Engine, media: MediaStore, say: Say) -> tuple[list[CatalogueImage], Split]:
    with transaction(engine) as session:
        images = catalogue_images(session, media)
    return images, catalogue_split(settings.home, images, say)


def _finetune(
    settings: Settings, engine: Engine, media: MediaStore, options: FinetuneOptions, target: Path, say: Say
) -> FinetuneReport:
    images, split = _photos(settings, engine, media, say)
    start = start_weights(options.source or settings.weights, settings.home, say)
    photos = choose_photos(images, split, start.seen, options.tuning.photos_share, options.tuning.seed)
    say(
        f"start weights {start.name}, depth {options.tuning.depth}: {len(photos.taught)} photos of "
        f"{len(photos.labels)} labels to train on, {len(photos.choosing)} to choose the epoch by, "
        f"{len(photos.judged)} to measure on"
    )
    folder = settings.home / "finetune" / options.name
    workshop = Workshop(start, folder, say, options.build)
    feed = workshop.feed(photos, options.tuning)
    before = workshop.start_answers(feed, photos)
    made = workshop.finetune(feed, photos, before, options.tuning, "checkpoints")
    say(f"writing {target}")
    report = _report(settings, engine, options, target, start, photos, made)
    target.parent.mkdir(parents=True, exist_ok=True)
    # Before the weights: once they are there the run is over, and their name taken.
    target.with_suffix(".json").write_text(json.dumps(asdict(report), indent=2, default=str) + "\n", "utf-8")
    pack(target, workshop, photos, made, _card(options, start, photos, made))
    Workshop.clean(folder)
    return report


def _counts(photos: ChosenPhotos) -> dict[str, int]:
    return {"train": len(photos.taught), "validation": len(photos.choosing), "measured": len(photos.judged)}


def _card(options: FinetuneOptions, start: StartWeights, photos: ChosenPhotos, made: Finetuned) -> dict[str, Any]:
    return {
        "name": options.name,
        "made": "fine-tuned on the operator's catalogue",
        "from": {"name": start.name, "weights_sha256": start.weights_sha256, "photos_seen": len(start.seen)},
        "settings": options.tuning.to_json(),
        "photos": _counts(photos),
        "labels": len(photos.labels),
        "epochs": len(made.history),
        "best_epoch": made.best,
        "metrics": dict(made.comparison),
    }


def _report(
    settings: Settings,
    engine: Engine,
    options: FinetuneOptions,
    target: Path,
    start: StartWeights,
    photos: ChosenPhotos,
    made: Finetuned,
) -> FinetuneReport:
    with transaction(engine) as session:
        champion = BundleStore(settings.home).champion(session)
        served = champion.version if champion is not None else None
    use = (
        f"export PICKTURE_WEIGHTS={shlex.quote(str(target))}",
        "python -m app bottlenecks",
        "python -m app retrain --promote never",
        "python -m app models promote VERSION",
    )
    back = [f"export PICKTURE_WEIGHTS={shlex.quote(settings.weights)}"]
    if served is not None:
        back.append(f"python -m app models promote {served}")
    return FinetuneReport(
        options.name,
        target,
        start.name,
        options.tuning.depth,
        _counts(photos),
        len(photos.labels),
        len(made.history),
        made.best,
        round(made.seconds, 1),
        made.comparison,
        outcome(made.comparison),
        use,
        tuple(back),
    )
