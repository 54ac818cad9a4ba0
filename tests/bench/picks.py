"""From picks to labels: honest ones that are reviewed and trained in, and poisoned batches of one installation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from augment.render import RenderedProduct
from tests.bench.admin import Refused
from tests.bench.drawn import phone_photos
from tests.bench.installation import BenchFailed
from tests.bench.judging import Paired, Promise, has_fallen, has_risen, paired, percent
from tests.bench.shop import Shop
from tests.bench.shoppers import Phone

PICKS_A_PHONE = 5
MISTAKEN_EVERY = 20
"""Of honest picks, one so often names the best wrong candidate: the shopper took it for the right one."""

FALL_BOUND = 0.01
"""Share of the test photos that a poisoned batch may cost, net, beside what chance explains."""

_PICKED_SEED = 50_000
_TEST_SEED = 60_000
_POISON_SEED = 70_000
_PAGE = 100


@dataclass(frozen=True, slots=True)
class Batch:
    """Review items that one run of picks led to.

    picks: how many were sent and acknowledged. wrong: of them, how many named another product than the photo shows.
    items: the review's. flagged: of them, how many have a flag. flags: how many items have which. accepted: by the
    reviewer. refused: how many were not, by code.
    """

    picks: int
    wrong: int
    items: int
    flagged: int
    flags: dict[str, int]
    accepted: int
    refused: dict[str, int]

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        return {
            "picks": self.picks,
            "wrong": self.wrong,
            "items": self.items,
            "flagged": self.flagged,
            "flags": self.flags,
            "accepted": self.accepted,
            "refused": self.refused,
        }


def unseen(shop: Shop, each: int) -> list[tuple[bytes, str]]:
    """Test photos, ``each`` of every product, that nobody picks and nothing is trained on."""
    return _labelled(shop.products, phone_photos(shop.products, _TEST_SEED, each, shop.shots))


def honest_picks(shop: Shop, count: int) -> tuple[Batch, list[str]]:
    """Picks of what shoppers take for the right product, from many phones, all reviewed: in bulk, and one by one where
    flagged, by someone who then sees a mistake.

    Returns the batch and the skus that photos were accepted for.
    """
    each = -(-count // len(shop.products))
    shop.say(f"{count} shoppers' photos, picked and reviewed")
    drawn = phone_photos(shop.products, _PICKED_SEED, each, shop.shots)
    in_turn = [
        (photos[turn], product.sku)
        for turn in range(each)
        for product, photos in zip(shop.products, drawn, strict=True)
    ]
    picked: dict[str, str] = {}
    mistaken: set[str] = set()
    phone = shop.new_phone(0)
    for number, (photo, sku) in enumerate(in_turn[:count]):
        if number % PICKS_A_PHONE == 0:
            phone = shop.new_phone(1 + number // PICKS_A_PHONE)
        is_mistaken = number % MISTAKEN_EVERY == MISTAKEN_EVERY - 1
        query_id = _picked(phone, photo, partial(_best_wrong, sku) if is_mistaken else lambda candidates, sku=sku: sku)
        picked[query_id] = sku
        if is_mistaken:
            mistaken.add(query_id)
    items = _items(shop, set(picked))
    accepted, _ = _accept_in_bulk(shop, list(items))
    seen_through = (items.keys() & mistaken) - accepted
    _discard(shop, sorted(seen_through))
    refused: Counter[str] = Counter()
    for query_id in items.keys() - accepted - seen_through:
        code = _accept(shop, query_id)
        if code is None:
            accepted.add(query_id)
        else:
            refused[code] += 1
    batch = _batch(picked, mistaken, items, accepted, refused)
    return batch, sorted({picked[query_id] for query_id in accepted - mistaken})


def poison(shop: Shop, how: str, number: int, count: int) -> Batch:
    """Wrong picks of one installation; a careless reviewer accepts whatever has no flag, in bulk.

    how: ``careless`` picks any product that was not among the candidates, ``careful`` the best wrong candidate.
    """
    shop.say(f"{count} wrong picks of one installation, {how}")
    rng = np.random.default_rng(_POISON_SEED + number)
    skus = [product.sku for product in shop.products]
    each = -(-count // len(shop.products))
    drawn = _labelled(shop.products, phone_photos(shop.products, _POISON_SEED + 100 * number, each, shop.shots))
    phone = shop.new_phone(10_000 + number)
    picked = set()
    for place in rng.permutation(len(drawn))[:count]:
        photo, sku = drawn[int(place)]

        def wrong(candidates: list[str], sku: str = sku) -> str:
            if how == "careful":
                return _best_wrong(sku, candidates)
            return str(rng.choice([other for other in skus if other != sku and other not in candidates]))

        picked.add(_picked(phone, photo, wrong))
    items = _items(shop, picked)
    accepted, refused = _accept_in_bulk(shop, list(items))
    _discard(shop, list(items.keys() - accepted))
    return _batch(picked, picked, items, accepted, refused)


def judge_honest(before: Sequence[bool], after: Sequence[bool]) -> tuple[Paired, Promise]:
    """Whether Top-1 on other photos of the same labels has risen."""
    found = paired(before, after)
    words = f"{told(found)}, p = {found.p_rose:.3f}"
    return found, Promise("Top-1 on other unseen photos rises", has_risen(found), words)


def judge_poisoned(how: str, batch: Batch, before: Sequence[bool], after: Sequence[bool]) -> tuple[Paired, Promise]:
    """Whether Top-1 has fallen."""
    found = paired(before, after)
    words = f"{batch.flagged} of {batch.items} items flagged, {batch.accepted} accepted; {told(found)}"
    return found, Promise(f"a poisoned batch ({how}) does not lower Top-1", not has_fallen(found, FALL_BOUND), words)


def told(found: Paired) -> str:
    """In words."""
    return (
        f"{percent(found.before)} before, {percent(found.after)} after on {found.photos} photos "
        f"({found.won} won, {found.lost} lost)"
    )


def _best_wrong(sku: str, candidates: Sequence[str]) -> str:
    """The first candidate that is not the product shown. Five are shown, so there is one."""
    return next(candidate for candidate in candidates if candidate != sku)


def _batch(
    picked: Collection[str],
    wrong: Collection[str],
    items: Mapping[str, Sequence[str]],
    accepted: Collection[str],
    refused: Mapping[str, int],
) -> Batch:
    flags = dict(Counter(code for codes in items.values() for code in codes))
    return Batch(
        len(picked), len(wrong), len(items), sum(map(bool, items.values())), flags, len(accepted), dict(refused)
    )


def _labelled(products: Sequence[RenderedProduct], drawn: Sequence[Sequence[bytes]]) -> list[tuple[bytes, str]]:
    return [(photo, product.sku) for product, photos in zip(products, drawn, strict=True) for photo in photos]


def _picked(phone: Phone, photo: bytes, choose: Any) -> str:
    """Search with consent and pick; the query's id. :raise BenchFailed: the service did not take it."""
    found = phone.search_patiently(photo, keep=True)
    query_id = str(found["query_id"])
    said = phone.pick(query_id, choose([c["product"]["sku"] for c in found["candidates"]]))
    if said.status != 200:
        raise BenchFailed(f"a pick was answered {said.status}")
    return query_id


