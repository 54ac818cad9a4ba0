"""The k-NN memory in PostgreSQL: pgvector's side of the protocol ``models.values.Neighbours``.

It has two parts, the catalogue's photos and the reviewed ones of shoppers, in tables with an index each; the nearest
of both together count.

A query goes through two sieves. The HNSW indexes give the ``NEAREST`` photos by their 256 projected values;
these are ranked again by exact distance on the raw 2,048, and each label counts once, by its nearest photo.

Where that gives fewer labels than asked for (many photos of few labels), it looks four times as far, up to
``FARTHEST`` photos. Where that is not enough either, or the index runs out of photos before (a narrow filter,
a small memory), every photo that passes the filter is compared exactly. So fewer than ``k`` labels come back
only where no more exist. A memory of at most ``NEAREST`` photos is compared exactly from the second query on: the
index would have to give all of them.

Distances are Euclidean between the query at full precision and the stored vector at half precision
(relative rounding 2**-11), computed by PostgreSQL in float32.

psycopg2 writes the values into the statement, so that the planner sees the space (and reads its partition
alone), the labels, and the vector (and takes the index).
"""

from __future__ import annotations

import json
from contextlib import nullcontext
from typing import Any, NamedTuple

import numpy as np
from sqlalchemy import Connection, Engine

from app.store.vectors import Project, known_labels, put_reviewed_vectors, put_vectors, refresh_looks, relabel
from models.errors import UsageError
from models.values import BOTTLENECK_SIZE, TOP_K, Float32

__all__ = ["PgNeighbours", "known_labels", "put_reviewed_vectors", "put_vectors", "refresh_looks", "relabel"]

NEAREST = 200
"""Photos taken from the index at first (design: nearest 200 by projection)."""

WIDEN = 4
FARTHEST = NEAREST * WIDEN**2

_EXACTLY = """
SELECT label, min(raw::vector <-> %(query)s::vector) AS distance, sum(count(*)) OVER () AS photos
FROM (
    SELECT label, raw FROM reference_vectors
    WHERE space_id = %(space_id)s AND (%(labels)s::text[] IS NULL OR label = ANY(%(labels)s))
    UNION ALL
    SELECT label, raw FROM reviewed_vectors
    WHERE space_id = %(space_id)s AND (%(labels)s::text[] IS NULL OR label = ANY(%(labels)s))
    LIMIT %(most)s
) AS photos
GROUP BY label ORDER BY distance, label COLLATE "C" LIMIT %(k)s
"""

_THROUGH_INDEX = """
SET LOCAL hnsw.ef_search = 200;
SET LOCAL hnsw.iterative_scan = relaxed_order;
SET LOCAL hnsw.max_scan_tuples = 20000;
WITH near AS MATERIALIZED (
    SELECT label, raw
    FROM (
        (SELECT label, raw, projected <-> %(shadow)s::halfvec AS away
        FROM reference_vectors
        WHERE space_id = %(space_id)s AND (%(labels)s::text[] IS NULL OR label = ANY(%(labels)s))
        ORDER BY projected <-> %(shadow)s::halfvec LIMIT %(count)s)
        UNION ALL
        (SELECT label, raw, projected <-> %(shadow)s::halfvec
        FROM reviewed_vectors
        WHERE space_id = %(space_id)s AND (%(labels)s::text[] IS NULL OR label = ANY(%(labels)s))
        ORDER BY projected <-> %(shadow)s::halfvec LIMIT %(count)s)
    ) AS photos
    ORDER BY away LIMIT %(count)s
), best AS (
    SELECT label, min(raw::vector <-> %(query)s::vector) AS distance
    FROM near
    GROUP BY label ORDER BY distance, label COLLATE "C" LIMIT %(k)s
)
SELECT label, distance, (SELECT count(*) FROM near) FROM best ORDER BY distance, label COLLATE "C"
"""

_NEAREST_PHOTO = """
SELECT raw::vector::text FROM (
    SELECT raw FROM reference_vectors WHERE space_id = %(space_id)s AND label = %(label)s
    UNION ALL
    SELECT raw FROM reviewed_vectors WHERE space_id = %(space_id)s AND label = %(label)s
) AS photos
ORDER BY raw::vector <-> %(query)s::vector LIMIT 1
"""


