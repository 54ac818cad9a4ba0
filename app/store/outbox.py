"""The outbox: which photos of the catalogue the live spaces still lack.

A space is *live* when the champion or the version that a rollback would serve belongs to it, or when it is being
prepared for one. Whoever brings photos records here, in the same transaction, what each live space lacks then; whoever
writes a vector takes its record away (``app.store.vectors``). What is deleted reaches every space at once (foreign
keys).

Those who record share a lock, those who change which spaces are live hold it alone: so a space that becomes live, and a
promotion into another space, miss no photo that is being added at that moment.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import Engine, delete, func, select, text, update
from sqlalchemy.orm import Session

from app.errors import SpaceIncomplete, SpaceMismatch
from app.store.database import transaction
from app.store.outbox_table import OutboxPhoto
from app.store.review_tables import ReviewedPhoto
from app.store.tables import Bundle, Image, Product, Space

RETRY_AFTER = timedelta(hours=1)
"""How long a photo whose vector could not be computed is left alone by workers."""

_SHARED = "SELECT pg_advisory_xact_lock_shared(hashtext('pickture.outbox'))"
_ALONE = "SELECT pg_advisory_xact_lock(hashtext('pickture.outbox'))"

_KEPT = """
SELECT version, space_id FROM bundles WHERE state = 'champion' OR version = (
    SELECT replaced FROM promotions WHERE undone_at IS NULL ORDER BY id DESC LIMIT 1)
"""
_LIVE = (
    "SELECT id FROM spaces WHERE dropped_at IS NULL "  # noqa: S608 - constants of ours
    f"AND (preparing OR id IN (SELECT space_id FROM ({_KEPT}) AS kept))"
)
# FOR KEY SHARE keeps the photo from being deleted before its record is in place. A photo that somebody is deleting at
# this moment is passed over: it needs no record, and waiting for it with others locked may be waiting in a circle.
_RECORD = """
INSERT INTO space_outbox (space_id, {column})
SELECT spaces.id, photos.id FROM {photos} AS photos CROSS JOIN spaces
WHERE {chosen} AND NOT EXISTS (
    SELECT 1 FROM {vectors} AS vectors WHERE vectors.{column} = photos.id AND vectors.space_id = spaces.id)
FOR KEY SHARE OF photos {busy}
ON CONFLICT DO NOTHING
"""
_SKIP = "SKIP LOCKED"
_WAIT = ""
_IMAGES = {"column": "image_id", "photos": "images", "vectors": "reference_vectors"}
_REVIEWED = {"column": "reviewed_id", "photos": "reviewed_photos", "vectors": "reviewed_vectors"}
_STALE = """
DELETE FROM space_outbox AS waiting WHERE waiting.space_id = :space_id AND (
    EXISTS (SELECT 1 FROM reference_vectors AS vectors
            WHERE vectors.image_id = waiting.image_id AND vectors.space_id = waiting.space_id)
    OR EXISTS (SELECT 1 FROM reviewed_vectors AS vectors
               WHERE vectors.reviewed_id = waiting.reviewed_id AND vectors.space_id = waiting.space_id))
"""


@dataclass(frozen=True, slots=True)
class Lacking:
    """How many photos a space lacks. unreadable: those of them whose vectors could not be computed so far."""

    photos: int = 0
    unreadable: int = 0


@dataclass(frozen=True, slots=True)
class WaitingPhoto:
    """A photo that waits. id: of its record. One of image_id and reviewed_id is None."""

    id: int
    image_id: int | None
    reviewed_id: int | None
    product_id: int
    label: str
    content_hash: str


def live_spaces(session: Session) -> frozenset[int]:
    """The spaces that are kept complete."""
    return frozenset(session.scalars(text(_LIVE)))


def kept_versions(session: Session) -> frozenset[str]:
    """The champion, and the version that a rollback would serve."""
    return frozenset(session.scalars(text(_KEPT)))


def kept_spaces(session: Session) -> frozenset[int]:
    """The spaces of these two."""
    return frozenset(space_id for _, space_id in session.execute(text(_KEPT)))


def champion_space(session: Session) -> int | None:
    """The space that is served; None where nothing is."""
    return session.scalar(select(Bundle.space_id).where(Bundle.state == "champion"))


def record_photos(session: Session, product_ids: Sequence[int]) -> None:
    """Note which photos of these products each live space lacks. Call it after the photos' rows are in place."""
    share_outbox(session)
    chosen = f"photos.product_id = ANY(:ids) AND spaces.id IN ({_LIVE})"
    session.execute(text(_RECORD.format(chosen=chosen, busy=_SKIP, **_IMAGES)), {"ids": list(product_ids)})


