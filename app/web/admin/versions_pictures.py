"""Looking into a model version: what is confused with what, a map of the products, the variants it learned from.

A confusion matrix is a table, and a map whose pictures must not cover each other is a list in a grid: both are HTML
that keyboards and screen readers know, and need no script (docs/decisions/0033-dashboard.md).
"""

from __future__ import annotations

from typing import Final, Literal

from flask import Response, render_template
from pydantic import BaseModel, Field

from app.api.admin_models import ModelPath
from app.api.context import container
from app.api.fields import Name
from app.errors import ModelNotFound
from app.services.inspection import Confusions
from app.web.admin import gate
from app.web.admin.arguments import asked
from app.web.admin.product_map import VIEWS, coloured, laid_out
from models.errors import UsageError

pages = gate.section("versions_pictures")

ROWS: Final = 12
COLUMNS: Final = 16
PHOTOS: Final = 48
LISTED: Final = 60
"""Products that are listed below a part of the map."""

_MOST: Final = 10_000_000
_CLOSEST: Final = VIEWS[-1]

_Rule = Literal["vote", "fcn", "knn", "svm"]


class ConfusionQuery(BaseModel):
    """Which part of the matrix. first: the row to begin at, by mistakes."""

    rule: _Rule = "vote"
    first: int = Field(0, ge=0, le=_MOST)


class CellQuery(BaseModel):
    """Which cell. named: what the photos were taken for; left out: for nothing."""

    rule: _Rule = "vote"
    truth: Name
    named: Name | None = None
    first: int = Field(0, ge=0, le=_MOST)


class MapQuery(BaseModel):
    """Which part of the map: its middle, and how many times larger than the whole."""

    x: float = Field(0.5, ge=0, le=1)
    y: float = Field(0.5, ge=0, le=1)
    zoom: int = Field(1, ge=1, le=_CLOSEST)


@pages.get("/models/<version>/confusions")
def confusions(version: str) -> str:
    """The confusion matrix, labels with most mistakes first; each cell leads to its photos."""
    query, version = asked(ConfusionQuery), _known(version)
    found = _judged_by(version, query.rule, query.first)
    shown = {} if found is None else container().album.labels({*found.columns, *(row.label for row in found.rows)})
    following = None if found is None or query.first + ROWS >= found.total else query.first + ROWS
    return render_template(
        "admin/models/confusions.html", version=version, matrix=found, query=query, shown=shown, following=following
    )


@pages.get("/models/<version>/confusions/photos")
def confused_photos(version: str) -> str:
    """The photos of one cell, beside what they were taken for."""
    query, version = asked(CellQuery), _known(version)
    inspection, album = container().inspection, container().album
    try:
        found = inspection.confused(version, query.rule, query.truth, query.named, query.first, PHOTOS)
    except UsageError as error:
        raise ModelNotFound(str(error)) from None
    if found is None:
        raise ModelNotFound(f"model {version} was made without its judged photos")
    total, photos = found
    return render_template(
        "admin/models/photos.html",
        version=version,
        query=query,
        total=total,
        photos=photos,
        places=album.photos([photo.content_hash for photo in photos]),
        shown=album.labels([label for label in (query.truth, query.named) if label is not None]),
        following=query.first + PHOTOS if query.first + PHOTOS < total else None,
    )


@pages.get("/models/<version>/map")
def product_map(version: str) -> str:
    """The map of the products: a picture for each part of the plane, which leads closer."""
    query, version = asked(MapQuery), _known(version)
    found = container().inspection.map(version)
    if found is None:
        return render_template("admin/models/map.html", version=version, map=None)
    view = laid_out(found, query.x, query.y, query.zoom)
    shown = container().album.labels(found.labels)  # of the whole map: a category keeps its colour in every view
    return render_template(
        "admin/models/map.html",
        version=version,
        map=found,
        view=view,
        shown=shown,
        colours=coloured(shown),
        listed=LISTED,
    )


@pages.get("/models/<version>/variants")
def variants(version: str) -> str:
    """What training made of some photos."""
    version = _known(version)
    made = container().inspection.variants(version)
    shown = {} if made is None else container().album.labels(made.sheet.labels)
    return render_template("admin/models/variants.html", version=version, made=made, shown=shown)


@pages.get("/models/<version>/variants.webp")
def variants_picture(version: str) -> Response:
    """The picture of all variants, of which the page shows squares."""
    made = container().inspection.variants(_known(version))
    if made is None:
        raise ModelNotFound(f"model {version} was made without its variants")
    return Response(made.picture, mimetype="image/webp")


def _known(version: str) -> str:
    """:raise ModelNotFound: there is no such version. :raise RequestInvalid: it is no name of one."""
    return container().versions.get(asked(ModelPath, {"version": version}).version).version


def _judged_by(version: str, rule: str, first: int) -> Confusions | None:
    """:raise ModelNotFound: no photo was judged by that rule."""
    try:
        return container().inspection.confusions(version, rule, first, ROWS, COLUMNS)
    except UsageError as error:
        raise ModelNotFound(str(error)) from None
