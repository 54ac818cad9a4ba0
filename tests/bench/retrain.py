"""``make bench-retrain``: what retraining promises, measured on the demonstration's shop in two serving processes.

New products found at once, deleted ones gone, the network's work on new photos, what reviewed picks and poisoned ones
do to Top-1, and the swap of versions under load. Its state folder is a temporary one. Writes ``bench/retrain.json`` to
PICKTURE_HOME and prints a table; the exit status is 1 where a promise is broken.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from app.cli.demo.shop import PRODUCTS
from app.config import Settings
from tests.bench import judging, live, picks, swap
from tests.bench.installation import BenchFailed
from tests.bench.judging import Promise
from tests.bench.shop import Shop, open_shop

NEW_PRODUCTS = 50
PICKS = 200
TEST_PHOTOS = 4
POISONED = 50
SWAPS = 6
_BATCHES = ("careless", "careful")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it; the exit status is 1 where a promise is broken, 2 where it could not be run to its end."""
    asked = _parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))  # the service and its folder go as well
    out = Settings.from_env().home / "bench"
    out.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()

    def say(line: str) -> None:
        print(f"[{time.monotonic() - began:7.1f} s] {line}", flush=True)

    try:
        with open_shop(out, asked.labels, say) as shop:
            result = {"cores": os.cpu_count(), "sizes": vars(asked)} | _measured(shop, asked, out)
    except BenchFailed as failed:
        print(f"the measurement could not go on: {failed}", file=sys.stderr)
        return 2
    promises = [Promise(**promise) for promise in result["promises"]]
    print(judging.table(promises))
    print(f"\n{out / 'retrain.json'}; the service's log: {out / 'retrain-service.log'}")
    return judging.exit_status(promises)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="make bench-retrain", description=__doc__)
    parser.add_argument("--labels", type=int, default=PRODUCTS, help="products of the shop")
    parser.add_argument("--products", type=int, default=NEW_PRODUCTS, help="that are added over HTTP")
    parser.add_argument("--picks", type=int, default=PICKS, help="honest ones")
    parser.add_argument("--test-photos", type=int, default=TEST_PHOTOS, help="of each product, for Top-1")
    parser.add_argument("--poisoned", type=int, default=POISONED, help="wrong picks in each batch")
    parser.add_argument("--swaps", type=int, default=SWAPS, help="promotions under load")
    return parser


def _measured(shop: Shop, asked: argparse.Namespace, out: Path) -> dict[str, Any]:
    """Every part in turn; what has been measured is written after each."""
    result: dict[str, Any] = {"promises": []}
    parts: list[Callable[[], tuple[dict[str, Any], list[Promise]]]] = [
        lambda: _two_speeds(shop, asked.products),
        lambda: _feedback(shop, asked),
        lambda: _swaps(shop, asked),
    ]
    for part in parts:
        found, promises = part()
        result |= found
        result["promises"] += judging.to_json(promises)
        (out / "retrain.json").write_text(json.dumps(result, indent=1))
        shop.say("\n" + judging.table(promises))
    return result


def _two_speeds(shop: Shop, count: int) -> tuple[dict[str, Any], list[Promise]]:
    """Products come and go at once; the trained classifiers follow, and forget as well."""
    products = live.newcomers(count)
    looks, others = live.add_and_search(shop, products)
    found = live.judge_looks(shop, looks)
    promises = live.promises_of_looks(found, len(products))
    photos = {product.sku: [photo for photo, _ in mine] for product, mine in zip(products, others, strict=True)}
    half = len(products) // 2
    returned = _delete(shop, [p.sku for p in products[:half]], photos)
    shop.retrain("the products that were added")
    new_photos, promise = live.retrain_with_new_photos(shop)
    promises.append(promise)
    returned += _delete(shop, [p.sku for p in products[half:]], photos)
    shop.admin.promote(_earlier(shop))
    champion = shop.admin.champion()
    shop.until_served(champion)
    gone = frozenset(photos)
    returned += live.search_deleted(shop, gone, [mine[0] for mine in photos.values()])
    promises.append(
        Promise(
            "deleted products never return, in k-NN alone, after a training, and after a swap",
            not returned,
            "; ".join(returned[:3]) if returned else f"{len(gone)} deleted, none named",
        )
    )
    return {"new_products": found, "new_photos": new_photos, "returned": returned}, promises


def _delete(shop: Shop, skus: Sequence[str], photos: dict[str, list[bytes]]) -> list[str]:
    shop.say(f"deleting {len(skus)} products, and searching for them")
    for sku in skus:
        shop.admin.delete_product(sku)
    return live.search_deleted(shop, frozenset(skus), [photo for sku in skus for photo in photos[sku]])


def _feedback(shop: Shop, asked: argparse.Namespace) -> tuple[dict[str, Any], list[Promise]]:
    """Reviewed picks, then poisoned ones, each trained in and measured on the same unseen photos."""
    shop.retrain("without what was deleted: the model before any pick")
    tests = picks.unseen(shop.products, asked.test_photos)
    before = shop.top1(tests)
    batch, taught = picks.honest_picks(shop, asked.picks)
    trained = shop.retrain(f"{batch.accepted} reviewed photos")
    after = shop.top1(tests)
    of_taught = [sku in taught for _, sku in tests]
    compared, promise = picks.judge_honest(_only(before, of_taught), _only(after, of_taught))
    promises = [promise]
    found: dict[str, Any] = {
        "honest": {**batch.to_json(), "labels": len(taught), "top1": compared.to_json(), "gate": trained["decision"]}
    }
    for number, how in enumerate(_BATCHES):
        before = after
        batch = picks.poison(shop, how, number, asked.poisoned)
        trained = shop.retrain(f"{batch.accepted} poisoned photos that the guards let through")
        after = shop.top1(tests)
        compared, promise = picks.judge_poisoned(how, batch, before, after)
        promises.append(promise)
        found[how] = {**batch.to_json(), "top1": compared.to_json(), "gate": trained["decision"]}
    return {"feedback": found}, promises


def _only(values: Sequence[bool], wanted: Sequence[bool]) -> list[bool]:
    return [value for value, is_wanted in zip(values, wanted, strict=True) if is_wanted]


def _swaps(shop: Shop, asked: argparse.Namespace) -> tuple[dict[str, Any], list[Promise]]:
    versions = [_earlier(shop), shop.admin.champion()]
    photos = picks.unseen(shop.products, 1)
    found = swap.measure_swaps(shop, versions, asked.swaps, photos)
    return {"swap": found}, swap.promises(found)


def _earlier(shop: Shop) -> str:
    """The newest version that is not served."""
    return next(str(model["version"]) for model in shop.admin.models() if model["state"] != "champion")


if __name__ == "__main__":
    sys.exit(main())
