"""How a product looks in every answer."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field

from app.store.media import public_path
from app.store.tables import Product


class Predicted(BaseModel):
    """An attribute recognised from the photos."""

    value: str
    confidence: float | None = Field(description="In [0, 1].")


class PredictedAttributes(BaseModel):
    """What the photos say, apart from what the catalogue says."""

    type: Predicted | None
    colour: Predicted | None


class ProductOut(BaseModel):
    """A product. What the catalogue does not say is null."""

    sku: str
    name: str | None
    brand: str | None
    category: str | None = Field(description='Path, e.g. "Grocery > Dairy > Milk".')
    type: str | None = Field(description="As the catalogue gives it.")
    colour: str | None = Field(description="As the catalogue gives it.")
    predicted: PredictedAttributes = Field(description="Recognised from the photos.")
    price: str | None = Field(description="Decimal string.", examples=["12.50"])
    currency: str | None = Field(description="ISO 4217.")
    available: bool
    image_url: str | None = Field(description="Path on this host of a WebP of at most 800 pixels an edge.")


def product_out(product: Product, image_token: str | None, edge: Literal["200", "800"] = "800") -> ProductOut:
    """Serialise a product loaded with its brand and category."""
    return ProductOut(
        sku=product.sku,
        name=product.name,
        brand=None if product.brand is None else product.brand.name,
        category=None if product.category is None else product.category.path,
        type=product.type,
        colour=product.colour,
        predicted=predicted_out(product),
        price=None if product.price is None else f"{product.price:.2f}",
        currency=product.currency,
        available=product.available,
        image_url=None if image_token is None else public_path(image_token, edge),
    )


def predicted_out(product: Product) -> PredictedAttributes:
    """Serialise what was recognised from a product's photos."""
    return PredictedAttributes(
        type=_predicted(product.predicted_type, product.predicted_type_confidence),
        colour=_predicted(product.predicted_colour, product.predicted_colour_confidence),
    )


def _predicted(value: str | None, confidence: float | None) -> Predicted | None:
    return None if value is None else Predicted(value=value, confidence=confidence)
