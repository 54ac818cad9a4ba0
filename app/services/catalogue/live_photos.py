"""Photos of single products, added and removed by an administrator: k-NN knows them when the answer comes.

The serving process computes the bottlenecks itself, with the network that it searches with and in the same turns.
Photo, row, reference vector and look of a product become visible with one commit, to every process.

The bottleneck cache under ``HOME/bottlenecks`` is left to the jobs: it has one writer at a time, which may be busy for
hours, and it wants the eight variants as well. The next ``python -m app bottlenecks`` computes original and variants of
what came in here, and finds the reference vector in place.

What other live spaces then lack (``app.store.outbox``) is noted in the same transaction; it needs networks that this
process does not have. Where another space has taken over since this process last looked, its model is loaded first.

Photos go to the media store before the rows. When the rows then fail, these files stay, as after an import: named by
content, they are in nobody's way, and the next attempt uses them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Engine, delete, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from app.errors import FieldProblem, MediaNotFound, ProductNotFound, RequestInvalid
from app.services.catalogue.derived import colour_of, refresh_derived
from app.services.catalogue.locking import own_product
from app.services.catalogue.records import CatalogueRecord, find_record
from app.services.serving import Served, ServedModel
from app.services.words import SharedInService, refresh_places
from app.store.database import transaction
from app.store.history import lock_photo
from app.store.media import MediaStore, PreparedImage, new_token, prepare_image
from app.store.outbox import champion_space, record_photos
from app.store.tables import Image, Product, ReferenceVector, Space
from app.store.text import clean
from app.store.vectors import put_vectors, refresh_looks
from models.errors import PhotoError
from models.values import Float32, Photo

FIELD = "photo"
_NAME_CHARACTERS = 255


@dataclass(frozen=True, slots=True)
class Upload:
    """A photo as it came. name: what its file was called, for people."""

    name: str
    data: bytes


@dataclass(frozen=True, slots=True, eq=False)
class AddedPhotos:
    """What came of adding photos. added: content hashes that the product did not have before."""

    record: CatalogueRecord
    added: frozenset[str]


@dataclass(frozen=True, slots=True, eq=False)
class _Incoming:
    """A photo decoded twice: for the store, and for the network."""

    name: str
    prepared: PreparedImage
    photo: Photo

    @property
    def content_hash(self) -> str:
        return self.prepared.stored.content_hash


class _AnotherSpace(Exception):
    """What was computed belongs to a space that is no longer served."""


class PhotoEditor:
    """Adds and removes photos of single products. Any thread may call; the network lets them through in turns."""

    def __init__(
        self, engine: Engine, media: MediaStore, model: ServedModel, words: SharedInService | None = None
    ) -> None:
        self._engine = engine
        self._words = words
        self._media = media
        self._model = model

    def add(self, sku: str, uploads: Sequence[Upload]) -> AddedPhotos:
        """Store photos of a product, and remember what they look like; all of them or none.

        A photo that the product has already is kept once. Where no model has been published, the photos are stored
        and not yet recognisable.

        :raise ProductNotFound: no product has this sku.
        :raise RequestInvalid: a photo cannot be used; ``problems`` lists each.
        :raise BundleError, BackboneError, NotReady: a model is published and cannot be used now.
        """
        with transaction(self._engine) as session:
            _require(session.scalar(select(Product.id).where(Product.sku == sku)), sku)
        incoming = self._decode(uploads)
        try:
            return self._store(sku, incoming, self._model.serving(), only_if_served=True)
        except _AnotherSpace:
            # A process that cannot load the new model goes on with the one it has; the outbox tells the workers.
            return self._store(sku, incoming, self._model.renewed(), only_if_served=False)

    def _store(
        self, sku: str, incoming: Mapping[str, _Incoming], served: Served | None, *, only_if_served: bool
    ) -> AddedPhotos:
        """Write the rows, and the vectors that ``served`` makes.

        :raise _AnotherSpace: with ``only_if_served``, where another space than that of ``served`` is served by now.
        """
        vectors = {} if served is None else self._look(sku, incoming, served)
        words = None if self._words is None else self._words.now()
        for photo in incoming.values():
            self._media.write(photo.prepared)
        with transaction(self._engine) as session:
            product_id = _require(own_product(session, sku), sku)
            self._keep_files(session, incoming)
            added = _add_rows(session, product_id, incoming)
            record_photos(session, [product_id])
            # No promotion comes between this look and the commit: the record holds it off.
            if only_if_served and served is not None and champion_space(session) not in (None, served.memory.space_id):
                raise _AnotherSpace
            if served is not None:
                # What someone removed since we looked is new again.
                vectors |= {name: _bottleneck(served, incoming[name]) for name in added - vectors.keys()}
                _remember(session, product_id, vectors, served)
                refresh_places(session, words, [product_id])
            if added or vectors:
                fresh = {photo.content_hash: colour_of(photo.prepared) for photo in incoming.values()}
                refresh_derived(session, self._media, product_id, served, fresh)
            record = find_record(session, sku, served)
        assert record is not None, "its row is locked"
        return AddedPhotos(record, added)

    def _keep_files(self, session: Session, incoming: Mapping[str, _Incoming]) -> None:
        """Have the files there, and keep them from going, until the rows that need them are committed.

        A shopper's kept photo may have had the very same bytes, found in place before, and been forgotten since.
        """
        for content_hash in sorted(incoming):
            lock_photo(session, content_hash)
            self._media.write(incoming[content_hash].prepared)

    def remove(self, sku: str, content_hash: str) -> None:
        """Remove a photo of a product, from every model's memory too; the media store keeps the file.

        :raise ProductNotFound: no product has this sku. :raise MediaNotFound: it has no such photo.
        """
        served = self._model.now()
        words = None if self._words is None else self._words.now()
        with transaction(self._engine) as session:
            product_id = _require(own_product(session, sku), sku)
            gone = session.scalar(
                delete(Image)
                .where(Image.product_id == product_id, Image.content_hash == content_hash)
                .returning(Image.id)
            )
            if gone is None:
                raise MediaNotFound(f"product {sku!r} has no photo {content_hash}")
            for space_id in session.scalars(select(Space.id)).all():
                refresh_looks(session, space_id, [product_id])
            refresh_places(session, words, [product_id])
            refresh_derived(session, self._media, product_id, served)
            _touch(session, product_id)

    def _decode(self, uploads: Sequence[Upload]) -> Mapping[str, _Incoming]:
        """Distinct photos by content hash, in the order they came."""
        found: dict[str, _Incoming] = {}
        problems = []
        for place, upload in enumerate(uploads):
            try:
                prepared = prepare_image(upload.data, self._media.limits, self._media.decoder)
                photo = self._media.decoder.read_photo(upload.data, self._media.limits, with_advice=False)
            except PhotoError as error:
                problems.append(FieldProblem(f"{FIELD}.{place}", f"{error} [{error.code}]", _shown(upload.name)))
            else:
                incoming = _Incoming(_shown(upload.name), prepared, photo)
                found.setdefault(incoming.content_hash, incoming)
        if problems:
            raise RequestInvalid("; ".join(f"{p.field} ({p.value}): {p.reason}" for p in problems), problems)
        return found

    def _look(self, sku: str, incoming: Mapping[str, _Incoming], served: Served) -> dict[str, Float32]:
        """Bottlenecks by content hash of the photos that the served model's memory does not hold for the product."""
        with transaction(self._engine) as session:
            remembered = set(
                session.scalars(
                    select(Image.content_hash)
                    .join(Product, Product.id == Image.product_id)
                    .join(ReferenceVector, ReferenceVector.image_id == Image.id)
                    .where(Product.sku == sku, ReferenceVector.space_id == served.memory.space_id)
                )
            )
        return {
            content_hash: _bottleneck(served, photo)
            for content_hash, photo in incoming.items()
            if content_hash not in remembered
        }


