"""What a product's photos say of it, kept apart from what the catalogue says: its colour, and its type."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from io import BytesIO
from typing import Any

import numpy as np
from PIL import Image as Picture
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from app.errors import MediaNotFound
from app.services.catalogue.planning import colour_prediction
from app.services.serving import Served
from app.store.media import MediaStore, PreparedImage
from app.store.tables import Image, Product, ReferenceVector
from app.store.text import key
from models.attributes import ColourReading, combine_colours, measure_colour

log = logging.getLogger(__name__)


def refresh_derived(
    session: Session,
    media: MediaStore,
    product_id: int,
    served: Served | None,
    fresh: Mapping[str, ColourReading] | None = None,
) -> None:
    """Bring recognised colour and type up to the product's photos as they are in this transaction.

    fresh: colours of photos that have just been decoded, by content hash. The type follows the served model's
    opinion of the photos in its memory, and is left alone where no model is served.
    """
    product = session.get_one(Product, product_id, populate_existing=True)
    hashes = session.scalars(select(Image.content_hash).where(Image.product_id == product_id)).all()
    known = fresh or {}
    readings = [known.get(content_hash) or _measured(media, content_hash) for content_hash in hashes]
    values = _colour([reading for reading in readings if reading is not None], product.colour is not None)
    if served is not None:
        values |= _type(session, product, served)
    session.execute(update(Product).where(Product.id == product_id).values(**values))


def colour_of(prepared: PreparedImage) -> ColourReading:
    """The colour of a photo that has just been decoded."""
    return measure_colour(np.asarray(prepared.preview, dtype=np.uint8))


def _measured(media: MediaStore, content_hash: str) -> ColourReading | None:
    """From the stored thumbnail, which is of the size that an import measures at; None where it is lost or damaged.

    What is lost says nothing of the colour, and must not keep anybody from deleting it or changing the product.
    """
    try:
        with Picture.open(BytesIO(media.open(content_hash, "800")), formats=("WEBP",)) as picture:
            return measure_colour(np.asarray(picture.convert("RGB"), dtype=np.uint8))
    except (MediaNotFound, OSError) as error:
        log.warning("photo %s is left out of its product's colour: %s", content_hash, error)
        return None


def _colour(readings: Sequence[ColourReading], is_given: bool) -> dict[str, Any]:
    if not readings:
        return {"lab": None} | colour_prediction(None, None)
    colour = combine_colours(readings)
    predicted = colour_prediction(None, None) if is_given else colour_prediction(colour.name, colour.confidence)
    return {"lab": [float(part) for part in colour.lab]} | predicted


def _type(session: Session, product: Product, served: Served) -> dict[str, Any]:
    raw = session.scalars(
        select(ReferenceVector.raw)
        .where(ReferenceVector.space_id == served.memory.space_id, ReferenceVector.product_id == product.id)
        .order_by(ReferenceVector.image_id)
    ).all()
    guess = None
    if product.type is None and raw:
        guess = served.recognizer.guess_type(np.asarray(raw, dtype=np.float32))
    return {
        "predicted_type": None if guess is None else guess.type,
        "predicted_type_key": None if guess is None else key(guess.type),
        "predicted_type_confidence": None if guess is None else guess.confidence,
    }
