"""POST /v1/recommendations: products like a picked one that suit the shopper's choices."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated
from uuid import UUID

from flask import Response, jsonify
from pydantic import BaseModel, ConfigDict, Field

from app.api import limits
from app.api.context import container
from app.api.fields import PAGE_LIMIT, Cursor, Name, Sku
from app.api.products import ProductOut, product_out
from app.api.resource import resource
from app.api.security import principal
from app.services.limits import operations_of
from app.services.recommend import DEFAULT_LIMIT, RecommendedItem, RecommendFilters
from app.store.preferences import Facets

api = resource("recommendations", "/v1", secured=True)

_MAX_CHOICES = 50

Price = Annotated[Decimal, Field(ge=0, max_digits=14, decimal_places=2)]


class RecommendationRequest(BaseModel):
    """The pick and the shopper's choices."""

    model_config = ConfigDict(extra="forbid")

    sku: Sku = Field(description="The picked product.")
    query_id: UUID | None = Field(None, description="The search it was picked from; one of this session.")
    brands: list[Name] = Field([], max_length=_MAX_CHOICES, description="Any of these.")
    min_price: Price | None = Field(None, description="A price filter leaves out products without a price.")
    max_price: Price | None = None
    colours: list[Name] = Field([], max_length=_MAX_CHOICES, description="Any of these, given or recognised.")
    limit: int = Field(DEFAULT_LIMIT, ge=1, le=PAGE_LIMIT)
    cursor: Cursor | None = Field(None, description="next_cursor of the page before, with the same choices.")


class WhyOut(BaseModel):
    """The parts of a similarity, each in [0, 1]; null where the products do not tell."""

    type: float | None
    colour: float | None
    look: float | None


class RecommendedOut(BaseModel):
    """A product and why it is shown."""

    product: ProductOut
    similarity: float = Field(description="In [0, 1], never rising from item to item.")
    why: WhyOut


class FacetOut(BaseModel):
    """A choice and what it would leave."""

    name: str
    count: int


class PriceRangeOut(BaseModel):
    """Decimal strings; null where no price is known."""

    min: str | None
    max: str | None


class FacetsOut(BaseModel):
    """The choices there are; each counts what passes all choices but its own."""

    brands: list[FacetOut]
    colours: list[FacetOut]
    price: PriceRangeOut
    without_price: int = Field(description="Products that a price filter leaves out because theirs is unknown.")


class RecommendationsOut(BaseModel):
    """A page of recommendations."""

    items: list[RecommendedOut]
    facets: FacetsOut
    next_cursor: str | None


@api.post("/recommendations", responses={200: RecommendationsOut})
def recommend(body: RecommendationRequest) -> Response:
    """Recommend products like the picked one: alike in type, colour and look, passing the choices.

    The pick itself is never among them.
    """
    limits.spend(operations_of(body.limit) - 1)
    if body.query_id is not None:
        container().feedback.require_own(principal(), body.query_id)
    filters = RecommendFilters(tuple(body.brands), tuple(body.colours), body.min_price, body.max_price)
    page = container().recommend.recommend(body.sku, filters, body.limit, body.cursor)
    out = RecommendationsOut(
        items=[_item_out(item) for item in page.items],
        facets=_facets_out(page.facets),
        next_cursor=page.next_cursor,
    )
    return jsonify(out.model_dump(mode="json"))


def _item_out(item: RecommendedItem) -> RecommendedOut:
    return RecommendedOut(
        product=product_out(item.product.product, item.product.image_token),
        similarity=item.similarity,
        why=WhyOut(type=item.why.type, colour=item.why.colour, look=item.why.look),
    )


def _facets_out(facets: Facets) -> FacetsOut:
    return FacetsOut(
        brands=[FacetOut(name=value.name, count=value.count) for value in facets.brands],
        colours=[FacetOut(name=value.name, count=value.count) for value in facets.colours],
        price=PriceRangeOut(min=_decimal(facets.price.min), max=_decimal(facets.price.max)),
        without_price=facets.without_price,
    )


def _decimal(price: Decimal | None) -> str | None:
    return None if price is None else f"{price:.2f}"
