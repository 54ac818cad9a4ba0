"""The swap: another version is promoted while shoppers search; how long until every process serves it, at what cost."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from tests.bench.judging import Promise
from tests.bench.pinned import Line, lines
from tests.bench.shop import Shop
from tests.bench.shoppers import Asked, Journal, Ledger, Phone, Shopper

WITHIN_S = 2.0
SLOW = 2.0
"""How many times the slowest request of an equal time without a swap the slowest with one may take."""

SHOPPERS = 2
_WATCH_S = 6.0
_POLL_S = 0.05


@dataclass(frozen=True, slots=True)
class Swap:
    """One promotion. everywhere_s: until every process had said that it serves the version; last_old_s: until the last
    search that was still answered by the one before was begun. Both from the answer to the promotion."""

    version: str
    everywhere_s: float
    last_old_s: float


def measure_swaps(
    shop: Shop, versions: Sequence[str], times: int, photos: Sequence[tuple[bytes, str]]
) -> dict[str, Any]:
    """Promote the versions in turn, so many times, while shoppers search; beside it an equal time without."""
    shop.say(f"{times} promotions while {SHOPPERS} shoppers search")
    journal = Journal()
    phones = [Phone(shop.place.url, shop.app_key, journal, f"10.254.0.{seed + 1}") for seed in range(SHOPPERS)]
    shoppers = [Shopper(phone, photos, Ledger(), seed, consents=False) for seed, phone in enumerate(phones)]
    for shopper in shoppers:
        shopper.start()
    try:
        time.sleep(2 * _POLL_S)
        quiet_from = time.monotonic()
        time.sleep(times * _WATCH_S)
        swaps_from = time.monotonic()
        swaps = [_swap(shop, versions[number % len(versions)], journal) for number in range(times)]
    finally:
        for shopper in shoppers:
            shopper.stop()
    entries = journal.since(quiet_from)
    quiet = [entry for entry in entries if entry.at < swaps_from]
    busy = [entry for entry in entries if entry.at >= swaps_from]
    return {
        "swaps": [asdict(swap) for swap in swaps],
        "without": _speeds(quiet),
        "with": _speeds(busy),
    }


def _swap(shop: Shop, version: str, journal: Journal) -> Swap:
    ways = lines(shop.place, shop.admin.key)
    seen: dict[int, float] = {}
    shop.admin.promote(version)
    promoted = time.monotonic()
    watchers = [threading.Thread(target=_watch, args=(way, version, seen, promoted), daemon=True) for way in ways]
    for watcher in watchers:
        watcher.start()
    for watcher in watchers:
        watcher.join()
    time.sleep(max(0.0, promoted + _WATCH_S - time.monotonic()))
    for way in ways:
        way.close()
    old = [e.at - promoted for e in journal.since(promoted) if e.status == 200 and e.version != version]
    everywhere = max(seen.values()) if len(seen) == len(ways) else float("inf")
    return Swap(version, round(everywhere, 3), round(max(old, default=0.0), 3))


def _watch(way: Line, version: str, seen: dict[int, float], promoted: float) -> None:
    while time.monotonic() < promoted + 60:
        answer = way.get(f"/v1/admin/models/{version}")
        if answer.status == 200 and answer.body["served"]:
            seen[way.pid] = time.monotonic() - promoted
            return
        time.sleep(_POLL_S)


def _speeds(entries: Sequence[Asked]) -> dict[str, Any]:
    seconds = np.array([entry.seconds for entry in entries]) if entries else np.array([np.nan])
    return {
        "requests": len(entries),
        "failed": sum(entry.status != 200 for entry in entries),
        "median_s": round(float(np.median(seconds)), 3),
        "p95_s": round(float(np.percentile(seconds, 95)), 3),
        "slowest_s": round(float(seconds.max()), 3),
    }


def promises(found: dict[str, Any]) -> list[Promise]:
    """Within two seconds everywhere, no failed request, no slow one."""
    worst = max((swap["everywhere_s"] for swap in found["swaps"]), default=float("inf"))
    old = max((swap["last_old_s"] for swap in found["swaps"]), default=float("inf"))
    with_swap, without = found["with"], found["without"]
    return [
        Promise(
            f"every process serves a promoted version within {WITHIN_S:.0f} s",
            max(worst, old) <= WITHIN_S,
            f"at most {worst:.2f} s in {len(found['swaps'])} swaps; the one before answered until {old:.2f} s",
        ),
        Promise(
            "no request fails during a swap",
            with_swap["failed"] == 0 and with_swap["requests"] > 0,
            f"{with_swap['failed']} of {with_swap['requests']}",
        ),
        Promise(
            f"no request is slow: at most {SLOW:.0f} x the slowest without a swap",
            with_swap["slowest_s"] <= SLOW * without["slowest_s"],
            f"slowest {with_swap['slowest_s']:.2f} s, without {without['slowest_s']:.2f} s; median "
            f"{with_swap['median_s']:.2f} and {without['median_s']:.2f} s",
        ),
    ]
