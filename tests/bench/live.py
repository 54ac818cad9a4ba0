"""Two speeds: products added over HTTP and searched at once in every process; deleted ones; new photos retrained."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import text

from app.cli.demo.shop import FAMILY
from augment.render import RenderedProduct, make_catalogue
from augment.variants import VARIANT_NAMES
from tests.bench.drawn import phone_photos, studio_photo
from tests.bench.judging import Promise, percent, share
from tests.bench.pinned import Line, lines
from tests.bench.shop import PROCESSES, PlainKnn, Shop

OF_PLAIN_KNN = 0.9
"""Share of plain k-NN's Top-5 that the service must reach on new products."""

UNKNOWN = 0.1
"""Share of photos of new products that may be answered *unknown*."""

NEW_PHOTOS = 0.05
"""Of all photos, that are added before the retraining whose network work is counted."""

_SEED = 77
_PHOTO_SEED = 30_000
_ADDED_VIEWS = (0, 3)
_OTHER_VIEW = 1
_PHONE_PHOTOS = 2
IMAGES = 1 + len(VARIANT_NAMES)


@dataclass(frozen=True, slots=True)
class Look:
    """One search for a new product in one process.

    kind: ``phone`` or ``studio``. present: labels in the catalogue at that moment. after_s: from the 201 that added the
    last photo to this answer.
    """

    sku: str
    photo: bytes
    kind: str
    pid: int
    candidates: tuple[str, ...]
    verdict: str
    after_s: float
    present: frozenset[str]


def newcomers(count: int) -> list[RenderedProduct]:
    """Products that the shop does not have."""
    return make_catalogue(count, _SEED, FAMILY)


def add_and_search(shop: Shop, products: Sequence[RenderedProduct]) -> tuple[list[Look], list[list[tuple[bytes, str]]]]:
    """Add each with one photo or two, and search in every process with photos that were not added, right after the 201.

    Returns the looks, and for each product its other photos with their kind.
    """
    shop.say(f"drawing {len(products)} products that the shop does not have")
    phones = phone_photos(products, _PHOTO_SEED, _PHONE_PHOTOS)
    others = [
        [*((photo, "phone") for photo in mine), (studio_photo(product, _OTHER_VIEW), "studio")]
        for product, mine in zip(products, phones, strict=True)
    ]
    present = {product.sku for product in shop.products}
    looks: list[Look] = []
    ways = lines(shop.place, shop.admin.key)
    shop.say(f"adding them one after the other, and searching in processes {[way.pid for way in ways]}")
    for number, (product, mine) in enumerate(zip(products, others, strict=True)):
        shop.admin.put_product(product.sku, name=product.name, brand=product.brand, category=product.category)
        views = _ADDED_VIEWS[: 1 + number % 2]
        shop.admin.add_photos(product.sku, [studio_photo(product, view) for view in views])
        added = time.monotonic()
        present.add(product.sku)
        for way in ways:
            for photo, kind in mine:
                looks.append(_look(way, product.sku, photo, kind, added, frozenset(present)))
    for way in ways:
        way.close()
    return looks, others


def _look(way: Line, sku: str, photo: bytes, kind: str, added: float, present: frozenset[str]) -> Look:
    answer = way.search(photo)
    body: dict[str, Any] = (
        answer.body if answer.status == 200 else {"candidates": [], "verdict": f"status {answer.status}"}
    )
    named = tuple(candidate["label"] for candidate in body["candidates"])
    return Look(sku, photo, kind, way.pid, named, body["verdict"], answer.at + answer.seconds - added, present)