def record_reviewed(session: Session, reviewed_id: int) -> None:
    """Note which live spaces lack a reviewed photo."""
    share_outbox(session)
    chosen = f"photos.id = :id AND spaces.id IN ({_LIVE})"
    session.execute(text(_RECORD.format(chosen=chosen, busy=_SKIP, **_REVIEWED)), {"id": reviewed_id})


def share_outbox(session: Session) -> None:
    """Be among those who add photos, until the transaction ends: before the first row that is changed for it, where
    anything but rows of photos is changed.
    """
    session.execute(text(_SHARED))


def own_outbox(session: Session) -> None:
    """Wait for those who are adding photos, and keep others from it until the transaction ends."""
    session.execute(text(_ALONE))


def keep_complete(engine: Engine, space_id: int) -> None:
    """Have the space made ready for a promotion: it is live from now on, and everything that it lacks is noted.

    Adding photos waits for the first transaction alone, which is over at once. The last is for photos that somebody was
    deleting during the second, and has perhaps not deleted; there are hardly any, so it may wait.
    """
    with transaction(engine) as session:
        own_outbox(session)
        if space_id not in live_spaces(session):
            session.execute(update(Space).where(Space.id == space_id).values(preparing=True))
    for busy in (_SKIP, _WAIT):
        with transaction(engine) as session:
            note_lacking(session, space_id, busy)


def note_lacking(session: Session, space_id: int, busy: str = _SKIP) -> None:
    """Note every photo of the catalogue that the space lacks; take away notes of photos that it has.

    busy: what to do about photos that somebody else is deleting, ``_SKIP`` or ``_WAIT``.
    """
    session.execute(text(_STALE), {"space_id": space_id})
    for photos in (_IMAGES, _REVIEWED):
        statement = _RECORD.format(chosen="spaces.id = :space_id", busy=busy, **photos)
        session.execute(text(statement), {"space_id": space_id})


def lacking(session: Session) -> Mapping[int, Lacking]:
    """How much each live space lacks, by the space's id; spaces that lack nothing are left out."""
    rows = session.execute(
        select(OutboxPhoto.space_id, func.count(), func.count(OutboxPhoto.error))
        .where(OutboxPhoto.space_id.in_(list(live_spaces(session))))
        .group_by(OutboxPhoto.space_id)
    )
    return {space_id: Lacking(photos, unreadable) for space_id, photos, unreadable in rows}


def require_complete(session: Session, version: str, space_id: int) -> None:
    """Refuse to promote ``version`` where its space lacks photos. The caller has called ``own_outbox``.

    :raise SpaceIncomplete: it does; how many, and what fills it.
    :raise SpaceMismatch: it has been dropped.
    """
    space = session.get_one(Space, space_id, populate_existing=True)
    if space.dropped_at is not None:
        raise SpaceMismatch(
            f"space {space.identifier} of model {version} was dropped: set PICKTURE_WEIGHTS to its weights "
            f"({space.description.get('weights')}), run `python -m app bottlenecks`, and promote again"
        )
    if space_id in live_spaces(session):
        session.execute(text(_STALE), {"space_id": space_id})
    else:
        note_lacking(session, space_id)
    found = lacking_in(session, space_id)
    if found.photos:
        unreadable = f" ({found.unreadable} of them cannot be read: {_EXPLAINED})" if found.unreadable else ""
        raise SpaceIncomplete(
            f"space {space.identifier} of model {version} lacks {found.photos} photos of the catalogue{unreadable}; "
            f"a worker adds them (a job of the kind `outbox`), or `python -m app spaces fill {space.identifier}`: "
            "promote again then"
        )


_EXPLAINED = "`python -m app spaces list` names them; restore the image store, or delete them"


