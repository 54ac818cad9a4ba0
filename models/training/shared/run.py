"""The whole of a shared-space training: hold out, learn, measure, then learn once more from everything.

What is reported was measured on products that the measured model had not seen, with encoders, refining, duplicate
model and restricted class all made without them; listings that are predicted to be one product are held out together.
What is served has learned from all.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np

from models.multimodal.matching import MatchModel
from models.multimodal.names import normalise
from models.multimodal.restricted import RestrictedModel
from models.multimodal.shared import SHARED_SIZE, ProductWords, RefineModel, SharedSpace, unit
from models.multimodal.shared_bundle import SharedParts
from models.multimodal.subwords import VOCABULARY_SIZE
from models.training.shared.captions import vocabulary
from models.training.shared.data import Ints, Listing, SharedData
from models.training.shared.learner import SharedSettings, fit_encoders
from models.training.shared.matching import Side, duplicate_measures, fit_match
from models.training.shared.measures import (
    Gallery,
    held_out_for_good,
    named_attribute,
    names_to_products,
    refined,
    words_to_products,
)
from models.training.shared.refine import (
    RefineSettings,
    Tasks,
    fit_refine,
    photos_alone,
    plain_sum,
    words_alone,
)
from models.training.shared.restricted import fit_restricted, recalibrated, restricted_measures
from models.training.shared.rewording import reword
from models.values import BOTTLENECK_SIZE, Float32

NAME_SHARE: Final = 0.6
"""Weight of the name in a product's place, beside its photo's."""

HELD_OUT: Final = 0.2
_REFINE_COLOURS: Final = 8

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class SharedOptions:
    """vocabulary: pieces asked for. measure: whether to hold out and measure before the final training."""

    vocabulary: int = VOCABULARY_SIZE
    encoders: SharedSettings = field(default_factory=SharedSettings)
    refine: RefineSettings = field(default_factory=RefineSettings)
    measure: bool = True
    seed: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Planted:
    """Other photos of some listings, for planted duplicates. rows: int (n,), whose. vectors: float32 (n, 2048)."""

    rows: Ints
    vectors: Float32

    @classmethod
    def none(cls) -> Planted:
        """No duplicates can be planted."""
        return cls(np.empty(0, np.int64), np.empty((0, BOTTLENECK_SIZE), np.float32))


@dataclass(frozen=True, slots=True, eq=False)
class Learned:
    """What was learned from some of the listings."""

    shared: SharedSpace
    match: MatchModel | None
    restricted: RestrictedModel | None
    losses: tuple[tuple[float, float], ...]


def train_shared(
    data: SharedData, planted: Planted, options: SharedOptions | None = None, say: Say = lambda line: None
) -> SharedParts:
    """Everything that a version consists of.

    :raise NotEnoughData: too few products with a photo and a name.
    """
    options = options or SharedOptions()
    everything = np.arange(len(data))
    metrics: dict[str, Any] = {"data": _facts(data, planted)}
    unseen: RestrictedModel | None = None
    trial: SharedParts | None = None
    held: tuple[str, ...] = ()
    if options.measure:
        out = held_out_for_good(data.groups, [listing.sku for listing in data.listings], HELD_OUT)
        say("shared space: learning from four fifths of the products, to measure on the others")
        learned = learn(data, everything[~out], planted, options, say)
        metrics["measured"] = measure(learned, data, everything[out], planted, options.seed)
        unseen = _recalibrated(learned, data, everything[out])
        trial = SharedParts(learned.shared, learned.match, unseen, {})
        held = tuple(data.listings[row].sku for row in everything[out])
    say("shared space: learning from all products")
    final = learn(data, everything, planted, options, say)
    restricted = final.restricted
    if restricted is not None and unseen is not None:
        restricted = replace(restricted, thresholds=unseen.thresholds)
    metrics["losses"] = [list(pair) for pair in final.losses]
    return SharedParts(final.shared, final.match, restricted, metrics, trial, held)


def learn(data: SharedData, rows: Ints, planted: Planted, options: SharedOptions, say: Say) -> Learned:
    """Learn from these listings alone. rows: int (n,)."""
    subwords = vocabulary([data.listings[row] for row in rows], options.vocabulary)
    encoders = fit_encoders(data, rows, subwords, replace(options.encoders, seed=options.seed), say)
    shown = rows[np.isin(rows, data.photo_rows)]
    photos = encoders.image.encode(data.vectors[data.first_photos()[shown]])
    say("shared space: refining a photo by words")
    refine = fit_refine(Tasks(data, shown, photos, encoders.text, options.seed), options.refine)
    shared = SharedSpace(encoders.image, encoders.text, refine, NAME_SHARE)
    say("shared space: duplicates and the restricted class")
    match = _fit_match(shared, data, rows, planted, options.seed)
    restricted = fit_restricted(*parts_of(shared, data, rows), [data.listings[row].restricted for row in rows])
    return Learned(shared, match, restricted, encoders.losses)


def measure(learned: Learned, data: SharedData, rows: Ints, planted: Planted, seed: int) -> dict[str, Any]:
    """Every measure on held-out listings. rows: int (n,). See ``models.training.shared.measures``."""
    shared = learned.shared
    names, looks = parts_of(shared, data, rows)
    listings = [data.listings[row] for row in rows]
    texts = [product_text(listing) for listing in listings]
    has_photo = np.asarray(looks.any(axis=1), dtype=bool)
    shown = [listing for listing, there in zip(listings, has_photo, strict=True) if there]
    pictures, whole = Gallery(shown, looks[has_photo]), Gallery(listings, shared.place(texts, looks))
    encode = shared.text.encode
    # By name and photo alone: the words asked for are the row's own columns, which a place as served contains.
    plain = Gallery(listings, shared.place([listing.name or "" for listing in listings], looks))
    random = np.random.default_rng(seed)
    return {
        "products": len(listings),
        "with_photo": len(shown),
        "picture_alone": words_to_products(pictures, encode),
        "with_names": words_to_products(plain, encode),
        "as_served": words_to_products(whole, encode),
        "name": names_to_products(whole, encode),
        "reworded_name": names_to_products(whole, encode, lambda name: reword(name, random)),
        "attributes": {
            name: named_attribute(pictures.vectors, values, encode) for name, values in _attributes(shown).items()
        },
        "refine": refine_measures(shared.refining, pictures, shared, seed),
        "duplicates": _duplicates(learned, data, rows, planted, seed),
        # Every other held-out product sets the thresholds, the rest are asked about.
        "restricted": restricted_measures(
            _recalibrated(learned, data, rows[::2]),
            names[1::2],
            looks[1::2],
            [listing.restricted for listing in listings[1::2]],
        ),
    }


def _recalibrated(learned: Learned, data: SharedData, rows: Ints) -> RestrictedModel | None:
    marks = [data.listings[row].restricted for row in rows]
    return recalibrated(learned.restricted, *parts_of(learned.shared, data, rows), marks)


def refine_measures(model: RefineModel, pictures: Gallery, shared: SharedSpace, seed: int) -> dict[str, Any]:
    """``{learned, sum, photo, words}``: the model beside plain ways of hearing photo and words."""
    told = [normalise(listing.colour or "") for listing in pictures.listings]
    names, counts = np.unique([colour for colour in told if colour] or [""], return_counts=True)
    colours = [str(name) for name in names[np.argsort(-counts, kind="stable")][:_REFINE_COLOURS] if name]
    ways = {"learned": model.refine, "sum": plain_sum, "photo": photos_alone, "words": words_alone}
    return {
        name: refined(pictures, colours, way, shared.text.encode, seed, pictures.vectors) for name, way in ways.items()
    }


def product_text(listing: Listing) -> str:
    """As serving makes it of the product's row."""
    return ProductWords(listing.name, listing.brand, listing.type, listing.colour, listing.category).text()


