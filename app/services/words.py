"""The shared space in service: which version, loaded, and kept up to the products as they change."""

from __future__ import annotations

import hashlib
import logging
import threading
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from app.errors import TextNotTrained
from app.store import shared_vectors
from app.store.database import transaction
from app.store.shared_vectors import LiveShared, WordsRow
from app.store.tables import Product, ReferenceVector
from models.errors import BundleDamaged, PicktureError
from models.multimodal.shared import SHARED_SIZE, ProductWords
from models.multimodal.shared_bundle import SharedBundle
from models.values import Float32

log = logging.getLogger(__name__)

CHECK_INTERVAL_S = 1.0
"""How old the knowledge of which version is live may get."""

RETRY_S = 30.0
"""How long a version that could not be loaded is left alone."""

FOLDER = "shared"
"""Under the state folder: a folder a version."""


_PLACED_AT_A_TIME = 1000


@dataclass(frozen=True, slots=True, eq=False)
class ServedWords:
    """A version in service. id: its number in the database. space_id: of the bottlenecks that it reads."""

    id: int
    space_id: int
    bundle: SharedBundle


class SharedInService:
    """Keeps the live version loaded and notices another within about a second. Any thread may call.

    folder: where versions lie, ``HOME/shared``. Construction asks nothing.
    """

    def __init__(self, engine: Engine, folder: Path, interval_s: float = CHECK_INTERVAL_S) -> None:
        self._engine = engine
        self._folder = folder
        self._interval_s = interval_s
        self._busy = threading.Lock()
        self._served: ServedWords | None = None
        self._refused: tuple[str, PicktureError, float] | None = None
        self._checked_at = float("-inf")

    def current(self) -> ServedWords:
        """The version to answer with.

        :raise TextNotTrained: there is none. :raise BundleError: its files are missing or damaged.
        """
        with self._busy:
            if time.monotonic() - self._checked_at >= self._interval_s:
                self._refresh()
            if self._served is not None:
                return self._served
            if self._refused is not None:
                raise self._refused[1]
        raise TextNotTrained(
            "searching by words has not been trained here: an administrator runs `python -m app text train`"
        )

    def now(self) -> ServedWords | None:
        """The version in service, or None where there is none, for whatever reason; ``current`` tells it."""
        try:
            return self.current()
        except PicktureError:
            return None

    def _refresh(self) -> None:
        with transaction(self._engine) as session:
            live = shared_vectors.live_shared(session)
        self._checked_at = time.monotonic()
        if live is None:
            self._served = self._refused = None
            return
        if self._served is not None and self._served.bundle.version == live.version:
            return
        refused = self._refused
        if refused is not None and refused[0] == live.version and time.monotonic() - refused[2] < RETRY_S:
            return
        try:
            self._served = self._load(live)
        except PicktureError as error:
            log.error("the shared space %s cannot be served: %s", live.version, error)
            self._refused = (live.version, error, time.monotonic())
        else:
            self._refused = None
            log.info("serving the shared space %s", live.version)

    def _load(self, live: LiveShared) -> ServedWords:
        bundle = SharedBundle.load(self._folder / live.version)
        if bundle.manifest_sha256 != live.manifest_sha256:
            raise BundleDamaged(
                f"the manifest of shared space {live.version} is not the one that was recorded; restore it, or run "
                "`python -m app text train` again"
            )
        return ServedWords(live.id, live.space_id, bundle)


def refresh_places(session: Session, served: ServedWords | None, product_ids: Collection[int]) -> int:
    """Bring the places of products up to what is known of them now; returns how many were computed.

    In the transaction that changed them, so that a search sees both or neither. Nothing happens where no version is
    in service (``served`` is None).
    """
    if served is None or not product_ids:
        return 0
    rows = shared_vectors.words_of(session, served.space_id, sorted(product_ids))
    known = shared_vectors.digests(session, served.id, sorted(product_ids))
    stale = [row for row in rows if known.get(row.product_id) != digest_of(row)]
    if not stale:
        return 0
    places = placed(session, served, stale)
    said = np.asarray(places.any(axis=1), dtype=bool)
    shared_vectors.put_places(
        session,
        served.id,
        [(row.product_id, place, digest_of(row)) for row, place, says in zip(stale, places, said, strict=True) if says],
    )
    silent = [row.product_id for row, says in zip(stale, said, strict=True) if not says]
    if silent:
        shared_vectors.drop_places(session, served.id, silent)
    return len(stale)


def refresh_all_places(engine: Engine, served: ServedWords | None) -> int:
    """``refresh_places`` of the whole catalogue, a thousand at a time: after an import, or new bottlenecks."""
    if served is None:
        return 0
    with transaction(engine) as session:
        numbers = session.scalars(select(Product.id).order_by(Product.id)).all()
    done = 0
    for start in range(0, len(numbers), _PLACED_AT_A_TIME):
        with transaction(engine) as session:
            done += refresh_places(session, served, numbers[start : start + _PLACED_AT_A_TIME])
    return done


def placed(session: Session, served: ServedWords, rows: Sequence[WordsRow]) -> Float32:
    """Where products lie: float32 (n, 256), zeros where nothing is known of one."""
    shared = served.bundle.shared
    looks = np.zeros((len(rows), SHARED_SIZE), np.float32)
    photos = photos_of(session, served.space_id, rows)
    for place, row in enumerate(rows):
        if row.product_id in photos:
            looks[place] = shared.look(photos[row.product_id])
    return shared.place([words_of(row).text() for row in rows], looks)


def photos_of(session: Session, space_id: int, rows: Sequence[WordsRow]) -> Mapping[int, Float32]:
    """Product id -> float32 (m, 2048), the bottlenecks of its photos; products without one are left out."""
    wanted = [number for row in rows for number in row.image_ids]
    found: dict[int, list[Float32]] = {}
    listed = session.execute(
        select(ReferenceVector.product_id, ReferenceVector.raw)
        .where(ReferenceVector.space_id == space_id, ReferenceVector.image_id.in_(wanted))
        .order_by(ReferenceVector.image_id)
    )
    for product_id, raw in listed:
        found.setdefault(product_id, []).append(np.asarray(raw, dtype=np.float32))
    return {product_id: np.stack(vectors) for product_id, vectors in found.items()}


def words_of(row: WordsRow) -> ProductWords:
    """As the encoders read it."""
    return ProductWords(row.name, row.brand, row.type, row.colour, row.category)


def digest_of(row: WordsRow) -> str:
    """32 hex digits that change with anything a place is made of."""
    told = "\x1f".join([words_of(row).text(), *map(str, row.image_ids)])
    return hashlib.sha256(told.encode()).hexdigest()[:32]
