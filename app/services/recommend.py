"""Products like a picked one that suit the shopper's choices; ``app.store.similar`` defines "like".

Decided: the pick is never recommended, nor another sku of its label (sizes of one shirt are one product to a
shopper); of any other label only its most similar product that passes the filters is shown. Unavailable
products never are. When the products of the pick's type are used up, its category goes on, then everything.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sqlalchemy import Engine
from sqlalchemy.orm import Session as DbSession

from app.errors import CursorInvalid, ProductNotFound, RequestInvalid
from app.services.cursors import Cursors
from app.store.database import transaction
from app.store.preferences import Facets, RecommendFilters, count_facets
from app.store.products import ListedProduct, products_by_id
from app.store.similar import Match, Position, load_pick, looks_space, nearest_circle, ranked

__all__ = ["RecommendFilters", "RecommendPage", "RecommendService", "RecommendedItem", "Why"]

DEFAULT_LIMIT: Final = 20
MAX_LIMIT: Final = 100
_LISTING: Final = "recommendations"


@dataclass(frozen=True, slots=True)
class Why:
    """The parts of a similarity, each in [0, 1]; None where the pick or the product does not tell.

    type: 1 the same type, 0.5 another type of the same category, 0.25 of the category above, 0 of none.
    colour: falls with the CIELAB distance. look: how alike the photos are to the backbone.
    """

    type: float | None
    colour: float | None
    look: float | None


@dataclass(frozen=True, slots=True, eq=False)
class RecommendedItem:
    """A product and why it is shown. similarity in [0, 1], never rising from item to item."""

    product: ListedProduct
    similarity: float
    why: Why


@dataclass(frozen=True, slots=True, eq=False)
class RecommendPage:
    """next_cursor: None on the last page."""

    items: tuple[RecommendedItem, ...]
    facets: Facets
    next_cursor: str | None


class RecommendService:
    """Recommends from the catalogue; looks are compared in the space of the published model."""

    def __init__(self, engine: Engine, cursors: Cursors) -> None:
        self._engine = engine
        self._cursors = cursors

    def recommend(
        self, sku: str, filters: RecommendFilters, limit: int = DEFAULT_LIMIT, cursor: str | None = None
    ) -> RecommendPage:
        """One page, most alike first; equal similarity in the order the products were added.

        limit: 1..100. cursor: ``next_cursor`` of the page before, with the same sku and filters. While the
        catalogue does not change, the pages hold every product once; the order is the same every time.

        :raise ProductNotFound: no product has the sku.
        :raise RequestInvalid: limit or prices out of range.
        :raise CursorInvalid: altered, or of other filters or another model.
        """
        _check(filters, limit)
        with transaction(self._engine) as session:
            space_id = looks_space(session)
            request = {"sku": sku, "space": space_id, **filters.canonical()}
            after = None if cursor is None else _position(self._cursors.read(_LISTING, request, cursor))
            pick = load_pick(session, sku, space_id)
            if pick is None:
                raise ProductNotFound(f"no product has the sku {sku!r}")
            matches = ranked(session, pick, filters.conditions(), limit + 1, after)
            items = _items(session, matches[:limit])
            facets = count_facets(session, pick, nearest_circle(session, pick), filters)
        next_cursor = None
        if len(matches) > limit:
            last = matches[limit - 1].position
            next_cursor = self._cursors.write(_LISTING, request, [last.circle, last.steps, last.product_id])
        return RecommendPage(items, facets, next_cursor)


def _check(filters: RecommendFilters, limit: int) -> None:
    if not 1 <= limit <= MAX_LIMIT:
        raise RequestInvalid.of("limit", f"is {limit}; expected 1 to {MAX_LIMIT}")
    for name in ("min_price", "max_price"):
        price = getattr(filters, name)
        if price is not None and not (price.is_finite() and price >= 0):
            raise RequestInvalid.of(name, f"is {price}; expected a price of 0 or more")
    low, high = filters.min_price, filters.max_price
    if low is not None and high is not None and low > high:
        raise RequestInvalid.of("min_price", f"is {low}, above max_price {high}")


def _position(values: list[object]) -> Position:
    match values:
        case [int(circle), int(steps), int(product_id)]:
            return Position(circle, steps, product_id)
    raise CursorInvalid("the cursor is of an older version; start at the first page")


def _items(session: DbSession, matches: list[Match]) -> tuple[RecommendedItem, ...]:
    products = products_by_id(session, [match.product_id for match in matches])
    return tuple(
        RecommendedItem(products[match.product_id], match.similarity, Why(match.type, match.colour, match.look))
        for match in matches
        if match.product_id in products
    )
