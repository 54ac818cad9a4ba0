"""Reading the catalogue: products, pages, the tree, brands."""

from __future__ import annotations

import pytest
from sqlalchemy.orm import Session

from app.store.products import (
    CategoryNode,
    ProductFilters,
    category_exists,
    image_tokens,
    list_brands,
    list_products,
    product_by_sku,
    products_by_id,
)
from app.store.products import category_tree as read_tree
from app.store.tables import Brand, Category, Image, Product
from app.store.text import key


@pytest.fixture
def catalogue(session: Session) -> Session:
    """Milk and cheese by two brands, a product with nothing but a sku."""
    for table in (Product, Brand, Category):
        session.query(table).delete()
    categories: dict[str, Category] = {}
    for path in ("Food", "Food > Dairy", "Food > Dairy > Milk", "Food > Dairy_Free", "Toys"):
        above, _, name = path.rpartition(" > ")
        parent = categories[above].id if above else None
        categories[path] = Category(parent_id=parent, name=name, path=path, path_key=key(path), depth=path.count(">"))
        session.add(categories[path])
        session.flush()
    arla, zen = (Brand(name=name, name_key=key(name)) for name in ("Arla", "Zen"))
    rows = [
        ("m2", "Whole Milk", arla, "Food > Dairy > Milk", True),
        ("m1", "whole milk", zen, "Food > Dairy > Milk", False),
        ("c1", "Blue Cheese", arla, "Food > Dairy", True),
        ("o1", "Oat drink 100%", zen, "Food > Dairy_Free", True),
        ("x1", None, None, None, True),
        ("x2", None, None, None, True),
    ]
    for sku, name, brand, path, available in rows:
        product = Product(sku=sku, name=name, name_key=name and key(name), brand=brand, available=available)
        product.category = categories[path] if path else None
        session.add(product)
    session.flush()
    milk = session.query(Product).filter_by(sku="m2").one()
    for position, token in ((1, "back"), (0, "front")):
        session.add(
            Image(
                product_id=milk.id,
                content_hash=token.ljust(64, "0"),
                token=token,
                position=position,
                source_name=token,
                format="jpeg",
                width=1,
                height=1,
                size_bytes=1,
            )
        )
    session.flush()
    session.expunge_all()
    return session


def listed(session: Session, **filters) -> list[str]:
    return [found.product.sku for found in list_products(session, ProductFilters(**filters), 100)[0]]


def test_a_product_comes_with_brand_category_and_its_first_photo(catalogue: Session) -> None:
    found = product_by_sku(catalogue, "m2")
    assert found is not None and found.image_token == "front"
    assert found.product.brand.name == "Arla" and found.product.category.path == "Food > Dairy > Milk"
    assert image_tokens(catalogue, found.product.id) == ["front", "back"]
    bare = product_by_sku(catalogue, "x1")
    assert bare is not None and (bare.image_token, bare.product.brand, bare.product.category) == (
        None,
        None,
        None,
    )
    assert product_by_sku(catalogue, "M2") is None


def test_products_by_id_leave_out_the_absent(catalogue: Session) -> None:
    found = product_by_sku(catalogue, "c1")
    assert found is not None
    assert {i: p.product.sku for i, p in products_by_id(catalogue, [found.product.id, -1]).items()} == {
        found.product.id: "c1"
    }


def test_products_are_listed_by_name_then_sku_the_nameless_last(catalogue: Session) -> None:
    assert listed(catalogue) == ["c1", "o1", "m1", "m2", "x1", "x2"]


@pytest.mark.parametrize("limit", [1, 2, 3, 4, 5, 6, 7])
def test_pages_hold_every_product_once(catalogue: Session, limit: int) -> None:
    seen: list[str] = []
    position = None
    while True:
        page, position = list_products(catalogue, ProductFilters(), limit, position)
        assert len(page) == limit or position is None
        seen += [found.product.sku for found in page]
        if position is None:
            break
    assert seen == ["c1", "o1", "m1", "m2", "x1", "x2"]


def test_filters(catalogue: Session) -> None:
    assert listed(catalogue, category="food>DAIRY") == ["c1", "m1", "m2"]
    assert listed(catalogue, category="Food > Dairy_Free") == ["o1"]
    assert listed(catalogue, category="Dairy") == []
    assert listed(catalogue, brand="ARLA") == ["c1", "m2"]
    assert listed(catalogue, brand="nobody") == []
    assert listed(catalogue, text="mil") == ["m1", "m2"]
    assert listed(catalogue, text="ilk") == []
    assert listed(catalogue, text="100%") == ["o1"]
    assert listed(catalogue, text="%") == []
    assert listed(catalogue, available=True, text="whole") == ["m2"]
    assert listed(catalogue, available=False) == ["m1"]


def test_the_category_tree_counts_what_lies_below(catalogue: Session) -> None:
    milk = CategoryNode("Milk", "Food > Dairy > Milk", 2, ())
    dairy = CategoryNode("Dairy", "Food > Dairy", 3, (milk,))
    free = CategoryNode("Dairy_Free", "Food > Dairy_Free", 1, ())
    assert read_tree(catalogue) == (
        CategoryNode("Food", "Food", 4, (dairy, free)),
        CategoryNode("Toys", "Toys", 0, ()),
    )
    assert category_exists(catalogue, "FOOD>dairy") and not category_exists(catalogue, "Dairy")


def test_brands_come_in_pages_with_their_products(catalogue: Session) -> None:
    catalogue.add(Brand(name="Unused", name_key="unused"))
    catalogue.flush()
    first, after = list_brands(catalogue, 1)
    assert [(brand.name, brand.products) for brand in first] == [("Arla", 2)] and after == "arla"
    second, end = list_brands(catalogue, 1, after)
    assert [(brand.name, brand.products) for brand in second] == [("Zen", 2)] and end is None
    assert [brand.name for brand in list_brands(catalogue, 10, text="Z")[0]] == ["Zen"]
