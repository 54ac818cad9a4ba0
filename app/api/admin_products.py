"""Single products and their photos, for administrators: in force when the answer comes."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from flask import Response, jsonify, request
from pydantic import BaseModel, Field

from app.api import limits
from app.api.context import container
from app.api.fields import Sku
from app.api.products import PredictedAttributes, predicted_out
from app.api.resource import resource
from app.api.search import KnownSinceOut
from app.errors import FieldProblem, RequestInvalid
from app.services.catalogue.live_photos import FIELD, AddedPhotos, Upload
from app.services.catalogue.preconditions import Expected
from app.services.catalogue.records import CataloguePhoto, CatalogueRecord
from app.store.media import public_path

PRODUCT_BODY_BYTES = 256 * 1024
"""Largest product: a description of 20,000 characters, each of them escaped, and all else at its longest."""

api = resource("admin_products", "/v1/admin", secured=True, admin=True)


class ColumnsOut(BaseModel):
    """The catalogue's columns, as PUT takes them. What the catalogue does not say is null."""

    sku: str
    name: str | None = None
    brand: str | None = None
    category: str | None = Field(None, examples=["Grocery > Dairy > Milk"])
    type: str | None = None
    colour: str | None = None
    price: str | None = Field(None, description="Decimal string; a number is taken too.", examples=["12.90"])
    currency: str | None = Field(None, description="Where given, PICKTURE_CURRENCY.")
    description: str | None = None
    source: str | None = None
    group: str | None = Field(None, description="What the product is a variant of; its label then.")
    gtin: str | None = None
    url: str | None = None
    available: bool = True
    mall_category: str | None = None
    listed_at: str | None = Field(None, description="ISO 8601.")
    catalogue_id: str | None = None
    restricted: bool | None = None
    season: str | None = Field(None, description="As the shop calls it.", examples=["Summer"])


class PhotoOut(BaseModel):
    """A reference photo."""

    content_hash: str = Field(description="SHA-256 of the bytes that came.")
    image_url: str = Field(description="Path on this host of a WebP of at most 800 pixels an edge.")
    source_name: str
    format: str
    width: int
    height: int
    size_bytes: int
    created_at: datetime
    recognisable: bool = Field(description="Whether the served model's k-NN memory holds it.")


class DoubtOut(BaseModel):
    """Something that was taken and looks wrong all the same."""

    field: str
    value: str | None
    reason: str


class AdminProductOut(BaseModel):
    """A product as an administrator sees it."""

    product: ColumnsOut
    label: str = Field(description="What the classifiers name: the group, or the sku.")
    predicted: PredictedAttributes
    photos: list[PhotoOut]
    model_version: str | None = Field(description="The model that the two below are about; null where none is served.")
    known_since: KnownSinceOut
    recognisable: bool = Field(description="Whether any classifier of the served model can name the label.")
    etag: str = Field(description="As in the header ETag, without its quotes.")


class PutProductOut(AdminProductOut):
    """What was written."""

    doubts: list[DoubtOut]


class AddedPhotosOut(AdminProductOut):
    """The product with its new photos."""

    added: list[str] = Field(description="Content hashes of the photos that it did not have before.")
    note: str | None = Field(description="What is still to be done, where anything is.")


class AdminProductPath(BaseModel):
    """Which product."""

    sku: Sku


class PhotoPath(AdminProductPath):
    """Which photo of a product."""

    content_hash: str = Field(pattern=r"^[0-9a-f]{64}$")


_NOT_YET = (
    "no model has been published, so these photos are stored and not yet recognisable: they will be with the next "
    "`python -m app bottlenecks` and training"
)
_PHOTOS = {
    "required": True,
    "content": {
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "required": [FIELD],
                "properties": {
                    FIELD: {
                        "type": "array",
                        "items": {"type": "string", "format": "binary"},
                        "description": "One or more photos: JPEG, PNG, WebP or HEIC.",
                    }
                },
            }
        }
    },
}
_COLUMNS: dict[str, Any] = {
    "required": True,
    "content": {"application/json": {"schema": ColumnsOut.model_json_schema()}},
}


@api.get("/products/<sku>", responses={200: AdminProductOut})
def show_admin_product(path: AdminProductPath) -> Response:
    """Show one product with its photos and what the served model knows of it."""
    return _answer(AdminProductOut(**_common(container().product_editor.get(path.sku))), 200)


