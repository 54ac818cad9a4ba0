"""How good recommendations are: the recommender, looks alone and chance on the same picks.

The catalogue's own type, colour and category names are the judge. Type is also an input of the recommender,
so ``photos_only`` shows it without any name from the catalogue: colour as measured and look as seen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from sqlalchemy import Engine, func, select
from sqlalchemy.orm import Session as DbSession

from app.store.database import transaction
from app.store.similar import Pick, load_pick, looks_space, ranked
from app.store.tables import Product, ProductLook
from models.errors import NotEnoughData

TOP: Final = 10
METHODS: Final = ("recommender", "photos_only", "look_only", "random")
FEWEST_PICKS: Final = 10


@dataclass(frozen=True, slots=True)
class Relevance:
    """Share of the first ``TOP``, in [0, 1], of which the catalogue says the same as of the pick."""

    type: float
    colour: float
    type_and_colour: float
    category_and_colour: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """picks: how many products were picked. methods: relevance by method, keys ``METHODS``."""

    picks: int
    methods: Mapping[str, Relevance]


@dataclass(frozen=True, slots=True)
class _Judged:
    """What the judge knows of a product."""

    type_key: str | None
    colour_key: str | None
    category_id: int | None


def compare_recommenders(engine: Engine, picks: int = 300, seed: int = 0) -> Comparison:
    """Pick products at random and compare what each method recommends first.

    Only products with a given type, a given colour, a category and a look are picked; candidates are all
    available ones. The same catalogue and seed give the same figures.

    :raise NotEnoughData: fewer than ``FEWEST_PICKS`` such products.
    """
    with transaction(engine) as session:
        space_id = looks_space(session)
        chosen = _choose(session, space_id, picks, seed)
        if len(chosen) < FEWEST_PICKS:
            raise NotEnoughData(
                f"{len(chosen)} products have type, colour, category and a look; at least {FEWEST_PICKS} are "
                "needed (run `python -m app bottlenecks` after the import)"
            )
        lists: dict[str, list[Relevance]] = {method: [] for method in METHODS}
        for number, sku in enumerate(chosen):
            pick = load_pick(session, sku, space_id)
            assert pick is not None
            for method in METHODS:
                found = _first(session, pick, method, f"{seed}-{number}")
                lists[method].append(_judge(session, pick.id, found))
    return Comparison(len(chosen), {method: _mean(values) for method, values in lists.items()})


def _choose(session: DbSession, space_id: int | None, picks: int, seed: int) -> list[str]:
    statement = (
        select(Product.sku)
        .join(ProductLook, (ProductLook.product_id == Product.id) & (ProductLook.space_id == space_id))
        .where(Product.type_key.is_not(None), Product.colour_key.is_not(None), Product.category_id.is_not(None))
        .order_by(func.md5(Product.sku + f"#{seed}"))
        .limit(picks)
    )
    return list(session.scalars(statement))


def _first(session: DbSession, pick: Pick, method: str, salt: str) -> list[int]:
    """The ids of the first ``TOP`` recommendations."""
    if method == "recommender":
        return [match.product_id for match in ranked(session, pick, [], TOP, None)]
    if method == "photos_only":
        bare = replace(pick, type_key=None, category_key=None, colour_key=None)
        return [match.product_id for match in ranked(session, bare, [], TOP, None)]
    candidates = select(Product.id).where(Product.available.is_(True), Product.label != pick.label).limit(TOP)
    if method == "look_only":
        own = (
            select(ProductLook.look)
            .where(ProductLook.space_id == pick.space_id, ProductLook.product_id == pick.id)
            .correlate(None)
            .scalar_subquery()
        )
        near = candidates.join(
            ProductLook, (ProductLook.product_id == Product.id) & (ProductLook.space_id == pick.space_id)
        ).order_by(ProductLook.look.cosine_distance(own), Product.id)
        return list(session.scalars(near))
    return list(session.scalars(candidates.order_by(func.md5(Product.sku + f"#{salt}"))))


def _judge(session: DbSession, pick_id: int, found: Sequence[int]) -> Relevance:
    rows = session.execute(
        select(Product.id, Product.type_key, Product.colour_key, Product.category_id).where(
            Product.id.in_([pick_id, *found])
        )
    )
    known = {row[0]: _Judged(row[1], row[2], row[3]) for row in rows}
    pick = known[pick_id]
    others = [known[product_id] for product_id in found]
    count = max(len(others), 1)
    same_colour = [other.colour_key == pick.colour_key for other in others]
    same_type = [other.type_key == pick.type_key for other in others]
    same_category = [other.category_id == pick.category_id for other in others]
    return Relevance(
        type=sum(same_type) / count,
        colour=sum(same_colour) / count,
        type_and_colour=sum(map(min, same_type, same_colour)) / count,
        category_and_colour=sum(map(min, same_category, same_colour)) / count,
    )


def _mean(values: Sequence[Relevance]) -> Relevance:
    count = len(values)
    return Relevance(
        type=sum(value.type for value in values) / count,
        colour=sum(value.colour for value in values) / count,
        type_and_colour=sum(value.type_and_colour for value in values) / count,
        category_and_colour=sum(value.category_and_colour for value in values) / count,
    )
