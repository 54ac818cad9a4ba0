"""From picks to labels: honest ones that are reviewed and trained in, and poisoned batches of one installation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
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
FALL_BOUND = 0.01
"""Share of the test photos that a poisoned batch may cost, net, beside what chance explains."""

_PICKED_SEED = 50_000
_TEST_SEED = 60_000
_POISON_SEED = 70_000
_PAGE = 100


@dataclass(frozen=True, slots=True)
class Batch:
    """Review items that one run of picks led to.

    picks: how many were sent and acknowledged. items: the review's, by query id. flagged: ids of those with a flag.
    flags: how many items have which. accepted: by the reviewer. refused: how many were not, by code.
    """

    picks: int
    items: int
    flagged: int
    flags: dict[str, int]
    accepted: int
    refused: dict[str, int]

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        return {
            "picks": self.picks,
            "items": self.items,
            "flagged": self.flagged,
            "flags": self.flags,
            "accepted": self.accepted,
            "refused": self.refused,
        }


def unseen(products: Sequence[RenderedProduct], each: int) -> list[tuple[bytes, str]]:
    """Test photos, ``each`` of every product, that nobody picks and nothing is trained on."""
    return _labelled(products, phone_photos(products, _TEST_SEED, each))


def honest_picks(shop: Shop, count: int) -> tuple[Batch, list[str]]:
    """Picks of the right product, from many phones, all reviewed: in bulk, and one by one where flagged.

    Returns the batch and the skus that photos were accepted for.
    """
    each = -(-count // len(shop.products))
    shop.say(f"{count} shoppers' photos, picked and reviewed")
    drawn = phone_photos(shop.products, _PICKED_SEED, each)
    in_turn = [
        (photos[turn], product.sku)
        for turn in range(each)
        for product, photos in zip(shop.products, drawn, strict=True)
    ]
    picked: dict[str, str] = {}
    phone = shop.new_phone(0)
    for number, (photo, sku) in enumerate(in_turn[:count]):
        if number % PICKS_A_PHONE == 0:
            phone = shop.new_phone(1 + number // PICKS_A_PHONE)
        picked[_picked(phone, photo, lambda candidates, sku=sku: sku)] = sku
    items = _items(shop, set(picked))
    flags = _flags(items)
    accepted, _ = _accept_in_bulk(shop, list(items))
    refused: Counter[str] = Counter()
    for query_id in items.keys() - accepted:
        code = _accept(shop, query_id)
        if code is None:
            accepted.add(query_id)
        else:
            refused[code] += 1
    batch = Batch(len(picked), len(items), sum(map(bool, items.values())), flags, len(accepted), dict(refused))
    return batch, sorted({picked[query_id] for query_id in accepted})


def poison(shop: Shop, how: str, number: int, count: int) -> Batch:
    """Wrong picks of one installation; a careless reviewer accepts whatever has no flag, in bulk.

    how: ``careless`` picks any product that was not among the candidates, ``careful`` the best wrong candidate.
    """
    shop.say(f"{count} wrong picks of one installation, {how}")
    rng = np.random.default_rng(_POISON_SEED + number)
    skus = [product.sku for product in shop.products]
    each = -(-count // len(shop.products))
    drawn = _labelled(shop.products, phone_photos(shop.products, _POISON_SEED + 100 * number, each))
    phone = shop.new_phone(10_000 + number)
    picked = set()
    for place in rng.permutation(len(drawn))[:count]:
        photo, sku = drawn[int(place)]

        def wrong(candidates: list[str], sku: str = sku) -> str:
            shown = [candidate for candidate in candidates if candidate != sku]
            others = [other for other in skus if other != sku and other not in candidates]
            return shown[0] if how == "careful" and shown else str(rng.choice(others))

        picked.add(_picked(phone, photo, wrong))
    items = _items(shop, picked)
    flags = _flags(items)
    accepted, refused = _accept_in_bulk(shop, list(items))
    _discard(shop, list(items.keys() - accepted))
    return Batch(len(picked), len(items), sum(map(bool, items.values())), flags, len(accepted), refused)


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


def _labelled(products: Sequence[RenderedProduct], drawn: Sequence[Sequence[bytes]]) -> list[tuple[bytes, str]]:
    return [(photo, product.sku) for product, photos in zip(products, drawn, strict=True) for photo in photos]


def _picked(phone: Phone, photo: bytes, choose: Any) -> str:
    """Search with consent and pick; the query's id. :raise BenchFailed: the service did not take it."""
    found = phone.search(photo, keep=True)
    if found.status != 200:
        raise BenchFailed(f"a search with consent was answered {found.status}")
    query_id = str(found.body["query_id"])
    said = phone.pick(query_id, choose([c["product"]["sku"] for c in found.body["candidates"]]))
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


def _flags(items: dict[str, list[str]]) -> dict[str, int]:
    return dict(Counter(code for codes in items.values() for code in codes))


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
