"""One client, sixteen, four times too many, and two hundred on a bad line."""

from __future__ import annotations

import time
from dataclasses import asdict
from functools import partial
from typing import Any

from tests.bench.load.clients import Load
from tests.bench.load.judging import Row, answers, bound, client_core_ms, quantile, speeds, unfair
from tests.bench.load.photos import SIZES, Size
from tests.bench.load.place import Place
from tests.bench.load.proxy import NoProxy, proxied
from tests.bench.load.slow import SlowPlan, slow_uploads

EXTRA_MS = 12.0
"""What everything but network and decoding may take of a single search."""

OF_BOUND = 0.85
TIMES_TOO_MANY = 4
OVERLOAD_S = 60.0
RATE_KEPT = 0.95
SLOW_PHONES, SLOW_BYTES, SLOW_BYTES_PER_S = 200, 3_000_000, 30_000
SLOW_FACTOR = 1.2
"""How much the others' p99 may rise while slow phones send: more is not "where it was", less is noise."""

_OVERLOAD_THREADS = 192
_OFFERED = 0.9
"""Share of the searches that were to be asked for that must have been: with less it was no overload of that size."""

_PROCESSES = 4
_SLOW_SIZE: Size = "1280"


def one(place: Place) -> dict[str, Any]:
    """One client, who asks again as soon as it was answered."""
    found = {}
    with place.served():
        place.load("1280", clients=1, seconds=2)
        for size in SIZES:
            single, bare = place.around(size, partial(place.single, size))
            most = bare.batch_1_ms + bare.decode_ms + EXTRA_MS
            found[size] = {**single, "most_ms": most, "around": asdict(bare)}
            place.rows.append(
                Row(
                    "one client",
                    f"{size} p50",
                    f"{single['p50_ms']} ms (p99 {single['p99_ms']} ms)",
                    f"bare network {bare.batch_1_ms} ms + bare decoding {bare.decode_ms} ms",
                    f"<= {most:.1f} ms (+ {EXTRA_MS:.0f})",
                    single["p50_ms"] is not None and single["p50_ms"] <= most,
                )
            )
    return found


def sixteen(place: Place) -> dict[str, Any]:
    """16 clients who never stop."""
    found = {}
    with place.served():
        place.load("1280", clients=2, seconds=2)
        for size in SIZES:
            load, bare = place.around(size, partial(place.crowd, size))
            limit = bound(place.network()["cores"], bare.images_a_second, bare.decode_core_ms, client_core_ms(load))
            found[size] = {
                "searches_a_second": load.rate,
                "bound": limit,
                "around": asdict(bare),
                "client_core_ms": client_core_ms(load),
                "answers": answers(load.entries),
                **speeds(load.answered()),
            }
            place.rows.append(
                Row(
                    "16 clients",
                    f"{size} throughput",
                    f"{load.rate:.1f} /s, {load.rate / limit:.0%} of the bound ({_told(load)})",
                    f"bound {limit:.1f} /s: bare network {bare.images_a_second:.1f} /s, "
                    f"decoding {bare.decode_core_ms:.0f} and clients "
                    f"{client_core_ms(load):.0f} core-ms",
                    f">= {OF_BOUND:.0%} of the bound",
                    load.rate >= OF_BOUND * limit,
                )
            )
    return found


def _told(load: Load) -> str:
    return ", ".join(f"{count} x {words}" for words, count in sorted(answers(load.entries).items()))


