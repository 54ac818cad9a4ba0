"""Products like a pick, ranked in SQL.

Candidates come in four *circles* around the pick, nearest first: the same type; the same category; the
category above it; everything else. A circle is ranked whole before the next, each with a band of similarity:

    similarity = low + (high - low) * (COLOUR_WEIGHT * colour + LOOK_WEIGHT * look)
                                      / (sum of the weights of the parts the pick has)
    colour     = exp(-dE / COLOUR_SCALE), dE = CIE76 distance of the two products' Lab; where either has none:
                 1 for the same colour name, 0 for another
    look       = (cosine of the two looks - LOOK_FLOOR) / (1 - LOOK_FLOOR), cut to 0..1

A part the pick lacks is left out for all candidates alike; a part only the candidate lacks counts 0.
A page reads one circle, the next only when that is used up: its cost grows with the circle.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import (
    ColumnElement,
    Double,
    Integer,
    Subquery,
    and_,
    case,
    cast,
    func,
    literal,
    not_,
    null,
    or_,
    select,
    tuple_,
    type_coerce,
)
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.orm import Session as DbSession
from sqlalchemy.orm import aliased

from app.store.products import PATH_SEPARATOR, in_subtree
from app.store.tables import Bundle, Category, Product, ProductLook, Space

COLOUR_WEIGHT = 0.4
LOOK_WEIGHT = 0.6
"""Chosen on studio photos of fashion products: more weight on colour found no more of the same colour name
(0.49 of ten), only fewer of the same gender and use."""
COLOUR_SCALE = 25.0
"""CIE76 units after which the colour part has fallen to 1/e."""
LOOK_FLOOR = 0.75
"""Cosine of looks at which products count as unlike: the 1st percentile of random pairs, ImageNet weights."""
STEPS = 1_000_000
"""Similarity is rounded to 1 / STEPS and kept as an integer, so that a cursor compares exactly."""


Wanted = Sequence[ColumnElement[bool]]
"""The shopper's conditions on ``Product``."""


class Circle(NamedTuple):
    """closeness: the type part of a reason; low, high: the band of similarity."""

    closeness: float
    low: float
    high: float


CIRCLES = (Circle(1.0, 0.5, 1.0), Circle(0.5, 0.3, 0.5), Circle(0.25, 0.15, 0.3), Circle(0.0, 0.0, 0.15))
"""Same type, same category, category above, everything else."""


@dataclass(frozen=True, slots=True)
class Pick:
    """What is known of the picked product. has_look: whether it has one in the space."""

    id: int
    label: str
    type_key: str | None
    colour_key: str | None
    category_key: str | None
    lab: tuple[float, float, float] | None
    has_look: bool
    space_id: int | None


@dataclass(frozen=True, slots=True)
class Position:
    """Where a page ended: the circle, the last item's similarity in steps, its id."""

    circle: int
    steps: int
    product_id: int


@dataclass(frozen=True, slots=True)
class Match:
    """One ranked product. similarity and its parts type, colour, look in [0, 1]; None where unknown."""

    product_id: int
    position: Position
    similarity: float
    type: float | None
    colour: float | None
    look: float | None


def load_pick(session: DbSession, sku: str, space_id: int | None) -> Pick | None:
    """The picked product, or None where no product has the sku. space_id: where looks are compared."""
    look = (
        select(ProductLook.product_id)
        .where(ProductLook.space_id == space_id, ProductLook.product_id == Product.id)
        .exists()
    )
    row = session.execute(
        select(Product, Category.path_key, look).outerjoin(Category).where(Product.sku == sku)
    ).one_or_none()
    if row is None:
        return None
    product, path_key, has_look = row
    lab = None if product.lab is None else (product.lab[0], product.lab[1], product.lab[2])
    return Pick(
        id=product.id,
        label=product.label,
        type_key=product.effective_type_key,
        colour_key=product.effective_colour_key,
        category_key=path_key,
        lab=lab,
        has_look=bool(has_look),
        space_id=space_id,
    )


def looks_space(session: DbSession) -> int | None:
    """The space to compare looks in: the champion's; before anything is published, the newest; else None."""
    published = select(Bundle.space_id).where(Bundle.state == "champion")
    newest = select(Space.id).order_by(Space.id.desc()).limit(1)
    found: int | None = session.scalar(published) or session.scalar(newest)
    return found


def nearest_circle(session: DbSession, pick: Pick) -> int:
    """The nearest circle that holds an available product, whatever the shopper prefers."""
    for circle in range(len(CIRCLES) - 1):
        if session.scalar(select(select(Product.id).where(*base_conditions(pick), in_circle(pick, circle)).exists())):
            return circle
    return len(CIRCLES) - 1


def ranked(session: DbSession, pick: Pick, wanted: Wanted, limit: int, after: Position | None) -> list[Match]:
    """The next ``limit`` matches of the pick, most alike first; equal similarity is ordered by id.

    wanted: the shopper's conditions. One product a label: its most similar one that passes them.
    Never the pick or another sku of its label, never an unavailable product.
    """
    matches: list[Match] = []
    for circle in range(0 if after is None else after.circle, len(CIRCLES)):
        if len(matches) == limit:
            break
        if circle < len(CIRCLES) - 1 and _inside(pick, circle) is None:
            continue
        start = after if after is not None and after.circle == circle else None
        matches += _page_of_circle(session, pick, circle, wanted, limit - len(matches), after=start)
    return matches