@api.put(
    "/products/<sku>",
    responses={200: PutProductOut, 201: PutProductOut},
    openapi_extensions={"requestBody": _COLUMNS},
)
def put_product(path: AdminProductPath) -> Response:
    """Create a product, or replace its columns; its photos stay.

    Replacing needs `If-Match` with the product's ETag; `If-None-Match: *` creates only.
    """
    request.max_content_length = PRODUCT_BODY_BYTES
    done = container().product_editor.put(path.sku, request.get_data(), _expected())
    doubts = [DoubtOut(field=doubt.field, value=doubt.value, reason=doubt.reason) for doubt in done.doubts]
    return _answer(PutProductOut(**_common(done.record), doubts=doubts), 201 if done.created else 200)


@api.delete("/products/<sku>", responses={204: None})
def delete_product(path: AdminProductPath) -> tuple[str, int]:
    """Delete a product with its photos: from now on it is nobody's candidate.

    `If-Match` is obeyed where it comes.
    """
    container().product_editor.delete(path.sku, _expected())
    return "", 204


@api.post(
    "/products/<sku>/images",
    responses={200: AddedPhotosOut, 201: AddedPhotosOut},
    openapi_extensions={"requestBody": _PHOTOS},
)
def add_images(path: AdminProductPath) -> Response:
    """Add photos: the product is recognisable by them when the answer comes.

    A photo that the product has already is kept once, so the same request may be sent again.
    """
    done = take_photos(path.sku)
    note = _NOT_YET if done.record.model_version is None else None
    out = AddedPhotosOut(**_common(done.record), added=sorted(done.added), note=note)
    return _answer(out, 201 if done.added else 200)


@api.delete("/products/<sku>/images/<content_hash>", responses={204: None})
def delete_image(path: PhotoPath) -> tuple[str, int]:
    """Remove a photo of a product: k-NN has forgotten it when the answer comes."""
    container().photo_editor.remove(path.sku, path.content_hash)
    return "", 204


def take_photos(sku: str) -> AddedPhotos:
    """Add the photos of this request's body to a product; see ``PhotoEditor.add`` for what it raises.

    :raise RequestInvalid: there are none, or one cannot be used. :raise Overloaded: the house is full.
    """
    # A place among the searches, taken before the body is read: the network is theirs too.
    with container().admission.enter():
        files = [file for file in request.files.getlist(FIELD) if file.filename]  # a form without a file sends an empty
        uploads = [Upload(file.filename or FIELD, file.stream.read()) for file in files]
        limits.spend(len(uploads) - 1)
        if not uploads:
            reason = "required: one or more photos as file parts of a multipart/form-data body"
            raise RequestInvalid(f"{FIELD}: {reason}", [FieldProblem(FIELD, reason)])
        return container().photo_editor.add(sku, uploads)


def _expected() -> Expected:
    """What the caller says of the product in If-Match and If-None-Match; weak tags match nothing (RFC 9110)."""
    wanted, unwanted = request.if_match, request.if_none_match
    if unwanted.as_set():
        raise RequestInvalid.of("If-None-Match", "only `*` has a meaning here: create, and replace nothing")
    return Expected(frozenset(wanted.as_set()), wanted.star_tag, unwanted.star_tag)


def _answer(out: AdminProductOut, status: int) -> Response:
    response = jsonify(out.model_dump(mode="json"))
    response.status_code = status
    response.set_etag(out.etag)
    return response


def _common(record: CatalogueRecord) -> dict[str, Any]:
    known = record.known_since
    return {
        "product": ColumnsOut(**record.columns),
        "label": record.product.label,
        "predicted": predicted_out(record.product),
        "photos": [_photo_out(photo) for photo in record.photos],
        "model_version": record.model_version,
        "known_since": KnownSinceOut(fcn=known["fcn"], knn=known["knn"], svm=known["svm"]),
        "recognisable": any(moment is not None for moment in known.values()),
        "etag": record.etag,
    }


def _photo_out(photo: CataloguePhoto) -> PhotoOut:
    return PhotoOut(
        content_hash=photo.content_hash,
        image_url=public_path(photo.token, "800"),
        source_name=photo.source_name,
        format=photo.format,
        width=photo.width,
        height=photo.height,
        size_bytes=photo.size_bytes,
        created_at=photo.created_at,
        recognisable=photo.recognisable,
    )