def parts_of(shared: SharedSpace, data: SharedData, rows: Ints) -> tuple[Float32, Float32]:
    """(names, photos) of listings in the shared space, float32 (n, d) each; zeros where there is none."""
    names = shared.text.encode([product_text(data.listings[row]) for row in rows])
    looks = np.zeros((len(rows), SHARED_SIZE), np.float32)
    photos = data.photos_of(rows)
    if len(photos):
        place = np.full(len(data), -1, dtype=np.int64)
        place[rows] = np.arange(len(rows))
        np.add.at(looks, place[data.photo_rows[photos]], shared.image.encode(data.vectors[photos]))
    return names, unit(looks)


def _attributes(listings: Sequence[Listing]) -> dict[str, list[str | None]]:
    """Zero-shot questions: what each is, in the catalogue's own words."""
    slots = [listing.slots() for listing in listings]
    return {name: [told.get(name) for told in slots] for name in ("type", "colour", "brand", "season")}


def _plant(shared: SharedSpace, data: SharedData, rows: Ints, planted: Planted, seed: int) -> tuple[Side, Side, Ints]:
    """(planted duplicates, the listings with a photo and a name, of which of these each is a duplicate)."""
    first = data.first_photos()
    shown = np.array([row for row in rows if first[row] >= 0 and data.listings[row].name], dtype=np.int64)
    place = {int(row): i for i, row in enumerate(shown)}
    chosen = [i for i, row in enumerate(planted.rows) if int(row) in place]
    random = np.random.default_rng(seed)
    whose = planted.rows[chosen]
    gallery = Side.of(
        data.vectors[first[shown]], [data.listings[row].name or "" for row in shown], shared.text, data.groups[shown]
    )
    copies = [reword(data.listings[row].name or "", random) for row in whose]
    others = Side.of(planted.vectors[chosen], copies, shared.text, data.groups[whose])
    return others, gallery, np.array([place[int(row)] for row in whose], dtype=np.int64)


def _fit_match(shared: SharedSpace, data: SharedData, rows: Ints, planted: Planted, seed: int) -> MatchModel | None:
    others, gallery, sources = _plant(shared, data, rows, planted, seed)
    return fit_match(others, gallery, sources, [data.listings[row].name or "" for row in rows])


def _duplicates(learned: Learned, data: SharedData, rows: Ints, planted: Planted, seed: int) -> dict[str, Any] | None:
    """None where none could be planted."""
    others, gallery, sources = _plant(learned.shared, data, rows, planted, seed + 1)
    if learned.match is None or not len(others):
        return None
    return duplicate_measures(learned.match, others, gallery, sources)


def _facts(data: SharedData, planted: Planted) -> dict[str, Any]:
    sizes = np.bincount(data.groups) if len(data) else np.zeros(0, np.int64)
    return {
        "products": len(data),
        "with_photo": len(np.unique(data.photo_rows)),
        "photos": len(data.photo_rows),
        "groups_of_several": int((sizes > 1).sum()),
        "planted": len(planted.rows),
    }
