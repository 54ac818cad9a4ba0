"""GET /v1/products, /v1/products/{sku}, /v1/categories, /v1/brands."""

from __future__ import annotations

from flask import Response, jsonify
from pydantic import BaseModel, ConfigDict, Field

from app.api.context import container
from app.api.fields import PAGE_LIMIT, Cursor, Name, Sku
from app.api.products import ProductOut, product_out
from app.api.resource import resource
from app.store.media import public_path
from app.store.products import CategoryNode, ProductFilters

api = resource("catalogue", "/v1", secured=True)


class ProductQuery(BaseModel):
    """Which products."""

    model_config = ConfigDict(extra="forbid")

    category: Name | None = Field(None, description="This category and below.")
    brand: Name | None = None
    text: Name | None = Field(None, description="What the name, or a word of it, begins with.")
    available: bool | None = None
    limit: int = Field(20, ge=1, le=PAGE_LIMIT)
    cursor: Cursor | None = Field(None, description="next_cursor of the page before, with the same filters.")


class ProductPageOut(BaseModel):
    """A page of products, by name."""

    items: list[ProductOut]
    next_cursor: str | None


class ProductPath(BaseModel):
    """Which product."""

    sku: Sku


class ProductDetailOut(ProductOut):
    """One product with all it has."""

    description: str | None
    url: str | None
    group: str | None = Field(description="What the product is a variant of, e.g. a shirt of several sizes.")
    label: str = Field(description="What the classifiers name: the group, or the sku.")
    image_urls: list[str] = Field(description="All its photos, at most 100.")


class CategoryQuery(BaseModel):
    """Which part of the tree."""

    model_config = ConfigDict(extra="forbid")

    parent: Name | None = Field(None, description="Only what lies below this category.")
    depth: int = Field(3, ge=1, le=10, description="Levels: large, medium, small.")


class CategoryOut(BaseModel):
    """A category."""

    name: str
    path: str = Field(description='As searches take it, e.g. "Grocery > Dairy".')
    products: int = Field(description="Products in it and below.")
    children: list[CategoryOut]


class CategoryTreeOut(BaseModel):
    """The tree."""

    categories: list[CategoryOut]
    truncated: bool = Field(description="Whether nodes were left out; ask for them with `parent`.")


class BrandQuery(BaseModel):
    """Which brands."""

    model_config = ConfigDict(extra="forbid")

    text: Name | None = Field(None, description="What the name begins with.")
    limit: int = Field(50, ge=1, le=PAGE_LIMIT)
    cursor: Cursor | None = None


class BrandOut(BaseModel):
    """A brand."""

    name: str
    products: int


class BrandPageOut(BaseModel):
    """A page of brands, by name."""

    items: list[BrandOut]
    next_cursor: str | None


@api.get("/products", responses={200: ProductPageOut})
def list_products(query: ProductQuery) -> Response:
    """List products by name, a page at a time."""
    filters = ProductFilters(query.category, query.brand, query.text, query.available)
    page = container().browse.products(filters, query.limit, query.cursor)
    items = [product_out(item.product, item.image_token) for item in page.items]
    return jsonify(ProductPageOut(items=items, next_cursor=page.next_cursor).model_dump(mode="json"))


@api.get("/products/<path:sku>", responses={200: ProductDetailOut})
def show_product(path: ProductPath) -> Response:
    """Show one product."""
    detail = container().browse.product(path.sku)
    product = detail.listed.product
    out = ProductDetailOut(
        **product_out(product, detail.listed.image_token).model_dump(),
        description=product.description,
        url=product.url,
        group=product.group,
        label=product.label,
        image_urls=[public_path(token, "800") for token in detail.image_tokens[:PAGE_LIMIT]],
    )
    return jsonify(out.model_dump(mode="json"))


@api.get("/categories", responses={200: CategoryTreeOut})
def list_categories(query: CategoryQuery) -> Response:
    """Show the category tree; its paths narrow searches and product lists."""
    tree = container().browse.categories(query.parent, query.depth)
    out = CategoryTreeOut(categories=[_category_out(node) for node in tree.nodes], truncated=tree.truncated)
    return jsonify(out.model_dump(mode="json"))


@api.get("/brands", responses={200: BrandPageOut})
def list_brands(query: BrandQuery) -> Response:
    """List the brands that have products, by name, a page at a time."""
    page = container().browse.brands(query.limit, query.cursor, query.text)
    items = [BrandOut(name=item.name, products=item.products) for item in page.items]
    return jsonify(BrandPageOut(items=items, next_cursor=page.next_cursor).model_dump(mode="json"))


def _category_out(node: CategoryNode) -> CategoryOut:
    children = [_category_out(child) for child in node.children]
    return CategoryOut(name=node.name, path=node.path, products=node.products, children=children)