def judge_looks(shop: Shop, looks: Sequence[Look]) -> dict[str, Any]:
    """The service's answers beside plain exact k-NN's on the same photos and the same catalogue, by kind of photo."""
    shop.say("asking plain exact k-NN about the same photos")
    plain = PlainKnn(shop.place, shop.admin.champion())
    distinct = list({look.photo: None for look in looks})
    vector_of = dict(zip(distinct, plain.bottlenecks(distinct), strict=True))
    result: dict[str, Any] = {"processes": len({look.pid for look in looks}), "kinds": {}}
    for kind in ("phone", "studio"):
        mine = [look for look in looks if look.kind == kind]
        by_knn = [look.sku in plain.top5(vector_of[look.photo][None], look.present)[0] for look in mine]
        result["kinds"][kind] = {
            "searches": len(mine),
            "top1": share(look.candidates[:1] == (look.sku,) for look in mine),
            "top5": share(look.sku in look.candidates for look in mine),
            "plain_knn_top5": share(by_knn),
            "unknown": share(look.verdict == "unknown" for look in mine),
            "not_answered": sum(look.verdict.startswith("status") for look in mine),
        }
    firsts = [look for place, look in enumerate(looks) if place % (len(looks) // len({k.sku for k in looks})) == 0]
    result["first_answer_after_s"] = {
        "median": sorted(look.after_s for look in firsts)[len(firsts) // 2],
        "longest": max(look.after_s for look in firsts),
    }
    return result


def promises_of_looks(found: dict[str, Any], products: int) -> list[Promise]:
    """Whether new products are found as plain k-NN finds them, and taken for known."""
    promises = [
        Promise(
            "every process was asked", found["processes"] == PROCESSES, f"{found['processes']} of {PROCESSES} processes"
        )
    ]
    for kind, row in found["kinds"].items():
        wanted = OF_PLAIN_KNN * (row["plain_knn_top5"] or 0.0)
        promises += [
            Promise(
                f"{products} new products, {kind} photos: Top-5 at least {percent(OF_PLAIN_KNN)} of plain k-NN's",
                (row["top5"] or 0.0) >= wanted and not row["not_answered"],
                f"{percent(row['top5'])}, plain k-NN {percent(row['plain_knn_top5'])}, {row['searches']} searches",
            ),
            Promise(
                f"{products} new products, {kind} photos: at most {percent(UNKNOWN)} unknown",
                (row["unknown"] or 0.0) <= UNKNOWN,
                percent(row["unknown"]),
            ),
        ]
    return promises


def search_deleted(shop: Shop, gone: frozenset[str], photos: Sequence[bytes]) -> list[str]:
    """Search in every process with photos of deleted products; returns each answer that names one."""
    named = []
    for way in lines(shop.place, shop.admin.key):
        for photo in photos:
            answer = way.search(photo)
            labels = [c["label"] for c in answer.body["candidates"]] if answer.status == 200 else [str(answer.status)]
            named += [f"process {way.pid}: {label}" for label in labels if label in gone or answer.status != 200]
        way.close()
    return named


def retrain_with_new_photos(shop: Shop) -> tuple[dict[str, Any], Promise]:
    """Add 5 % new photos to the catalogue and retrain: the network must run on those and their variants alone."""
    count = max(1, round(NEW_PHOTOS * photos_in(shop)))
    per_product = -(-count // len(shop.products))
    drawn = phone_photos(shop.products, _PHOTO_SEED + 500, per_product)
    pairs = [(product.sku, photo) for turn in range(per_product) for product, photo in _turn(shop, drawn, turn)]
    for sku, photo in pairs[:count]:
        shop.admin.add_photos(sku, [photo])
    before = _far_foreign(shop)
    result = shop.retrain(f"{count} new photos of {photos_in(shop)}")
    done = result["bottlenecks"]
    is_far_reused = before == _far_foreign(shop)
    found = {"added": count, "bottlenecks": done, "far_foreign_reused": is_far_reused, "decision": result["decision"]}
    kept = is_far_reused and (done["new_photos"], done["computed"], done["failed"]) == (count, count * IMAGES, 0)
    words = f"{count} added: {done['new_photos']} photos, {done['computed']} images computed, {done['reused']} reused, "
    words += f"far-foreign pictures {'reused' if is_far_reused else 'computed again'}"
    return found, Promise(f"the network runs on the new photos x {IMAGES} alone", kept, words)


def _far_foreign(shop: Shop) -> dict[str, int]:
    """When each space's far-foreign pictures were computed; the one other thing that a training shows the network."""
    return {str(path): path.stat().st_mtime_ns for path in shop.place.home.glob("bottlenecks/*/far.npz")}


def _turn(shop: Shop, drawn: Sequence[Sequence[bytes]], turn: int) -> list[tuple[RenderedProduct, bytes]]:
    return [(product, photos[turn]) for product, photos in zip(shop.products, drawn, strict=True)]


def photos_in(shop: Shop) -> int:
    """How many photos the catalogue has."""
    with shop.place.connection() as connection:
        return int(connection.execute(text("SELECT count(*) FROM images")).scalar_one())
