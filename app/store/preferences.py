"""What a shopper prefers, as conditions, and the facets that tell which choices there are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from sqlalchemy import ColumnElement, distinct, func, select
from sqlalchemy.orm import Session as DbSession

from app.store.similar import Pick, base_conditions, in_circle
from app.store.tables import Brand, Product
from app.store.text import key

FACET_VALUES = 50
"""Most brands, and most colours, a facet lists: those with the most products."""

Condition = ColumnElement[bool]


@dataclass(frozen=True, slots=True)
class RecommendFilters:
    """What the shopper prefers; empty or None does not filter.

    brands, colours: any of these names, case does not matter; a colour is the given one, or else the
    recognised one.
    min_price, max_price: both ends included; either leaves out products whose price is unknown.
    """

    brands: tuple[str, ...] = ()
    colours: tuple[str, ...] = ()
    min_price: Decimal | None = None
    max_price: Decimal | None = None

    def brand_conditions(self) -> list[Condition]:
        """Of one of the brands."""
        if not self.brands:
            return []
        named = select(Brand.id).where(Brand.name_key.in_(_keys(self.brands)))
        return [Product.brand_id.in_(named)]

    def colour_conditions(self) -> list[Condition]:
        """Of one of the colours."""
        return [Product.effective_colour_key.in_(_keys(self.colours))] if self.colours else []

    def price_conditions(self) -> list[Condition]:
        """Within the price range; an unknown price compares as neither."""
        conditions: list[Condition] = []
        if self.min_price is not None:
            conditions.append(Product.price >= self.min_price)
        if self.max_price is not None:
            conditions.append(Product.price <= self.max_price)
        return conditions

    def conditions(self) -> list[Condition]:
        """All of them."""
        return [*self.brand_conditions(), *self.colour_conditions(), *self.price_conditions()]

    def canonical(self) -> dict[str, object]:
        """Equal for filters that mean the same; JSON values."""
        return {
            "brands": _keys(self.brands),
            "colours": _keys(self.colours),
            "min_price": None if self.min_price is None else str(self.min_price.normalize()),
            "max_price": None if self.max_price is None else str(self.max_price.normalize()),
        }


@dataclass(frozen=True, slots=True)
class FacetValue:
    """A choice, and how many labels it would leave."""

    name: str
    count: int


@dataclass(frozen=True, slots=True)
class PriceRange:
    """Lowest and highest known price; None where no price is known."""

    min: Decimal | None
    max: Decimal | None


@dataclass(frozen=True, slots=True)
class Facets:
    """The choices among the products nearest the pick (``similar.nearest_circle``).

    Each facet counts what passes all filters but its own, so a shopper sees what another choice would
    bring. without_price: labels that a price filter leaves out, or would, because a price is unknown.
    """

    brands: tuple[FacetValue, ...]
    colours: tuple[FacetValue, ...]
    price: PriceRange
    without_price: int


def count_facets(session: DbSession, pick: Pick, circle: int, filters: RecommendFilters) -> Facets:
    """Count the facets over the available products of a circle, labels once, without the pick's."""
    scope = [*base_conditions(pick), in_circle(pick, circle)]
    brand, colour, price = filters.brand_conditions(), filters.colour_conditions(), filters.price_conditions()
    lowest, highest, unknown = session.execute(
        select(
            func.min(Product.price),
            func.max(Product.price),
            func.count(distinct(Product.label)).filter(Product.price.is_(None)),
        ).where(*scope, *brand, *colour)
    ).one()
    return Facets(
        brands=_brands(session, [*scope, *colour, *price]),
        colours=_colours(session, [*scope, *brand, *price]),
        price=PriceRange(lowest, highest),
        without_price=unknown,
    )


def _brands(session: DbSession, conditions: Sequence[Condition]) -> tuple[FacetValue, ...]:
    counted = (
        select(Product.brand_id, func.count(distinct(Product.label)).label("count"))
        .where(*conditions, Product.brand_id.is_not(None))
        .group_by(Product.brand_id)
        .subquery("counted")
    )
    rows = session.execute(
        select(Brand.name, counted.c.count)
        .join(counted, counted.c.brand_id == Brand.id)
        .order_by(counted.c.count.desc(), Brand.name_key)
        .limit(FACET_VALUES)
    )
    return tuple(FacetValue(name, count) for name, count in rows)


def _colours(session: DbSession, conditions: Sequence[Condition]) -> tuple[FacetValue, ...]:
    """Named as most products with this key write it."""
    written = func.mode().within_group(func.coalesce(Product.colour, Product.predicted_colour))
    count = func.count(distinct(Product.label))
    rows = session.execute(
        select(written, count)
        .where(*conditions, Product.effective_colour_key.is_not(None))
        .group_by(Product.effective_colour_key)
        .order_by(count.desc(), Product.effective_colour_key)
        .limit(FACET_VALUES)
    )
    return tuple(FacetValue(name, count) for name, count in rows)


def _keys(names: Sequence[str]) -> list[str]:
    return sorted({key(name) for name in names})
