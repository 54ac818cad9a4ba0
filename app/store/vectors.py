"""Writing the k-NN memory: the vectors of reference and of reviewed photos, and the looks of a space."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import text
from sqlalchemy.orm import Session

from models.errors import UsageError
from models.values import BOTTLENECK_SIZE, PROJECTED_SIZE, Float32

Project = Callable[[Float32], Float32]
"""A space's fixed projection: float32 (n, 2048) -> float32 (n, 256)."""

VectorRow = tuple[int, int, str, Float32]
"""image id, product id, label, float32 (2048,) of unit length."""

BATCH = 500
"""Rows sent at a time: about 2.5 MB."""

_TABLES = ("reference_vectors", "reviewed_vectors")

_STAGE = """
CREATE TEMPORARY TABLE IF NOT EXISTS staged_vectors (
    image_id bigint, product_id bigint, label text,
    raw halfvec(2048), projected halfvec(256)
) ON COMMIT DROP
"""
# FOR KEY SHARE waits for whoever is deleting the photo or changing the label (``catalogue.locking``), and
# then sees what they did; it is in nobody else's way.
_INTO_REFERENCES = (
    "INSERT INTO reference_vectors (space_id, image_id, product_id, label, raw, projected) "
    "SELECT :space_id, images.id, products.id, products.label, staged.raw, staged.projected "
    "FROM staged_vectors AS staged JOIN images ON images.id = staged.image_id "
    "JOIN products ON products.id = images.product_id FOR KEY SHARE OF images, products "
    "ON CONFLICT (image_id, space_id) DO UPDATE SET product_id = excluded.product_id, "
    "label = excluded.label, raw = excluded.raw, projected = excluded.projected"
)
_INTO_REVIEWED = (
    "INSERT INTO reviewed_vectors (space_id, reviewed_id, product_id, label, raw, projected) "
    "SELECT :space_id, photos.id, products.id, products.label, staged.raw, staged.projected "
    "FROM staged_vectors AS staged JOIN reviewed_photos AS photos ON photos.id = staged.image_id "
    "JOIN products ON products.id = photos.product_id FOR KEY SHARE OF photos, products "
    "ON CONFLICT (reviewed_id, space_id) DO UPDATE SET product_id = excluded.product_id, "
    "label = excluded.label, raw = excluded.raw, projected = excluded.projected"
)
_NO_LONGER_LACKED = (
    "DELETE FROM space_outbox AS waiting USING staged_vectors AS staged "
    "WHERE waiting.space_id = :space_id AND waiting.{column} = staged.image_id"
)
_COPY = "COPY staged_vectors FROM STDIN (FORMAT binary)"
_COPY_HEADER = b"PGCOPY\n\xff\r\n\x00" + struct.pack(">ii", 0, 0)
_COPY_END = struct.pack(">h", -1)


def put_vectors(session: Session, space_id: int, rows: Iterable[VectorRow], project: Project) -> int:
    """Insert reference vectors, or replace those of the same images; visible with the session's transaction.

    rows: distinct images; a generator is read in batches. project: the space's projection.
    An image that has been deleted meanwhile is passed over, and the label written is the one that its product
    has now: computing vectors takes long, and the catalogue does not wait. What the space's outbox says of these
    photos (``app.store.outbox``) goes with the same transaction.
    Returns the number of rows written.

    :raise UsageError: a vector is not 2048 finite numbers.
    """
    done = _NO_LONGER_LACKED.format(column="image_id")
    return _put(session, space_id, rows, project, (_INTO_REFERENCES, done))


def put_reviewed_vectors(session: Session, space_id: int, rows: Iterable[VectorRow], project: Project) -> int:
    """``put_vectors`` for reviewed photos: each row begins with the reviewed photo's id instead of an image's."""
    done = _NO_LONGER_LACKED.format(column="reviewed_id")
    return _put(session, space_id, rows, project, (_INTO_REVIEWED, done))


def _put(
    session: Session, space_id: int, rows: Iterable[VectorRow], project: Project, statements: tuple[str, str]
) -> int:
    """statements: the one that writes, and the one that takes the photos out of the outbox."""
    write, done = statements
    remaining = iter(rows)
    written = 0
    while batch := list(islice(remaining, BATCH)):
        _stage(session, batch, project)
        written += int(session.execute(text(write), {"space_id": space_id}).rowcount)  # type: ignore[attr-defined]
        session.execute(text(done), {"space_id": space_id})
    return written


