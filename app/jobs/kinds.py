"""What each kind of job does, in a process of its own. Every kind may be stopped anywhere and begun again.

A kind imports what it alone needs: an import begins in a second, and loads nothing of what trains.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

from app.jobs.reporting import FollowUp, Outcome, Reporter
from app.services.catalogue.archives import ArchiveLimits
from app.services.catalogue.errors import ImportBusy
from app.services.catalogue.importing import ImportReport, import_catalogue
from app.services.catalogue.uploads import unpacked_catalogue, upload_folder
from app.wiring import Container
from models.backbone.locking import exclusive
from models.errors import BundleError, UsageError

if TYPE_CHECKING:
    from app.jobs.bottlenecks import BottleneckReport
    from app.jobs.training import TrainOptions
    from models.training.bottlenecks.progress import FillProgress

Work = Callable[[Container, UUID, Mapping[str, Any], Reporter], Outcome]
"""container, the job's id, its payload, whom to tell -> what came of it."""

_IMPORT_PARTS: Mapping[str, tuple[float, float]] = {"reading photos": (0.0, 0.1), "decoding photos": (0.1, 0.85)}
"""Where in the whole each part of an import begins, and how much of it it is."""

_BUSY_WAIT_S = 1.0
_SHOWN_WARNINGS = 100
_FILLING_SHARE = 0.4
"""How much of a retraining the bottlenecks are."""

_TRAINING_STEPS = 60
"""About how many steps a training names; only for the share of it that is done."""

_WORDS_SHARE = 0.2
"""How much of a retraining, at its end, words are."""


def run_import(container: Container, job_id: UUID, payload: Mapping[str, Any], tell: Reporter) -> Outcome:
    """Import an upload; the photos it brought are then made known to the k-NN memory by a job of its own.

    That job follows wherever anything may have been written: an attempt that was killed after it wrote leaves
    the next one nothing to write, but photos that the memory lacks.
    """
    tell.step("unpacking")
    limits = replace(ArchiveLimits(), max_total_bytes=container.settings.max_import_unpacked_bytes)
    folder = unpacked_catalogue(upload_folder(container.settings.home, job_id), limits)
    tell.step("checking the table")
    report = _imported(container, folder, payload, tell)
    tell.row_errors([problem.as_dict() for problem in report.problems])
    proposals = _proposals(container, tell) if report.applied else None
    follow_up = FollowUp("bottlenecks", {"originals_only": True}) if report.applied else None
    return Outcome({**_import_result(report), "proposals": proposals}, follow_up)


def _proposals(container: Container, tell: Reporter) -> dict[str, int] | None:
    """Ask the text model about what products lack; None where there is none, or it cannot be used: what the job was for
    is done, and the next training mends that.
    """
    tell.step("asking the text model about what is lacking")
    try:
        made = container.proposals.propose()
    except BundleError as error:
        tell.step(f"nothing is proposed: {error}")
        return None
    return None if made is None else asdict(made)


def _imported(container: Container, folder: Path, payload: Mapping[str, Any], tell: Reporter) -> ImportReport:
    """Import the folder, after the end of any other import (one may run from the command line)."""
    shown = ""

    def progress(title: str, done: int, total: int) -> None:
        nonlocal shown
        if title != shown:
            shown = title
            tell.step(title)
        begin, share = _IMPORT_PARTS[title]
        tell.progress(begin + share * done / total)

    is_waiting = False
    while True:
        try:
            return import_catalogue(
                container.engine,
                container.media,
                folder,
                dry_run=bool(payload.get("dry_run")),
                strict=bool(payload.get("strict")),
                currency=container.settings.currency,
                progress=progress,
            )
        except ImportBusy:
            if not is_waiting:
                tell.step("waiting for the end of another import")
            is_waiting = True
            time.sleep(_BUSY_WAIT_S)


def _import_result(report: ImportReport) -> dict[str, Any]:
    told = report.as_dict()
    del told["problems"], told["source"]
    told["warnings_total"] = len(report.warnings)
    told["warnings"] = [warning.as_dict() for warning in report.warnings[:_SHOWN_WARNINGS]]
    return told


def run_bottlenecks(container: Container, job_id: UUID, payload: Mapping[str, Any], tell: Reporter) -> Outcome:
    """Fill the bottleneck cache and the k-NN memory with what they lack."""
    from app.jobs.bottlenecks import fill_bottlenecks
    from augment.variants import VARIANT_NAMES

    tell.step("preparing the network; waiting where another run fills the cache")
    report = fill_bottlenecks(
        container.settings,
        container.engine,
        container.media,
        variants=() if payload.get("originals_only") else VARIANT_NAMES,
        say=tell.step,
        progress=_filling(tell, 1.0),
        wait=True,
    )
    fill = report.fill
    tell.row_errors(_failed(report))
    # An import has asked already, without the photos that it brought.
    proposals = _proposals(container, tell) if report.vectors else None
    told = {name: value for name, value in asdict(fill).items() if name != "failed"}
    return Outcome(
        {
            "space": report.space,
            "weights": report.weights,
            "photos": report.photos,
            "vectors": report.vectors,
            **told,
            "proposals": proposals,
        }
    )


