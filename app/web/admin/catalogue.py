"""The catalogue, page by page, and new products."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from flask import g, make_response, redirect, render_template, request, url_for
from pydantic import ValidationError
from werkzeug.wrappers import Response as BaseResponse

from app.api.catalogue import ProductQuery
from app.api.context import container
from app.api.problems import invalid
from app.errors import CategoryNotFound, PreconditionFailed, ProductNotFound, RequestInvalid
from app.services.browse import ProductPage
from app.services.catalogue.preconditions import Expected
from app.store.products import CategoryNode, ListedProduct, ProductFilters
from app.web.admin import gate
from app.web.admin.catalogue_form import EMPTY, asked_columns, by_field, form_values
from app.web.site import translate as _

_ON_A_PAGE: Final = 20
_SUGGESTIONS: Final = 300
"""Categories that the field suggests; a browser shows a handful of them at a time."""

_FILTERS: Final = ("text", "category", "brand", "available")

pages = gate.section("catalogue")


@dataclass(frozen=True, slots=True)
class Suggestions:
    """What fields of the catalogue suggest. Both: names as the catalogue has them."""

    categories: tuple[str, ...]
    brands: tuple[str, ...]


@pages.get("/products")
def page() -> BaseResponse:
    """Products by name, found by words, category, brand; a sku finds its product too, ahead of the first page."""
    asked: dict[str, Any] = {name: request.args[name] for name in _FILTERS if request.args.get(name)}
    problems: dict[str, list[str]] = {}
    found = ProductPage((), None)
    cursor = request.args.get("cursor")
    try:
        found = _found(asked, cursor)
    except CategoryNotFound:
        problems = {"category": [_("There is no such category.")]}
    except RequestInvalid as error:
        problems = by_field(error.problems)
    g.problem_code = "request_invalid" if problems else None
    shown = render_template(
        "admin/catalogue/list.html",
        asked=asked,
        problems=problems,
        products=_with_exact(found.items, _exact(asked.get("text")), is_first=not cursor),
        suggestions=suggestions(),
        next=_following(asked, found.next_cursor),
        first=url_for("admin_catalogue.page", **asked),
    )
    return make_response(shown, 422 if problems else 200)


@pages.get("/new-product")
def new() -> str:
    """An empty form."""
    return new_form(EMPTY, {})


@pages.post("/new-product")
def create() -> BaseResponse:
    """Create a product; photos are added on its own page."""
    values = form_values()
    try:
        sku = request.form.get("sku", "").strip()
        done = container().product_editor.put(sku, asked_columns(values), Expected(nothing=True))
    except RequestInvalid as error:
        return _again(values, error.code, by_field(error.problems))
    except PreconditionFailed as error:
        return _again(values, error.code, {"sku": [_("There is a product with this number already.")]})
    return redirect(url_for("admin_catalogue_product.page", sku=done.record.product.sku, told="created"), 303)


def suggestions() -> Suggestions:
    """What the fields suggest."""
    tree = container().browse.categories(None, 8)
    brands = container().browse.brands(100)
    return Suggestions(_paths(tree.nodes)[:_SUGGESTIONS], tuple(brand.name for brand in brands.items))


def _again(values: dict[str, str], code: str, problems: dict[str, list[str]]) -> BaseResponse:
    g.problem_code = code
    return make_response(new_form({**values, "sku": request.form.get("sku", "")}, problems), 422)


def new_form(values: dict[str, str], problems: dict[str, list[str]]) -> str:
    """The form of a product that is to be created. problems: by field; "" for the form as a whole."""
    return render_template(
        "admin/catalogue/new.html",
        values=values,
        problems=problems,
        suggestions=suggestions(),
        currency=container().settings.currency,
    )


def _found(asked: dict[str, Any], cursor: str | None) -> ProductPage:
    wanted: dict[str, Any] = {**asked, "limit": _ON_A_PAGE} | ({"cursor": cursor} if cursor else {})
    try:
        query = ProductQuery.model_validate(wanted)
    except ValidationError as error:
        raise invalid(error) from None
    filters = ProductFilters(query.category, query.brand, query.text, query.available)
    return container().browse.products(filters, query.limit, query.cursor)


def _exact(text: str | None) -> ListedProduct | None:
    """The product whose sku was typed where names are searched, if it is one."""
    if text is None or "\x00" in text:
        return None
    try:
        return container().browse.product(text.strip()).listed
    except ProductNotFound:
        return None


def _with_exact(
    found: tuple[ListedProduct, ...], exact: ListedProduct | None, *, is_first: bool
) -> list[ListedProduct]:
    """A page of what was found, with the product whose sku was typed at the head of the first and nowhere else."""
    if exact is None:
        return list(found)
    others = [listed for listed in found if listed.product.id != exact.product.id]
    return [exact, *others] if is_first else others


def _following(asked: dict[str, Any], cursor: str | None) -> str | None:
    return None if cursor is None else url_for("admin_catalogue.page", **asked, cursor=cursor)


def _paths(nodes: tuple[CategoryNode, ...]) -> tuple[str, ...]:
    return tuple(path for node in nodes for path in (node.path, *_paths(node.children)))
