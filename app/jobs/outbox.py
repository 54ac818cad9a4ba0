"""Filling live spaces with the photos that they still lack (``app.store.outbox``).

Each space's vectors are computed with its own network, originals only, by way of its bottleneck cache; so what was
computed once, also by an attempt that was killed, is not computed again, and a later training finds it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from sqlalchemy import Engine
from sqlalchemy.orm import Session

from app.config import Settings
from app.errors import SpaceIncomplete, SpaceNotFound
from app.jobs.bottlenecks import VARIANT_SEED, CatalogueImage
from app.services.spaces import is_being_filled
from app.store import outbox
from app.store.database import transaction
from app.store.media import MediaStore
from app.store.neighbours import put_reviewed_vectors, put_vectors, refresh_looks
from app.store.outbox import WaitingPhoto
from app.store.spaces import find_space
from app.store.vectors import VectorRow
from models.backbone.runtimes import OpenVinoBackbone
from models.backbone.store import load_space
from models.errors import BackboneError, TrainingError
from models.training.bottlenecks.cache import BottleneckCache, open_cache
from models.training.bottlenecks.fill import fill_cache

BATCH = 200
"""Photos between two commits; an interrupt loses fewer, for the cache keeps what was computed."""

_ROUNDS = 5
"""How often a publication waits for photos that came while it was about to happen."""

Say = Callable[[str], None]
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Filled:
    """What was done for a space.

    written: photos it was given. unreadable: why it could not be given others, by content hash.
    problem: why nothing could be done; None where it could.
    """

    space: str
    written: int = 0
    unreadable: Mapping[str, str] = field(default_factory=dict)
    problem: str | None = None

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        return {
            "space": self.space,
            "written": self.written,
            "unreadable": len(self.unreadable),
            "problem": self.problem,
        }


def fill_due_spaces(settings: Settings, engine: Engine, media: MediaStore, say: Say) -> list[Filled]:
    """Fill every live space that lacks photos, the served one first; one that cannot be filled keeps none else from it.

    A space whose bottleneck cache somebody else is writing is left to them.
    """
    with transaction(engine) as session:
        due = outbox.due_spaces(session)
    return [_fill_or_tell(settings, engine, media, identifier, say) for identifier in due]


def fill_one_space(settings: Settings, engine: Engine, media: MediaStore, identifier: str, say: Say) -> Filled:
    """Keep a space complete from now on, and give it what it lacks.

    :raise SpaceNotFound: there is none of this identifier.
    :raise BackboneError: its network is not prepared here, or damaged.
    """
    with transaction(engine) as session:
        space_id = find_space(session, identifier)
    if space_id is None:
        raise SpaceNotFound(f"there is no space {identifier!r}; `spaces list` shows all")
    outbox.keep_complete(engine, space_id)
    return fill_space(settings, engine, media, load_space(identifier, settings.home, settings.runtime), say)


def _fill_or_tell(settings: Settings, engine: Engine, media: MediaStore, identifier: str, say: Say) -> Filled:
    if is_being_filled(settings.home, identifier):
        return Filled(identifier, problem="its bottlenecks are being filled by somebody else")
    try:
        return fill_space(settings, engine, media, load_space(identifier, settings.home, settings.runtime), say)
    except (BackboneError, TrainingError) as error:
        say(f"space {identifier}: {error}")
        with transaction(engine) as session:
            space_id = find_space(session, identifier)
            if space_id is not None:
                outbox.note_failure_of_all(session, space_id, str(error))
        return Filled(identifier, problem=str(error))


def fill_space(
    settings: Settings, engine: Engine, media: MediaStore, backbone: OpenVinoBackbone, say: Say = lambda line: None
) -> Filled:
    """Give the backbone's space what its outbox names, batch by batch; waits for others who fill its bottlenecks.

    Photos that cannot be read stay in the outbox, with the reason.
    :raise BackboneError, TrainingError: see ``fill_cache``.
    """
    with transaction(engine) as session:
        space_id = find_space(session, backbone.space)
    written, after = 0, 0
    unreadable: dict[str, str] = {}
    with open_cache(settings.home, backbone.space) as cache:
        while space_id is not None:
            with transaction(engine) as session:
                waiting = outbox.waiting_photos(session, space_id, after, BATCH)
            if not waiting:
                break
            after = waiting[-1].id
            failed = _computed(media, backbone, cache, waiting)
            unreadable |= failed
            written += _write(engine, space_id, backbone, cache, waiting, failed)
            say(f"space {backbone.space}: {written} photos added")
    return Filled(backbone.space, written, unreadable)


def _computed(
    media: MediaStore, backbone: OpenVinoBackbone, cache: BottleneckCache, waiting: Sequence[WaitingPhoto]
) -> Mapping[str, str]:
    """Have the cache hold the originals; returns why some could not be read, by content hash."""
    images = [
        CatalogueImage(photo.image_id, photo.product_id, photo.content_hash, photo.label, None, media)
        for photo in waiting
    ]
    report = fill_cache(cache, images, backbone, variants=(), seed=VARIANT_SEED, wait=True)
    return {failure.content_hash: failure.message for failure in report.failed}


def _write(
    engine: Engine,
    space_id: int,
    backbone: OpenVinoBackbone,
    cache: BottleneckCache,
    waiting: Sequence[WaitingPhoto],
    failed: Mapping[str, str],
) -> int:
    """Vectors, looks and outbox in one transaction; returns how many photos the space was given."""
    there = [photo for photo in waiting if photo.content_hash not in failed]
    vectors = cache.originals([photo.content_hash for photo in there])
    own: list[VectorRow] = []
    reviewed: list[VectorRow] = []
    for photo, vector in zip(there, vectors, strict=True):
        if photo.image_id is not None:
            own.append((photo.image_id, photo.product_id, photo.label, vector))
        elif photo.reviewed_id is not None:
            reviewed.append((photo.reviewed_id, photo.product_id, photo.label, vector))
    with transaction(engine) as session:
        # The space may have been dropped meanwhile: its partitions are then gone with its outbox.
        outbox.share_outbox(session)
        if find_space(session, backbone.space) != space_id:
            return 0
        written = put_vectors(session, space_id, own, backbone.projection.apply)
        written += put_reviewed_vectors(session, space_id, reviewed, backbone.projection.apply)
        refresh_looks(session, space_id, sorted({row[1] for row in own}))
        reasons = {photo.id: failed[photo.content_hash] for photo in waiting if photo.content_hash in failed}
        outbox.note_failures(session, reasons)
    return written


def published_when_complete(
    engine: Engine, space_id: int, publish: Callable[[Session], Result], fill: Callable[[], Filled], say: Say
) -> Result:
    """Run ``publish`` in a transaction of its own, after its space was given what it lacks where that is refused.

    From the first refusal on the space is kept complete: ``fill`` finds what it lacks, and so does every worker.

    :raise SpaceIncomplete: the space lacks photos that it cannot be given, or more and more come.
    """
    for _ in range(_ROUNDS):
        try:
            with transaction(engine) as session:
                return publish(session)
        except SpaceIncomplete:
            say("another space is served: adding the photos that came meanwhile")
            outbox.keep_complete(engine, space_id)  # what the refusal noted was rolled back with it
            if fill().unreadable:
                break
    with transaction(engine) as session:
        return publish(session)