def _page_of_circle(
    session: DbSession, pick: Pick, circle: int, wanted: Wanted, limit: int, *, after: Position | None
) -> list[Match]:
    scored = _scored(pick, circle, wanted)
    best = (
        select(scored)
        .ext(distinct_on(scored.c.label))
        .order_by(scored.c.label, scored.c.steps.desc(), scored.c.id)
        .subquery("best")
    )
    statement = select(best).order_by(best.c.steps.desc(), best.c.id).limit(limit)
    if after is not None:
        statement = statement.where(tuple_(-best.c.steps, best.c.id) > (-after.steps, after.product_id))
    closeness = CIRCLES[circle].closeness
    return [
        Match(
            product_id=row.id,
            position=Position(circle, row.steps, row.id),
            similarity=row.steps / STEPS,
            type=closeness if pick.type_key is not None and row.type_key is not None else None,
            colour=row.colour,
            look=row.look,
        )
        for row in session.execute(statement)
    ]


def _scored(pick: Pick, circle: int, wanted: Wanted) -> Subquery:
    """Every product of the circle that passes: id, label, type_key, colour, look, steps."""
    colour, look = _colour(pick), _look(pick)
    parts: list[tuple[float, ColumnElement[Any]]] = []
    if pick.lab is not None or pick.colour_key is not None:
        parts.append((COLOUR_WEIGHT, colour))
    if pick.has_look:
        parts.append((LOOK_WEIGHT, look))
    total = sum(weight for weight, _ in parts)
    blend: ColumnElement[Any] = literal(0.0, Double)
    for weight, part in parts:
        blend = blend + weight / total * func.coalesce(part, 0.0)
    band = CIRCLES[circle]
    similarity = band.low + (band.high - band.low) * blend
    return (
        select(
            Product.id,
            Product.label,
            Product.effective_type_key.label("type_key"),
            colour.label("colour"),
            look.label("look"),
            cast(func.round(similarity * STEPS), Integer).label("steps"),
        )
        .outerjoin(ProductLook, and_(ProductLook.product_id == Product.id, ProductLook.space_id == pick.space_id))
        .where(*base_conditions(pick), in_circle(pick, circle), *wanted, *_label_not_nearer(pick, circle, wanted))
        .subquery("scored")
    )


def base_conditions(pick: Pick) -> list[ColumnElement[bool]]:
    """What holds for every candidate."""
    return [Product.available.is_(True), Product.label != pick.label]


def _inside(pick: Pick, circle: int, product: Any = Product) -> ColumnElement[bool] | None:
    """Membership of the circle *or a nearer one of its kind*; None where the pick lacks what defines it."""
    if circle == 0:
        return None if pick.type_key is None else func.coalesce(product.effective_type_key == pick.type_key, False)
    path = pick.category_key
    if circle == 2 and path is not None:
        path = path.rpartition(PATH_SEPARATOR)[0] or None
    if path is None:
        return None
    nodes = select(Category.id).where(in_subtree(path))
    return func.coalesce(product.category_id.in_(nodes), False)


def in_circle(pick: Pick, circle: int) -> ColumnElement[bool]:
    """In this circle and in none nearer; the last circle holds all the rest."""
    nearer = [inside for c in range(circle) if (inside := _inside(pick, c)) is not None]
    own = literal(True) if circle == len(CIRCLES) - 1 else _inside(pick, circle)
    if own is None:
        return literal(False)
    return and_(own, *(not_(inside) for inside in nearer))


def _label_not_nearer(pick: Pick, circle: int, wanted: Wanted) -> list[ColumnElement[bool]]:
    """Not a product whose label another sku, passing the filters, already showed in a nearer circle."""
    if circle == 0:
        return []
    sibling = aliased(Product, name="sibling")
    nearer = [inside for c in range(circle) if (inside := _inside(pick, c, sibling)) is not None]
    if not nearer:
        return []
    passing = select(Product.id).where(Product.available.is_(True), *wanted)
    shown = (
        select(literal(1))
        .select_from(sibling)
        .where(sibling.label == Product.label, or_(*nearer), sibling.id.in_(passing.correlate(None)))
        .exists()
    )
    return [or_(Product.group.is_(None), not_(shown))]


def _colour(pick: Pick) -> ColumnElement[Any]:
    by_name = (
        null()
        if pick.colour_key is None
        else case(
            (Product.effective_colour_key.is_(None), None),
            (Product.effective_colour_key == pick.colour_key, 1.0),
            else_=0.0,
        )
    )
    if pick.lab is None:
        return type_coerce(cast(by_name, Double), Double)
    squares = [func.power(cast(Product.lab[axis], Double) - value, 2) for axis, value in enumerate(pick.lab, start=1)]
    distance = func.sqrt(squares[0] + squares[1] + squares[2])
    return case((Product.lab.is_not(None), func.exp(-distance / COLOUR_SCALE)), else_=cast(by_name, Double))


def _look(pick: Pick) -> ColumnElement[Any]:
    if not pick.has_look:
        return cast(null(), Double)
    own = (
        select(ProductLook.look)
        .where(ProductLook.space_id == pick.space_id, ProductLook.product_id == pick.id)
        .correlate(None)
        .scalar_subquery()
    )
    cosine: ColumnElement[Any] = 1 - ProductLook.look.op("<=>", return_type=Double())(own)
    look = (cosine - LOOK_FLOOR) / (1 - LOOK_FLOOR)
    # LEAST and GREATEST skip nulls in PostgreSQL: a product without a look must stay unknown.
    return case((ProductLook.look.is_not(None), func.least(1.0, func.greatest(0.0, look))), else_=null())