def _items(shop: Shop, wanted: set[str]) -> dict[str, list[str]]:
    """Undecided review items of these queries: id -> codes of its flags."""
    found: dict[str, list[str]] = {}
    cursor = None
    while True:
        asked = {"state": "undecided", "limit": _PAGE, **({} if cursor is None else {"cursor": cursor})}
        page = shop.admin.call("GET", "/v1/admin/review", params=asked)
        found |= {item["id"]: [f["code"] for f in item["flags"]] for item in page["items"] if item["id"] in wanted}
        cursor = page["next_cursor"]
        if cursor is None:
            return found


def _accept_in_bulk(shop: Shop, ids: list[str]) -> tuple[set[str], dict[str, int]]:
    """Those accepted, and how many were not, by code."""
    accepted: set[str] = set()
    refused: Counter[str] = Counter()
    for start in range(0, len(ids), _PAGE):
        body = {"action": "accept", "ids": ids[start : start + _PAGE]}
        for one in shop.admin.call("POST", "/v1/admin/review", json=body)["results"]:
            if one["done"]:
                accepted.add(one["id"])
            else:
                refused[one["problem"]["code"]] += 1
    return accepted, dict(refused)


def _accept(shop: Shop, query_id: str) -> str | None:
    """Accept one item after a look; None, or the code of the refusal."""
    try:
        shop.admin.call("POST", f"/v1/admin/review/{query_id}", json={"action": "accept"})
    except Refused as refused:
        if refused.answer is None:
            raise
        return str(refused.answer.json()["code"])
    return None


def _discard(shop: Shop, ids: list[str]) -> None:
    for start in range(0, len(ids), _PAGE):
        body = {"action": "discard", "ids": ids[start : start + _PAGE]}
        shop.admin.call("POST", "/v1/admin/review", json=body)