def overload(place: Place) -> dict[str, Any]:
    """Four times as many searches a second as 16 clients get answered, whatever comes back."""
    size: Size = "1280"
    with place.served():
        single, before = place.single(size), place.crowd(size).rate
        seconds = place.long_s if place.quick else OVERLOAD_S

        def too_many() -> Load:
            rate = TIMES_TOO_MANY * before
            return place.load(size, clients=_OVERLOAD_THREADS, processes=_PROCESSES, seconds=seconds, rate=rate)

        load, bare = place.around(size, too_many)
        capacity = (before + place.crowd(size).rate) / 2
    taken = load.answered()
    in_time = [entry for entry in taken if entry.at + entry.seconds <= load.entries[0].at + seconds]
    kept = len(in_time) / seconds
    p99 = 1000 * quantile([entry.seconds for entry in taken], 0.99)
    network = 1000 / bare.images_a_second
    most = 3 * (single["p99_ms"] or 0.0) + place.queue_length * network
    bad = unfair(load.entries)
    offered = len(load.entries) / seconds
    # Clients that could not ask so often have shown nothing good; what they saw of bad counts all the same.
    shown = True if offered >= _OFFERED * TIMES_TOO_MANY * before else None
    rows = [
        Row(
            "overload",
            f"answers at {offered:.0f} /s",
            _told(load),
            f"capacity {before:.1f} /s; {TIMES_TOO_MANY} x that was asked for, {load.skipped} were not sent",
            "nothing but 200, 429, 503",
            False if bad else shown,
        ),
        Row(
            "overload",
            "accepted p99",
            f"{p99:.0f} ms",
            f"one client's p99 {single['p99_ms']} ms, queue {place.queue_length}, network {network:.0f} ms",
            f"<= {most:.0f} ms",
            False if p99 > most else shown,
        ),
        Row(
            "overload",
            "rate kept",
            f"{kept:.1f} /s, {kept / capacity:.0%}",
            f"capacity {capacity:.1f} /s, the mean of before and after",
            f">= {RATE_KEPT:.0%}",
            False if kept < RATE_KEPT * capacity else shown,
        ),
    ]
    place.rows += rows
    return {
        "offered_a_second": offered,
        "skipped": load.skipped,
        "capacity": capacity,
        "kept_a_second": kept,
        "answers": answers(load.entries),
        "unfair": bad,
        "client_core_ms": client_core_ms(load),
        **speeds(taken),
    }


def slow(place: Place) -> dict[str, Any]:
    """One client beside 200 phones that send 3 MB at 30 kB/s: straight, and through the proxy of the compose file."""
    found: dict[str, Any] = {}
    with place.served():
        found["straight"] = _beside_slow_phones(place, "straight", place.installation.port)
        try:
            with proxied(place) as port:
                found["through nginx"] = _beside_slow_phones(place, "through nginx", port)
        except NoProxy as reason:
            place.rows.append(Row("slow uploads", "through nginx", str(reason), "", "as below", None))
    return found


def _beside_slow_phones(place: Place, way: str, port: int) -> dict[str, Any]:
    seconds = 2 * place.long_s
    without = speeds(place.load(_SLOW_SIZE, clients=1, seconds=seconds, port=port).answered())
    plan = SlowPlan(
        port,
        place.token(),
        place.photos(_SLOW_SIZE)[0].read_bytes(),
        SLOW_PHONES,
        SLOW_BYTES,
        SLOW_BYTES_PER_S,
    )
    with slow_uploads(plan) as told:
        time.sleep(5)
        beside = place.load(_SLOW_SIZE, clients=1, seconds=seconds, port=port)
    during = speeds(beside.answered())
    failed = len(beside.entries) - len(beside.answered())
    is_met = not failed and bool(during["requests"]) and during["p99_ms"] <= SLOW_FACTOR * without["p99_ms"]
    place.rows.append(
        Row(
            "slow uploads",
            f"the others' p99, {way}",
            f"{during['p99_ms']} ms with (p50 {during['p50_ms']}; {failed} of {len(beside.entries)} failed)",
            f"{without['p99_ms']} ms without (p50 {without['p50_ms']})",
            f"<= {SLOW_FACTOR} x",
            is_met,
        )
    )
    return {"without": without, "with": {**during, "answers": answers(beside.entries)}, "slow_phones": told}
