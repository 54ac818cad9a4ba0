"""Reading the catalogue: one product, pages of products, the category tree, brands.

``app.store.answers`` holds what a search answer needs: products of labels, labels of a category.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Select, func, or_, select, tuple_
from sqlalchemy.orm import Session as DbSession
from sqlalchemy.orm import joinedload

from app.store.answers import first_tokens
from app.store.tables import Brand, Category, Image, Product
from app.store.text import key

PATH_SEPARATOR = " > "


@dataclass(frozen=True, slots=True, eq=False)
class ListedProduct:
    """A product loaded with its brand and category. image_token: of its first photo, None without one."""

    product: Product
    image_token: str | None


@dataclass(frozen=True, slots=True)
class ProductFilters:
    """Which products to list; None does not filter.

    category: a path; the node and everything below it. brand: a name; case does not matter.
    text: what the name, or a word of it, begins with. available: only such.
    """

    category: str | None = None
    brand: str | None = None
    text: str | None = None
    available: bool | None = None


@dataclass(frozen=True, slots=True)
class ProductPosition:
    """Where a page ended: the last product's name key (None for no name) and sku."""

    name_key: str | None
    sku: str


@dataclass(frozen=True, slots=True)
class CategoryNode:
    """A node of the category tree; products: how many lie in it and below. Children sort by name."""

    name: str
    path: str
    products: int
    children: tuple[CategoryNode, ...]


@dataclass(frozen=True, slots=True)
class BrandCount:
    """A brand and how many products it has."""

    name: str
    products: int


def category_key(path: str) -> str:
    """The key of a category path, however it is spaced: ``grocery>Dairy`` -> ``grocery > dairy``."""
    return PATH_SEPARATOR.join(key(part) for part in path.split(">"))


def in_subtree(path_key: str) -> ColumnElement[bool]:
    """The condition that a category is the node ``path_key`` or lies below it."""
    return or_(
        Category.path_key == path_key,
        Category.path_key.startswith(f"{path_key}{PATH_SEPARATOR}", autoescape=True),
    )


def category_exists(session: DbSession, path: str) -> bool:
    """Whether the tree has this node."""
    return session.scalar(select(Category.id).where(Category.path_key == category_key(path))) is not None


def product_by_sku(session: DbSession, sku: str) -> ListedProduct | None:
    """The product with this sku, or None."""
    product = session.scalar(_loaded().where(Product.sku == sku))
    return None if product is None else _listed(session, [product])[0]


def products_by_id(session: DbSession, ids: Sequence[int]) -> Mapping[int, ListedProduct]:
    """The products with these ids; ids that no longer exist are left out."""
    products = session.scalars(_loaded().where(Product.id.in_(ids))).all()
    return {listed.product.id: listed for listed in _listed(session, products)}


def image_tokens(session: DbSession, product_id: int) -> list[str]:
    """The tokens of all photos of a product, in their order."""
    found = select(Image.token).where(Image.product_id == product_id).order_by(Image.position, Image.id)
    return list(session.scalars(found))


def list_products(
    session: DbSession, filters: ProductFilters, limit: int, after: ProductPosition | None = None
) -> tuple[list[ListedProduct], ProductPosition | None]:
    """One page by name, then sku; products without a name come last.

    after: the position the page before returned; None for the first page. A product added or renamed
    meanwhile may appear or not, all others appear exactly once.
    Returns the page and the position to go on from, None on the last page.
    """
    statement = _loaded().where(*_conditions(filters))
    if after is not None:
        statement = statement.where(_later(after))
    statement = statement.order_by(Product.name_key.asc().nulls_last(), Product.sku).limit(limit + 1)
    products = session.scalars(statement).all()
    shown = products[:limit]
    more = len(products) > limit
    position = ProductPosition(shown[-1].name_key, shown[-1].sku) if more and shown else None
    return _listed(session, shown), position


def category_tree(session: DbSession) -> tuple[CategoryNode, ...]:
    """The whole tree, the large categories first level; empty where no product has a category."""
    counts = session.execute(
        select(Product.category_id, func.count()).where(Product.category_id.is_not(None)).group_by(Product.category_id)
    )
    direct = {row[0]: row[1] for row in counts}
    rows = session.execute(
        select(Category.id, Category.parent_id, Category.name, Category.path).order_by(
            Category.depth.desc(), Category.path_key
        )
    )
    waiting: dict[int | None, list[CategoryNode]] = {}
    for node_id, parent_id, name, path in rows:  # deepest first: children are complete before their parent
        children = tuple(waiting.pop(node_id, ()))
        count = direct.get(node_id, 0) + sum(child.products for child in children)
        waiting.setdefault(parent_id, []).append(CategoryNode(name, path, count, children))
    return tuple(waiting.get(None, ()))


def list_brands(
    session: DbSession, limit: int, after: str | None = None, text: str | None = None
) -> tuple[list[BrandCount], str | None]:
    """One page of the brands that have products, by name, with their number of products.

    after: the key the page before returned. text: what the name begins with.
    Returns the page and the key to go on from, None on the last page.
    """
    statement = (
        select(Brand.name, Brand.name_key, func.count(Product.id))
        .join(Product, Product.brand_id == Brand.id)
        .group_by(Brand.id)
        .order_by(Brand.name_key)
        .limit(limit + 1)
    )
    if after is not None:
        statement = statement.where(Brand.name_key > after)
    if text is not None:
        statement = statement.where(Brand.name_key.startswith(key(text), autoescape=True))
    rows = session.execute(statement).all()
    page = [BrandCount(name, count) for name, _, count in rows[:limit]]
    return page, rows[limit - 1][1] if len(rows) > limit else None


def _loaded() -> Select[Product]:
    return select(Product).options(joinedload(Product.brand), joinedload(Product.category))


def _listed(session: DbSession, products: Sequence[Product]) -> list[ListedProduct]:
    tokens = first_tokens(session, [product.id for product in products])
    return [ListedProduct(product, tokens.get(product.id)) for product in products]


def _conditions(filters: ProductFilters) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if filters.category is not None:
        nodes = select(Category.id).where(in_subtree(category_key(filters.category)))
        conditions.append(Product.category_id.in_(nodes))
    if filters.brand is not None:
        brand = select(Brand.id).where(Brand.name_key == key(filters.brand)).scalar_subquery()
        conditions.append(Product.brand_id == brand)
    if filters.text is not None:
        begin = key(filters.text)
        conditions.append(
            or_(
                Product.name_key.startswith(begin, autoescape=True),
                Product.name_key.contains(f" {begin}", autoescape=True),
            )
        )
    if filters.available is not None:
        conditions.append(Product.available.is_(filters.available))
    return conditions


def _later(after: ProductPosition) -> ColumnElement[bool]:
    if after.name_key is None:
        return Product.name_key.is_(None) & (Product.sku > after.sku)
    return or_(
        tuple_(Product.name_key, Product.sku) > (after.name_key, after.sku),
        Product.name_key.is_(None),
    )
