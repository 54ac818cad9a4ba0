"""Looking through the catalogue: products, the category tree, brands."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

from sqlalchemy import Engine

from app.errors import CategoryNotFound, CursorInvalid, ProductNotFound
from app.services.cursors import Cursors
from app.store import products
from app.store.database import transaction
from app.store.products import BrandCount, CategoryNode, ListedProduct, ProductFilters, ProductPosition

MAX_CATEGORIES: Final = 2000
"""Most nodes a tree is answered with; a larger one is asked for branch by branch (``parent``)."""

_PRODUCTS: Final = "products"
_BRANDS: Final = "brands"


@dataclass(frozen=True, slots=True, eq=False)
class ProductPage:
    """next_cursor: None on the last page."""

    items: tuple[ListedProduct, ...]
    next_cursor: str | None


@dataclass(frozen=True, slots=True, eq=False)
class ProductDetail:
    """One product; image_tokens: of all its photos, in their order."""

    listed: ListedProduct
    image_tokens: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class BrandPage:
    """next_cursor: None on the last page."""

    items: tuple[BrandCount, ...]
    next_cursor: str | None


@dataclass(frozen=True, slots=True)
class CategoryTree:
    """truncated: whether nodes were left out, by depth or by ``MAX_CATEGORIES``."""

    nodes: tuple[CategoryNode, ...]
    truncated: bool


class BrowseService:
    """Reads the catalogue page by page."""

    def __init__(self, engine: Engine, cursors: Cursors) -> None:
        self._engine = engine
        self._cursors = cursors

    def products(self, filters: ProductFilters, limit: int, cursor: str | None = None) -> ProductPage:
        """One page by name.

        :raise CategoryNotFound: the filter names no category. :raise CursorInvalid: not of this listing.
        """
        request = {
            "category": filters.category,
            "brand": filters.brand,
            "text": filters.text,
            "available": filters.available,
        }
        after = None if cursor is None else _position(self._cursors.read(_PRODUCTS, request, cursor))
        with transaction(self._engine) as session:
            if filters.category is not None and not products.category_exists(session, filters.category):
                raise CategoryNotFound(f"no category is called {filters.category!r}; GET /v1/categories lists them")
            items, position = products.list_products(session, filters, limit, after)
        following = None
        if position is not None:
            following = self._cursors.write(_PRODUCTS, request, [position.name_key, position.sku])
        return ProductPage(tuple(items), following)

    def product(self, sku: str) -> ProductDetail:
        """One product. :raise ProductNotFound: no product has this sku."""
        with transaction(self._engine) as session:
            listed = products.product_by_sku(session, sku)
            if listed is None:
                raise ProductNotFound(f"no product has the sku {sku!r}")
            return ProductDetail(listed, tuple(products.image_tokens(session, listed.product.id)))

    def brands(self, limit: int, cursor: str | None = None, text: str | None = None) -> BrandPage:
        """One page by name. :raise CursorInvalid: not of this listing."""
        request = {"text": text}
        after = None if cursor is None else _brand_key(self._cursors.read(_BRANDS, request, cursor))
        with transaction(self._engine) as session:
            items, position = products.list_brands(session, limit, after, text)
        following = None if position is None else self._cursors.write(_BRANDS, request, [position])
        return BrandPage(tuple(items), following)

    def categories(self, parent: str | None, depth: int) -> CategoryTree:
        """The tree below ``parent`` (None for the whole), ``depth`` levels of it.

        :raise CategoryNotFound: there is no category ``parent``.
        """
        with transaction(self._engine) as session:
            roots = products.category_tree(session)
        if parent is not None:
            wanted = products.category_key(parent)
            found = next((node for node in _walk(roots) if products.category_key(node.path) == wanted), None)
            if found is None:
                raise CategoryNotFound(f"no category is called {parent!r}")
            roots = found.children
        return _cut(roots, depth)


def _walk(nodes: Iterable[CategoryNode]) -> Iterable[CategoryNode]:
    waiting = deque(nodes)
    while waiting:
        node = waiting.popleft()
        yield node
        waiting.extend(node.children)


def _cut(roots: tuple[CategoryNode, ...], depth: int) -> CategoryTree:
    """The first ``depth`` levels and ``MAX_CATEGORIES`` nodes, broad before deep."""
    kept: set[str] = set()
    level: list[CategoryNode] = list(roots)
    truncated = False
    for _ in range(depth):
        room = MAX_CATEGORIES - len(kept)
        truncated |= len(level) > room
        kept.update(node.path for node in level[:room])
        level = [child for node in level[:room] for child in node.children]
    truncated |= bool(level)
    return CategoryTree(tuple(_keep(node, kept) for node in roots if node.path in kept), truncated)


def _keep(node: CategoryNode, kept: set[str]) -> CategoryNode:
    return replace(node, children=tuple(_keep(child, kept) for child in node.children if child.path in kept))


def _position(values: list[object]) -> ProductPosition:
    match values:
        case [str() | None as name_key, str(sku)]:
            return ProductPosition(name_key, sku)
    raise CursorInvalid("the cursor is of an older version; start at the first page")


def _brand_key(values: list[object]) -> str:
    match values:
        case [str(key)]:
            return key
    raise CursorInvalid("the cursor is of an older version; start at the first page")
