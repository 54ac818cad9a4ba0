"""``recommend``: products like a given one, and how good such recommendations are."""

from __future__ import annotations

from dataclasses import asdict
from decimal import Decimal, InvalidOperation
from typing import Any

import click

from app.cli.common import emit, json_option
from app.config import Settings
from app.services.cursors import Cursors
from app.services.recommend import RecommendedItem, RecommendPage, RecommendService
from app.services.recommend_report import TOP, Comparison, compare_recommenders
from app.store.media import public_path
from app.store.preferences import Facets, RecommendFilters
from app.wiring import build_container
from models.errors import UsageError


class Price(click.ParamType[Decimal]):
    """A price such as 12.50."""

    name = "price"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Decimal:
        try:
            return Decimal(value)
        except InvalidOperation:
            self.fail(f"{value!r} is not a price; write it like 12.50", param, ctx)


@click.command("recommend")
@click.argument("sku", required=False)
@click.option("--brand", "brands", multiple=True, help="Only this brand; may be given again.")
@click.option("--colour", "colours", multiple=True, help="Only this colour; may be given again.")
@click.option("--min-price", type=Price(), help="Not below this price.")
@click.option("--max-price", type=Price(), help="Not above this price.")
@click.option("--limit", type=int, default=10, show_default=True, help="Products a page, 1 to 100.")
@click.option("--cursor", help="Go on from a page's next_cursor.")
@click.option("--compare", type=int, metavar="PICKS", help="Measure against looks alone and chance instead.")
@json_option
def command(sku: str | None, compare: int | None, limit: int, cursor: str | None, as_json: bool, **wanted: Any) -> None:
    """Recommend products like SKU.

    Alike in type, colour and look, of the brands, colours and prices asked for. With --compare PICKS instead
    of SKU: recommend for that many random products and report how many of the first ten share type
    and colour.
    """
    if (sku is None) == (compare is None):
        raise click.UsageError("Give a SKU, or --compare PICKS.")
    container = build_container(Settings.from_env())
    try:
        if compare is not None:
            if compare < 1:
                raise UsageError(f"--compare is {compare}; expected 1 or more picks")
            report = compare_recommenders(container.engine, compare)
            emit(asdict(report), as_json, lambda: _table(report))
            return
        assert sku is not None
        service = RecommendService(container.engine, Cursors(container.engine))
        page = service.recommend(sku, RecommendFilters(**wanted), limit, cursor)
        emit(page_json(page), as_json, lambda: _listing(page))
    finally:
        container.close()


def page_json(page: RecommendPage) -> dict[str, object]:
    """The page as one JSON object; prices are decimal strings."""
    return {
        "items": [_item_json(item) for item in page.items],
        "facets": _facets_json(page.facets),
        "next_cursor": page.next_cursor,
    }


def _item_json(item: RecommendedItem) -> dict[str, object]:
    product = item.product.product
    token = item.product.image_token
    return {
        "product": {
            "sku": product.sku,
            "name": product.name,
            "brand": None if product.brand is None else product.brand.name,
            "category": None if product.category is None else product.category.path,
            "type": product.type,
            "colour": product.colour,
            "price": _decimal(product.price),
            "currency": product.currency,
            "available": product.available,
            "image_url": None if token is None else public_path(token, "800"),
        },
        "similarity": item.similarity,
        "why": asdict(item.why),
    }


def _facets_json(facets: Facets) -> dict[str, object]:
    return {
        "brands": [asdict(value) for value in facets.brands],
        "colours": [asdict(value) for value in facets.colours],
        "price": {"min": _decimal(facets.price.min), "max": _decimal(facets.price.max)},
        "without_price": facets.without_price,
    }


def _decimal(price: Decimal | None) -> str | None:
    return None if price is None else f"{price:.2f}"


def _listing(page: RecommendPage) -> str:
    lines = []
    for item in page.items:
        product = item.product.product
        parts = [
            f"{item.similarity:.3f}",
            product.sku,
            product.name or "(no name)",
            "(no brand)" if product.brand is None else product.brand.name,
            "(no price)" if product.price is None else f"{product.price:.2f} {product.currency}",
            " ".join(f"{name} {_part(value)}" for name, value in asdict(item.why).items()),
        ]
        lines.append("  ".join(parts))
    if not lines:
        lines.append("No product passes.")
    facets = page.facets
    lines.append("brands: " + ", ".join(f"{value.name} ({value.count})" for value in facets.brands))
    lines.append("colours: " + ", ".join(f"{value.name} ({value.count})" for value in facets.colours))
    if facets.price.min is not None:
        lines.append(f"prices: {facets.price.min:.2f} to {facets.price.max:.2f}")
    if facets.without_price:
        lines.append(f"{facets.without_price} have no price and are left out by a price filter")
    if page.next_cursor is not None:
        lines.append(f"more: --cursor {page.next_cursor}")
    return "\n".join(lines)


def _part(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.2f}"


def _table(report: Comparison) -> str:
    head = f"of the first {TOP}, {report.picks} picks: same"
    names = ("type", "colour", "type and colour", "category and colour")
    lines = [f"{head:<34}" + "".join(f"{name:>21}" for name in names)]
    for method, relevance in report.methods.items():
        lines.append(f"{method:<34}" + "".join(f"{value:>21.3f}" for value in asdict(relevance).values()))
    return "\n".join(lines)
