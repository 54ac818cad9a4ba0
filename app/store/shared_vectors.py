"""Where products lie in the shared space of words and photos: written by training and by every change of a product,
searched in one statement.

Each version has a partition with an HNSW index of its own, so that a new one is filled beside the one that is
searched and takes over in the transaction that makes it live; the partition of the one before goes with it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ARRAY, BigInteger, any_, delete, func, literal, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from app.store.shared_tables import SharedSpaceRow, SharedVector
from app.store.spaces import HNSW_EF_CONSTRUCTION, HNSW_M, remove_shared, shared_table
from app.store.tables import Brand, Category, Product, ReferenceVector
from models.values import Float32

NEAREST = 200
"""Products taken from the index at first; where they make too few labels, all are compared."""

_LOCK = "SELECT pg_advisory_xact_lock(hashtext('pickture.shared'))"

_THROUGH_INDEX = """
SET LOCAL hnsw.ef_search = 200;
WITH near AS MATERIALIZED (
    SELECT product_id, 1 - (place <=> %(query)s::halfvec) AS likeness
    FROM shared_vectors WHERE shared_id = %(shared_id)s
    ORDER BY place <=> %(query)s::halfvec LIMIT %(count)s
), best AS (
    SELECT products.label, max(near.likeness) AS likeness
    FROM near JOIN products ON products.id = near.product_id
    GROUP BY products.label ORDER BY likeness DESC, products.label COLLATE "C" LIMIT %(k)s
)
SELECT label, likeness, (SELECT count(*) FROM near) FROM best ORDER BY likeness DESC, label COLLATE "C"
"""

_EXACTLY = """
SELECT products.label, max(1 - (shared_vectors.place <=> %(query)s::halfvec)) AS likeness
FROM shared_vectors JOIN products ON products.id = shared_vectors.product_id
WHERE shared_vectors.shared_id = %(shared_id)s AND (%(labels)s::text[] IS NULL OR products.label = ANY(%(labels)s))
GROUP BY products.label ORDER BY likeness DESC, products.label COLLATE "C" LIMIT %(k)s
"""


@dataclass(frozen=True, slots=True)
class LiveShared:
    """The version in service. space_id: of the bottlenecks it reads."""

    id: int
    version: str
    space_id: int
    manifest_sha256: str


@dataclass(frozen=True, slots=True)
class WordsRow:
    """What the catalogue says of a product in words. category: its path. image_ids: of its photos in the space."""

    product_id: int
    name: str | None
    brand: str | None
    type: str | None
    colour: str | None
    category: str | None
    image_ids: tuple[int, ...]


def live_shared(session: Session) -> LiveShared | None:
    """The version in service, or None where none has been trained."""
    row = session.scalar(select(SharedSpaceRow).where(SharedSpaceRow.state == "live"))
    return None if row is None else LiveShared(row.id, row.version, row.space_id, row.manifest_sha256)


def new_shared(session: Session, version: str, space_id: int, manifest_sha256: str, metrics: Mapping[str, Any]) -> int:
    """Record a version, not yet live, with an empty partition; returns its id."""
    row = SharedSpaceRow(
        version=version, space_id=space_id, state="filling", manifest_sha256=manifest_sha256, metrics=dict(metrics)
    )
    session.add(row)
    session.flush()
    table = shared_table(row.id)
    session.execute(text(f"CREATE TABLE {table} (LIKE shared_vectors INCLUDING ALL)"))
    session.execute(text(f"ALTER TABLE shared_vectors ATTACH PARTITION {table} FOR VALUES IN ({int(row.id)})"))
    session.execute(
        text(
            f"CREATE INDEX {table}_place ON {table} USING hnsw (place halfvec_cosine_ops) "
            f"WITH (m = {HNSW_M}, ef_construction = {HNSW_EF_CONSTRUCTION})"
        )
    )
    return row.id


def make_live(session: Session, shared_id: int) -> list[str]:
    """Put a filled version into service. The one before keeps its partition until the next one comes, for searches
    that began with it; older ones go. Returns the versions that went."""
    session.execute(text(_LOCK))
    gone = []
    for row in session.scalars(select(SharedSpaceRow).where(SharedSpaceRow.id != shared_id)).all():
        if row.state == "live":
            row.state = "retired"
        else:
            remove_shared(session, row)
            gone.append(row.version)
    session.flush()  # a partial unique index allows one live version at any moment
    session.execute(update(SharedSpaceRow).where(SharedSpaceRow.id == shared_id).values(state="live"))
    return gone


def remove_unfinished(session: Session) -> frozenset[str]:
    """Delete versions whose filling was cut off; returns the versions that stay."""
    rows = session.scalars(select(SharedSpaceRow)).all()
    for row in rows:
        if row.state == "filling":
            remove_shared(session, row)
    return frozenset(row.version for row in rows if row.state != "filling")


def count_places(session: Session, shared_id: int) -> int:
    """Products that lie in a version."""
    counted = select(func.count()).select_from(SharedVector).where(SharedVector.shared_id == shared_id)
    return session.scalar(counted) or 0


def words_of(session: Session, space_id: int, product_ids: Sequence[int]) -> list[WordsRow]:
    """What is known of products, ordered by id; those that have gone are left out."""
    ids = literal(list(product_ids), ARRAY(BigInteger))
    images: dict[int, list[int]] = {}
    listed = select(ReferenceVector.product_id, ReferenceVector.image_id).where(
        ReferenceVector.space_id == space_id,
        ReferenceVector.product_id == any_(ids),
    )
    for product_id, image_id in session.execute(listed.order_by(ReferenceVector.image_id)):
        images.setdefault(product_id, []).append(image_id)
    rows = session.execute(
        select(Product.id, Product.name, Brand.name.label("brand"), Product.type, Product.colour, Category.path)
        .outerjoin(Brand, Brand.id == Product.brand_id)
        .outerjoin(Category, Category.id == Product.category_id)
        .where(Product.id == any_(ids))
        .order_by(Product.id)
    )
    return [WordsRow(r.id, r.name, r.brand, r.type, r.colour, r.path, tuple(images.get(r.id, ()))) for r in rows]


def digests(session: Session, shared_id: int, product_ids: Sequence[int]) -> Mapping[int, str]:
    """What the products' places were made from; those without a place are left out."""
    rows = session.execute(
        select(SharedVector.product_id, SharedVector.digest).where(
            SharedVector.shared_id == shared_id,
            SharedVector.product_id == any_(literal(list(product_ids), ARRAY(BigInteger))),
        )
    )
    return {row.product_id: row.digest for row in rows}