def lacking_in(session: Session, space_id: int) -> Lacking:
    """How much one space lacks, as far as it is noted."""
    photos, unreadable = session.execute(
        select(func.count(), func.count(OutboxPhoto.error)).where(OutboxPhoto.space_id == space_id)
    ).one()
    return Lacking(photos, unreadable)


def due_spaces(session: Session, *, kept_only: bool = False) -> list[str]:
    """Live spaces with photos that wait for a worker, the served one first, by identifier.

    kept_only: the served one and that of a rollback, without those that are being prepared.
    """
    served = champion_space(session)
    due = (
        select(OutboxPhoto.id)
        .where(
            OutboxPhoto.space_id == Space.id,
            OutboxPhoto.error.is_(None) | (OutboxPhoto.tried_at < func.now() - RETRY_AFTER),
            *_drainable(served),
        )
        .exists()
    )
    among = kept_spaces(session) if kept_only else live_spaces(session)
    found = session.execute(
        select(Space.id, Space.identifier).where(Space.id.in_(list(among)), due).order_by(Space.id)
    ).all()
    return [identifier for space_id, identifier in sorted(found, key=lambda row: row[0] != served)]


def waiting_photos(session: Session, space_id: int, after: int, limit: int) -> list[WaitingPhoto]:
    """The next photos that wait for a vector in the space, by the id of their record."""
    photo = func.coalesce(Image.product_id, ReviewedPhoto.product_id)
    rows = session.execute(
        select(
            OutboxPhoto.id,
            OutboxPhoto.image_id,
            OutboxPhoto.reviewed_id,
            Product.id,
            Product.label,
            func.coalesce(Image.content_hash, ReviewedPhoto.content_hash),
        )
        .outerjoin(Image, Image.id == OutboxPhoto.image_id)
        .outerjoin(ReviewedPhoto, ReviewedPhoto.id == OutboxPhoto.reviewed_id)
        .join(Product, Product.id == photo)
        .where(OutboxPhoto.space_id == space_id, OutboxPhoto.id > after, *_drainable(champion_space(session)))
        .order_by(OutboxPhoto.id)
        .limit(limit)
    )
    return [WaitingPhoto(*row) for row in rows]


def _drainable(served: int | None) -> list[Any]:
    """Reviewed photos enter the served space with the bottlenecks of the next training, and not before."""
    return [] if served is None else [(OutboxPhoto.space_id != served) | OutboxPhoto.reviewed_id.is_(None)]


def note_failures(session: Session, reasons: Mapping[int, str]) -> None:
    """Note why vectors could not be computed. reasons: by the id of the record."""
    for record, reason in reasons.items():
        session.execute(update(OutboxPhoto).where(OutboxPhoto.id == record).values(tried_at=func.now(), error=reason))


def note_failure_of_all(session: Session, space_id: int, reason: str) -> None:
    """Note why nothing can be computed in the space at present."""
    session.execute(
        update(OutboxPhoto).where(OutboxPhoto.space_id == space_id).values(tried_at=func.now(), error=reason)
    )


def unreadable_photos(session: Session, space_id: int, limit: int) -> list[tuple[str, str, str]]:
    """sku, content hash and reason of photos whose vectors could not be computed, the oldest first."""
    photo = func.coalesce(Image.product_id, ReviewedPhoto.product_id)
    rows = session.execute(
        select(Product.sku, func.coalesce(Image.content_hash, ReviewedPhoto.content_hash), OutboxPhoto.error)
        .outerjoin(Image, Image.id == OutboxPhoto.image_id)
        .outerjoin(ReviewedPhoto, ReviewedPhoto.id == OutboxPhoto.reviewed_id)
        .join(Product, Product.id == photo)
        .where(OutboxPhoto.space_id == space_id, OutboxPhoto.error.is_not(None))
        .order_by(OutboxPhoto.id)
        .limit(limit)
    )
    return [(sku, content_hash, error or "") for sku, content_hash, error in rows]


def forget_space(session: Session, space_id: int) -> None:
    """Take all notes of a space away."""
    session.execute(delete(OutboxPhoto).where(OutboxPhoto.space_id == space_id))
