"""One product: its columns, its photos, and its end."""

from __future__ import annotations

from flask import g, make_response, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as BaseResponse

from app.api.admin_products import take_photos
from app.api.context import container
from app.errors import MediaNotFound, PreconditionFailed, ProductNotFound, RequestInvalid
from app.services.catalogue.preconditions import Expected
from app.services.catalogue.records import CataloguePhoto, CatalogueRecord
from app.web.admin import gate
from app.web.admin.catalogue import new_form, suggestions
from app.web.admin.catalogue_form import asked_columns, by_field, doubts_about, form_values, values_of
from app.web.site import translate as _

pages = gate.section("catalogue_product")


@pages.get("/products/<sku>")
def page(sku: str) -> str:
    """The product, to look at and to change."""
    return _page(_record(sku))


@pages.post("/products/<sku>")
def save(sku: str) -> BaseResponse:
    """Replace the columns, unless someone else has changed the product since the form was shown."""
    values = form_values()
    etag = request.form.get("etag", "")
    try:
        container().product_editor.put(sku, asked_columns(values), Expected(etags=frozenset({etag})))
    except (RequestInvalid, PreconditionFailed) as error:
        g.problem_code = error.code
        return _not_saved(sku, values, etag, error)
    return redirect(url_for("admin_catalogue_product.page", sku=sku, told="saved"), 303)


@pages.get("/products/<sku>/photos")
def photos(sku: str) -> BaseResponse:
    """Where a login leads that was asked for between choosing files and sending them."""
    return redirect(url_for("admin_catalogue_product.page", sku=sku, _anchor="photos"), 303)


@pages.post("/products/<sku>/photos")
def add_photos(sku: str) -> BaseResponse:
    """Add photos; the product is recognisable by them at once."""
    try:
        take_photos(sku)
    except RequestInvalid as error:
        g.problem_code = error.code
        refused = [f"{problem.value or problem.field}: {problem.reason}" for problem in error.problems]
        return make_response(_page(_record(sku), refused=refused), 422)
    return redirect(url_for("admin_catalogue_product.page", sku=sku, told="photos-added", _anchor="photos"), 303)


@pages.get("/products/<sku>/photos/<content_hash>/remove")
def ask_to_remove_photo(sku: str, content_hash: str) -> str:
    """Ask whether a photo is to go."""
    record = _record(sku)
    return render_template("admin/catalogue/remove-photo.html", record=record, photo=_photo(record, content_hash))


@pages.post("/products/<sku>/photos/<content_hash>/remove")
def remove_photo(sku: str, content_hash: str) -> BaseResponse:
    """Remove a photo: k-NN has forgotten it at once."""
    container().photo_editor.remove(sku, content_hash)
    return redirect(url_for("admin_catalogue_product.page", sku=sku, told="photo-removed", _anchor="photos"), 303)


@pages.get("/products/<sku>/delete")
def ask_to_delete(sku: str) -> str:
    """Ask whether the product is to go."""
    return render_template("admin/catalogue/delete.html", record=_record(sku), changed=False)


@pages.post("/products/<sku>/delete")
def delete(sku: str) -> BaseResponse:
    """Delete the product with its photos, unless someone else has changed it since the question was shown."""
    try:
        container().product_editor.delete(sku, Expected(etags=frozenset({request.form.get("etag", "")})))
    except PreconditionFailed as error:
        g.problem_code = error.code
        return make_response(render_template("admin/catalogue/delete.html", record=_record(sku), changed=True), 409)
    return redirect(url_for("admin_catalogue.page", told="deleted"), 303)


def _not_saved(sku: str, values: dict[str, str], etag: str, error: RequestInvalid | PreconditionFailed) -> BaseResponse:
    """The form with everything typed, and why it was not saved."""
    try:
        record = _record(sku)
    except ProductNotFound:
        gone = _(
            "Someone deleted this product while you were at it. What you entered is kept: you can create it again."
        )
        return make_response(new_form({**values, "sku": sku}, {"": [gone]}), 409)
    if isinstance(error, RequestInvalid):
        return make_response(_page(record, values, by_field(error.problems), etag=etag), 422)
    # With the new ETag in the form: whoever has seen what changed may save over it.
    return make_response(_page(record, values, changed=True), 409)


def _record(sku: str) -> CatalogueRecord:
    return container().product_editor.get(sku)


def _photo(record: CatalogueRecord, content_hash: str) -> CataloguePhoto:
    """:raise MediaNotFound: the product has no such photo."""
    found = next((photo for photo in record.photos if photo.content_hash == content_hash), None)
    if found is None:
        raise MediaNotFound(_("The product has no such photo. Someone may have removed it."))
    return found


def _page(
    record: CatalogueRecord,
    values: dict[str, str] | None = None,
    problems: dict[str, list[str]] | None = None,
    *,
    etag: str | None = None,
    changed: bool = False,
    refused: list[str] | None = None,
) -> str:
    """The product's page.

    values: what was typed, where it has not been saved. problems: by field. etag: what the form is for; the product's
    by default. changed: someone else was quicker. refused: photos that were not taken, and why.
    """
    settings = container().settings
    there = values_of(record.columns)
    shown = there if values is None else values
    return render_template(
        "admin/catalogue/product.html",
        record=record,
        values=shown,
        problems=problems or {},
        etag=record.etag if etag is None else etag,
        others={name: value for name, value in there.items() if changed and value != shown.get(name)},
        changed=changed,
        refused=refused or [],
        doubts=doubts_about(record.columns, settings.currency),
        suggestions=suggestions(),
        currency=settings.currency,
        max_upload_bytes=settings.max_upload_bytes,
    )