class PgNeighbours:
    """The reference vectors of one space. Safe to share between threads when made from an engine.

    bind: an engine (a connection is borrowed a call), or a connection, to see what its transaction wrote.
    project: the space's projection. exact: compare every photo, without the index.
    """

    def __init__(self, bind: Engine | Connection, space_id: int, project: Project, *, exact: bool = False) -> None:
        self.bind = bind
        self.space_id = space_id
        self.project = project
        self.exact = exact
        self._is_small = False

    def nearest(
        self, vectors: Float32, k: int = TOP_K, within: frozenset[str] | None = None
    ) -> list[list[tuple[str, float]]]:
        """The ``k`` nearest distinct labels of each query; see ``models.values.Neighbours``.

        :raise UsageError: ``vectors`` is not (n, 2048) finite numbers, or ``k`` < 1.
        """
        queries = np.asarray(vectors, dtype=np.float32)
        if queries.ndim != 2 or queries.shape[1] != BOTTLENECK_SIZE or not np.isfinite(queries).all():
            raise UsageError(f"queries of shape {queries.shape}; expected (n, {BOTTLENECK_SIZE}), all finite")
        if k < 1:
            raise UsageError(f"k = {k}; expected at least 1")
        if len(queries) == 0 or (within is not None and not within):
            return [[] for _ in queries]
        shadows = None if self.exact else np.asarray(self.project(queries), dtype=np.float32)
        given = {"space_id": self.space_id, "k": k, "labels": None if within is None else sorted(within)}
        found = []
        with nullcontext(self.bind) if isinstance(self.bind, Connection) else self.bind.connect() as connection:
            for place, query in enumerate(queries):
                parameters = {**given, "query": _literal(query)}
                if shadows is None:
                    found.append(_exactly(connection, parameters).labels)
                    continue
                few = self._few(connection, parameters) if within is None else None
                if few is None:
                    few = self._nearest(connection, {**parameters, "shadow": _literal(shadows[place])})
                found.append(few)
        return found

    def nearest_photo(self, vector: Float32, label: str) -> Float32 | None:
        """See ``models.values.Neighbours.nearest_photo``; all of the label's photos are compared.

        :raise UsageError: ``vector`` is not (2048,) finite numbers.
        """
        query = np.asarray(vector, dtype=np.float32)
        if query.shape != (BOTTLENECK_SIZE,) or not np.isfinite(query).all():
            raise UsageError(f"a query of shape {query.shape}; expected ({BOTTLENECK_SIZE},), all finite")
        given = {"space_id": self.space_id, "label": label, "query": _literal(query)}
        with nullcontext(self.bind) if isinstance(self.bind, Connection) else self.bind.connect() as connection:
            found = connection.exec_driver_sql(_NEAREST_PHOTO, given).scalar()
        return None if found is None else np.array(json.loads(found), dtype=np.float32)

    def _few(self, connection: Connection, parameters: dict[str, Any]) -> list[tuple[str, float]] | None:
        """All photos compared, where the last query found few and there still are; else None."""
        if not self._is_small:
            return None
        found = _exactly(connection, parameters, NEAREST + 1)
        self._is_small = found.photos <= NEAREST
        return found.labels if self._is_small else None

    def _nearest(self, connection: Connection, parameters: dict[str, Any]) -> list[tuple[str, float]]:
        """Through the index, wider where needed, exactly where the index cannot tell."""
        labels, k = parameters["labels"], parameters["k"]
        enough = k if labels is None else min(k, len(labels))
        count = NEAREST
        while count <= FARTHEST:
            rows = connection.exec_driver_sql(_THROUGH_INDEX, {**parameters, "count": count}).all()
            seen = rows[0][2] if rows else 0
            if seen < count:
                break  # the indexes had no more to give
            if len(rows) >= enough:
                return [(label, distance) for label, distance, _ in rows]
            count *= WIDEN
        found = _exactly(connection, parameters)
        if labels is None:
            self._is_small = found.photos <= NEAREST
        return found.labels


class _Compared(NamedTuple):
    """photos: that were compared."""

    labels: list[tuple[str, float]]
    photos: int


def _exactly(connection: Connection, parameters: dict[str, Any], most: int | None = None) -> _Compared:
    """most: photos to compare, whichever they are; None for all."""
    rows = connection.exec_driver_sql(_EXACTLY, {**parameters, "most": most}).all()
    return _Compared([(label, distance) for label, distance, _ in rows], int(rows[0][2]) if rows else 0)


def _literal(vector: Float32) -> str:
    """The vector as pgvector reads it; nine significant digits give float32 exactly."""
    # One format for all of them is quicker than one a value.
    return "[" + ",".join(["%.9g"] * vector.size) % tuple(vector.tolist()) + "]"