def put_places(session: Session, shared_id: int, rows: Sequence[tuple[int, Float32, str]]) -> None:
    """Insert or replace (product id, place float32 (256,), digest); products that have gone are passed over."""
    there = set(_present(session, [row[0] for row in rows]))
    values = [
        {"shared_id": shared_id, "product_id": number, "place": place.tolist(), "digest": digest}
        for number, place, digest in rows
        if number in there
    ]
    if values:
        statement = insert(SharedVector)
        changes = {"place": statement.excluded.place, "digest": statement.excluded.digest}
        upsert = statement.on_conflict_do_update(index_elements=["product_id", "shared_id"], set_=changes)
        session.execute(upsert, values)


def drop_places(session: Session, shared_id: int, product_ids: Collection[int]) -> None:
    """Products that say nothing any more lie nowhere."""
    ids = literal(list(product_ids), ARRAY(BigInteger))
    session.execute(
        delete(SharedVector).where(SharedVector.shared_id == shared_id, SharedVector.product_id == any_(ids))
    )


def _present(session: Session, product_ids: Sequence[int]) -> Sequence[int]:
    """Those that are there, kept from being deleted until the transaction ends."""
    ids = literal(list(product_ids), ARRAY(BigInteger))
    statement = select(Product.id).where(Product.id == any_(ids)).order_by(Product.id)
    return session.scalars(statement.with_for_update(read=True, key_share=True)).all()


def nearest_labels(
    session: Session, shared_id: int, query: Float32, k: int, within: frozenset[str] | None = None
) -> list[tuple[str, float]]:
    """The ``k`` labels whose products lie nearest, (label, cosine), nearest first; equal ones by label.

    query: float32 (256,), unit length. within: only these labels; all of theirs are then compared exactly.
    """
    if within is not None and not within:
        return []
    given = {"shared_id": shared_id, "query": _literal(query), "k": k}
    connection = session.connection()
    if within is None:
        rows = connection.exec_driver_sql(_THROUGH_INDEX, {**given, "count": NEAREST}).all()
        if rows and (len(rows) >= k or rows[0][2] < NEAREST):
            return [(label, float(likeness)) for label, likeness, _ in rows]
    labels = None if within is None else sorted(within)
    found = connection.exec_driver_sql(_EXACTLY, {**given, "labels": labels})
    return [(label, float(likeness)) for label, likeness in found]


def _literal(vector: Float32) -> str:
    return "[" + ",".join(f"{value:.6g}" for value in vector.tolist()) + "]"