def _stage(session: Session, batch: Sequence[VectorRow], project: Project) -> None:
    """Send a batch to the server, into a table of this transaction's own."""
    raw = _stack([row[3] for row in batch])
    projected = np.asarray(project(raw), dtype=np.float32)
    if projected.shape != (len(batch), PROJECTED_SIZE):
        raise UsageError(f"the projection gave {projected.shape}, expected ({len(batch)}, {PROJECTED_SIZE})")
    session.execute(text(_STAGE))
    session.execute(text("TRUNCATE staged_vectors"))
    cursor = session.connection().connection.cursor()
    try:
        cursor.copy_expert(_COPY, io.BytesIO(b"".join(_copy_stream(batch, raw, projected))))
    finally:
        cursor.close()


def _stack(vectors: Sequence[Float32]) -> Float32:
    for vector in vectors:
        if np.shape(vector) != (BOTTLENECK_SIZE,):
            raise UsageError(f"a reference vector has shape {np.shape(vector)}, expected ({BOTTLENECK_SIZE},)")
    stacked = np.stack(vectors).astype(np.float32)
    if not np.isfinite(stacked).all():
        raise UsageError("a reference vector holds NaN or infinity: extract its photo again")
    return stacked


def _copy_stream(batch: Sequence[VectorRow], raw: Float32, projected: Float32) -> Iterator[bytes]:
    """PostgreSQL's binary COPY format; a halfvec is int16 dimensions, int16 zero, then big-endian halves."""
    yield _COPY_HEADER
    for (image_id, product_id, label, _), long, short in zip(batch, _halves(raw), _halves(projected), strict=True):
        name = label.encode()
        yield struct.pack(">hiqiqi", 5, 8, image_id, 8, product_id, len(name))
        yield name
        for half in (long, short):
            yield struct.pack(">ihh", 4 + half.nbytes, half.size, 0)
            yield half.tobytes()
    yield _COPY_END


def _halves(vectors: Float32) -> NDArray[Any]:
    return vectors.astype(">f2")


def relabel(session: Session, product_ids: Sequence[int]) -> int:
    """Copy these products' labels to their vectors in every space, after a group changed.

    Returns the number of vectors changed.
    """
    changed = 0
    for table in _TABLES:
        done = session.execute(
            text(
                f"UPDATE {table} SET label = products.label FROM products "  # noqa: S608 - a name of ours
                f"WHERE products.id = {table}.product_id AND products.id = ANY(:ids) "
                f"AND {table}.label <> products.label"
            ),
            {"ids": list(product_ids)},
        )
        changed += int(done.rowcount)  # type: ignore[attr-defined]
    return changed


def refresh_looks(session: Session, space_id: int, product_ids: Sequence[int]) -> None:
    """Recompute how products look: the mean of their photos' projections, scaled to unit length.

    Call it after their vectors changed. A product without a photo in the space loses its look.
    """
    parameters = {"space_id": space_id, "ids": list(product_ids)}
    session.execute(
        text(
            "INSERT INTO product_looks (space_id, product_id, look) "
            "SELECT space_id, product_id, l2_normalize(avg(projected)) FROM reference_vectors "
            "WHERE space_id = :space_id AND product_id = ANY(:ids) GROUP BY space_id, product_id "
            "ON CONFLICT (product_id, space_id) DO UPDATE SET look = excluded.look"
        ),
        parameters,
    )
    session.execute(
        text(
            "DELETE FROM product_looks AS looks WHERE space_id = :space_id AND product_id = ANY(:ids) "
            "AND NOT EXISTS (SELECT 1 FROM reference_vectors AS photos "
            "WHERE photos.space_id = :space_id AND photos.product_id = looks.product_id)"
        ),
        parameters,
    )


def known_labels(session: Session, space_id: int) -> frozenset[str]:
    """Every label that has a photo in the space.

    Walks the label indexes from one label to the next, so its cost grows with the labels, not the photos.
    """
    found: set[str] = set()
    for table in _TABLES:
        walk = text(
            "WITH RECURSIVE walk AS ("  # noqa: S608 - a name of ours
            f"(SELECT label FROM {table} WHERE space_id = :space_id ORDER BY label LIMIT 1) UNION ALL "
            f"SELECT (SELECT label FROM {table} WHERE space_id = :space_id AND label > walk.label "
            "ORDER BY label LIMIT 1) FROM walk WHERE walk.label IS NOT NULL"
            ") SELECT label FROM walk WHERE label IS NOT NULL"
        )
        found.update(session.scalars(walk, {"space_id": space_id}))
    return frozenset(found)