def run_train(container: Container, job_id: UUID, payload: Mapping[str, Any], tell: Reporter) -> Outcome:
    """Train on the stored bottlenecks and publish; begun again after it published, it only says what."""
    from app.jobs.training import train_and_publish

    _tell_of_waiting(container, tell)
    report = train_and_publish(
        container.settings, container.engine, container.media, _options(payload), _training(tell, 0.0), job_id
    )
    data = report.metrics.get("data", {})
    return Outcome({"version": report.version, "space": report.space, "data": data})


def run_retrain(container: Container, job_id: UUID, payload: Mapping[str, Any], tell: Reporter) -> Outcome:
    """Bottlenecks of what is new, a challenger, the gate, words; begun again after it recorded, it goes on there."""
    from app.jobs.retrain import RetrainOptions, Told, retrain

    def filled(report: BottleneckReport) -> None:
        tell.row_errors(_failed(report))
        tell.step(f"{report.fill.new_photos} of {report.photos} photos were new: {report.fill.new} images computed")
        _tell_of_waiting(container, tell)

    tell.step("preparing the network; waiting where another run fills the cache")
    options = RetrainOptions(_options(payload), payload.get("promote", "auto"))
    told = Told(
        _training(tell, _FILLING_SHARE, 1.0 - _WORDS_SHARE),
        _filling(tell, _FILLING_SHARE),
        filled,
        _training(tell, 1.0 - _WORDS_SHARE),
    )
    report = retrain(container.settings, container.engine, container.media, options, told, job_id)
    return Outcome(report.to_json())


def run_outbox(container: Container, job_id: UUID, payload: Mapping[str, Any], tell: Reporter) -> Outcome:
    """Give live spaces the photos that they lack; what cannot be read stays noted, with the reason."""
    from app.jobs.outbox import fill_due_spaces

    filled = fill_due_spaces(container.settings, container.engine, container.media, tell.step)
    errors = [
        {"line": None, "sku": None, "field": "images", "value": content_hash, "reason": reason}
        for space in filled
        for content_hash, reason in space.unreadable.items()
    ]
    tell.row_errors(errors)
    return Outcome({"spaces": [space.to_json() for space in filled]})


def _options(payload: Mapping[str, Any]) -> TrainOptions:
    from app.jobs.training import TrainOptions
    from augment.variants import VARIANT_NAMES
    from models.training.splits import FOLDS

    variants = () if payload.get("without_variants") else VARIANT_NAMES
    return replace(TrainOptions(), folds=int(payload.get("folds", FOLDS)), variants=variants)


def _tell_of_waiting(container: Container, tell: Reporter) -> None:
    """Only to tell: the training takes the lock itself."""
    container.settings.home.mkdir(parents=True, exist_ok=True)
    try:
        with exclusive(container.settings.home / "training.lock", wait=False):
            pass
    except BlockingIOError:
        tell.step("waiting for the end of another training")


def _filling(tell: Reporter, share: float) -> Callable[[FillProgress], None]:
    """Tells how far the bottlenecks are. share: of the whole job that they are."""
    began = False

    def progress(now: FillProgress) -> None:
        nonlocal began
        if not began:
            began = True
            tell.step(f"{now.total - now.done} of {now.total} images to compute")
        tell.progress(share * ((now.done + now.failed) / now.total if now.total else 1.0))

    return progress


def _training(tell: Reporter, begin: float, end: float = 1.0) -> Callable[[str], None]:
    """Tells the steps of a training. begin, end: where in the whole job it begins, and where the next part does."""
    said = 0

    def say(line: str) -> None:
        nonlocal said
        said += 1
        tell.step(line)
        tell.progress(begin + (end - begin) * said / (said + _TRAINING_STEPS))

    return say


def _failed(report: BottleneckReport) -> list[dict[str, Any]]:
    """Photos without bottlenecks, as row errors."""
    return [
        {"line": None, "sku": None, "field": "images", "value": photo.content_hash, "reason": photo.message}
        for photo in report.fill.failed
    ]


KINDS: Mapping[str, Work] = {
    "import": run_import,
    "bottlenecks": run_bottlenecks,
    "train": run_train,
    "retrain": run_retrain,
    "outbox": run_outbox,
}


def work_of(kind: str) -> Work:
    """What does a kind's work. :raise UsageError: this version cannot do it."""
    with suppress(KeyError):
        return KINDS[kind]
    raise UsageError(f"this version has no work of the kind {kind!r}; it knows {', '.join(KINDS)}")
