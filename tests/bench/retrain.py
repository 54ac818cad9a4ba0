"""``make bench-retrain``: what retraining promises, measured on drawn shops in two serving processes.

On the demonstration's shop: new products found at once, deleted ones gone, the network's work on new photos, and the
swap of versions under load. On one of products that look alike: what reviewed picks and poisoned ones do to Top-1.
State folders are temporary ones. Writes ``bench/retrain.json`` to PICKTURE_HOME and prints a table; the exit status is
1 where a promise is broken.
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

from app.cli.demo.shop import PRODUCTS, demo_products
from app.config import Settings
from augment.render import FailureKind
from tests.bench import judging, live, picks, swap
from tests.bench.alike import SHOTS, alike_products
from tests.bench.installation import BenchFailed
from tests.bench.judging import Promise
from tests.bench.shop import Shop, open_shop

NEW_PRODUCTS = 50
PICKS = 200
TEST_PHOTOS = 12
POISONED = 50
SWAPS = 6
_PARTS = ("products", "swaps", "picks")
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
        result = _measured(asked, out, say)
    except BenchFailed as failed:
        print(f"the measurement could not go on: {failed}", file=sys.stderr)
        return 2
    promises = [Promise(**promise) for promise in result["promises"]]
    print(judging.table(promises))
    print(f"\n{out / 'retrain.json'}; the service's logs: {out / 'retrain-*.log'}")
    return judging.exit_status(promises)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="make bench-retrain", description=__doc__)
    parser.add_argument("--only", choices=_PARTS, action="append", help="these parts; may repeat")
    parser.add_argument("--labels", type=int, default=PRODUCTS, help="products of each shop")
    parser.add_argument("--products", type=int, default=NEW_PRODUCTS, help="that are added over HTTP")
    parser.add_argument("--picks", type=int, default=PICKS, help="honest ones")
    parser.add_argument("--test-photos", type=int, default=TEST_PHOTOS, help="of each product, for Top-1")
    parser.add_argument("--poisoned", type=int, default=POISONED, help="wrong picks in each batch")
    parser.add_argument("--swaps", type=int, default=SWAPS, help="promotions under load")
    return parser


def _measured(asked: argparse.Namespace, out: Path, say: Callable[[str], None]) -> dict[str, Any]:
    """Every part asked for in turn; what has been measured is written after each."""
    result: dict[str, Any] = {"cores": os.cpu_count(), "sizes": vars(asked), "promises": []}
    wanted = asked.only or _PARTS

    def note(found: dict[str, Any], promises: list[Promise]) -> None:
        result.update(found)
        result["promises"] += judging.to_json(promises)
        (out / "retrain.json").write_text(json.dumps(result, indent=1))
        say("\n" + judging.table(promises))

    if {"products", "swaps"} & set(wanted):
        products = demo_products()[0][: asked.labels]
        with open_shop(out / "retrain-demo.log", products, (FailureKind.NONE,), say) as shop:
            if "products" in wanted:
                note(*_two_speeds(shop, asked.products))
            if "swaps" in wanted:
                note(*_swaps(shop, asked.swaps))
    if "picks" in wanted:
        with open_shop(out / "retrain-alike.log", alike_products(asked.labels), SHOTS, say) as shop:
            _feedback(shop, asked, note)
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


def _feedback(shop: Shop, asked: argparse.Namespace, note: Callable[[dict[str, Any], list[Promise]], None]) -> None:
    """Reviewed picks, then poisoned ones, each trained in and measured on the same unseen photos."""
    tests = picks.unseen(shop, asked.test_photos)
    before = shop.top1(tests)
    shop.say(f"Top-1 before any pick: {judging.percent(judging.share(before))} of {len(tests)} unseen photos")
    batch, taught = picks.honest_picks(shop, asked.picks)
    trained = shop.retrain(f"{batch.accepted} reviewed photos")
    after = shop.top1(tests)
    of_taught = [sku in taught for _, sku in tests]
    compared, promise = picks.judge_honest(_only(before, of_taught), _only(after, of_taught))
    facts = {"labels": len(taught), "top1": compared.to_json(), "gate": trained["decision"]}
    note({"honest": batch.to_json() | facts}, [promise])
    for number, how in enumerate(_BATCHES):
        before = after
        batch = picks.poison(shop, how, number, asked.poisoned)
        trained = shop.retrain(f"{batch.accepted} poisoned photos that the guards let through")
        after = shop.top1(tests)
        compared, promise = picks.judge_poisoned(how, batch, before, after)
        note({how: batch.to_json() | {"top1": compared.to_json(), "gate": trained["decision"]}}, [promise])


def _only(values: Sequence[bool], wanted: Sequence[bool]) -> list[bool]:
    return [value for value, is_wanted in zip(values, wanted, strict=True) if is_wanted]


def _swaps(shop: Shop, times: int) -> tuple[dict[str, Any], list[Promise]]:
    if len(shop.admin.models()) < 2:
        shop.retrain("a second version to change to")
    versions = [_earlier(shop), shop.admin.champion()]
    found = swap.measure_swaps(shop, versions, times, picks.unseen(shop, 1))
    return {"swap": found}, swap.promises(found)


def _earlier(shop: Shop) -> str:
    """The newest version that is not served."""
    return next(str(model["version"]) for model in shop.admin.models() if model["state"] != "champion")


if __name__ == "__main__":
    sys.exit(main())