def _bottleneck(served: Served, photo: _Incoming) -> Float32:
    return served.recognizer.features(photo.photo).vector


def _add_rows(session: Session, product_id: int, incoming: Mapping[str, _Incoming]) -> frozenset[str]:
    """Image rows for what the product does not have yet; returns their content hashes."""
    hashes = select(Image.content_hash).where(Image.product_id == product_id)
    there = set(session.scalars(hashes))
    last = session.scalar(select(func.max(Image.position)).where(Image.product_id == product_id))
    first = 0 if last is None else last + 1
    new = [photo for content_hash, photo in incoming.items() if content_hash not in there]
    rows = [_image_row(product_id, first + place, photo) for place, photo in enumerate(new)]
    if rows:
        session.execute(insert(Image), rows)
        _touch(session, product_id)
    return frozenset(photo.content_hash for photo in new)


def _image_row(product_id: int, position: int, photo: _Incoming) -> dict[str, object]:
    stored = photo.prepared.stored
    return {
        "product_id": product_id,
        "content_hash": stored.content_hash,
        "token": new_token(),
        "position": position,
        "source_name": photo.name,
        "format": stored.format,
        "width": stored.width,
        "height": stored.height,
        "size_bytes": stored.size_bytes,
    }


def _remember(session: Session, product_id: int, vectors: Mapping[str, Float32], served: Served) -> None:
    """Reference vectors of the product's photos, and how it looks with them."""
    label = session.scalars(select(Product.label).where(Product.id == product_id)).one()
    images = session.execute(
        select(Image.content_hash, Image.id).where(
            Image.product_id == product_id, Image.content_hash.in_(list(vectors))
        )
    )
    rows = [(image_id, product_id, label, vectors[content_hash]) for content_hash, image_id in images]
    if rows:
        put_vectors(session, served.memory.space_id, rows, served.memory.project)
        refresh_looks(session, served.memory.space_id, [product_id])


def _touch(session: Session, product_id: int) -> None:
    session.execute(update(Product).where(Product.id == product_id).values(updated_at=func.now()))


def _require(product_id: int | None, sku: str) -> int:
    if product_id is None:
        raise ProductNotFound(f"no product has the sku {sku!r}; create it with PUT /v1/admin/products/{{sku}} first")
    return product_id


def _shown(name: str) -> str:
    """A file name as people may see it: one line, without the folders some browsers send along."""
    return clean("".join(c for c in name.replace("\\", "/").rsplit("/", 1)[-1] if c.isprintable()))[:_NAME_CHARACTERS]
