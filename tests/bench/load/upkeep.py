"""How soon the service is ready, how much memory it takes, and whether swapping versions leaks."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from typing import Any

from tests.bench.installation import wait_for
from tests.bench.load.bulk import rate_of_bulk
from tests.bench.load.judging import Row
from tests.bench.load.place import Place, memory_mb, seconds_to_ready

READY_S = 5.0
MEMORY_MB = 900.0
SWAPS = 20
GROWTH = 0.05
_STARTS = 3
_WARM_SWAPS = 3
"""Both versions have been loaded, and the allocator has what it keeps, before growth is counted."""


def ready(place: Place) -> dict[str, Any]:
    """From the start of ``serve``, on a stopped database, to the first 200 of ``/readyz``."""
    spent = sorted(round(seconds_to_ready(place), 2) for _ in range(_STARTS))
    place.rows.append(
        Row(
            "ready",
            f"after start, slowest of {_STARTS}",
            f"{spent[-1]:.2f} s (fastest {spent[0]:.2f})",
            "",
            f"<= {READY_S:.0f} s",
            spent[-1] <= READY_S,
        )
    )
    return {"seconds": spent}


def memory(place: Place) -> dict[str, Any]:
    """PSS of the service after load."""
    with place.served():
        place.load("12mp", clients=4, processes=1, seconds=place.long_s)
        service = place.installation.processes()
        parts = {f"{_name(process)} {process.pid}": round(memory_mb([process]), 1) for process in service}
        total = sum(parts.values())
        database = memory_mb(place.installation.database_processes())
    aimed = place.workers == 1
    place.rows.append(
        Row(
            "memory",
            f"PSS, {place.workers} gunicorn worker(s)",
            f"{total:.0f} MB in {len(parts)} processes; PostgreSQL {database:.0f} MB",
            "",
            f"<= {MEMORY_MB:.0f} MB" if aimed else "",
            total <= MEMORY_MB if aimed else None,
        )
    )
    return {"service_mb": total, "database_mb": database, "processes_mb": parts}


def _name(process: Any) -> str:
    words = " ".join(process.cmdline())
    known = {
        "models.photo.decoder": "decoder",
        "resource_tracker": "tracker",
        "gunicorn": "gunicorn",
        "worker": "jobs",
        "serve": "serve",
    }
    return next((name for word, name in known.items() if word in words), "process")


def swaps(place: Place) -> dict[str, Any]:
    """Promote two versions in turn, each answering a search, and look at the memory of the serving processes."""
    if len(place.versions) < 2:
        raise AssertionError("two versions are prepared for this scenario")
    sizes = []
    with place.served():
        for number in range(_WARM_SWAPS + SWAPS + 1):
            version = place.versions[number % 2]
            place.admin.promote(version)
            for _ in range(4 * place.workers):
                wait_for(partial(_served, place, version), 60, f"version {version} to be served")
            place.load("1280", clients=1, seconds=1)
            sizes.append(round(memory_mb(place.installation.web_processes()), 1))
            place.say(f"swap {number}: {sizes[-1]} MB")
    before, after = sizes[_WARM_SWAPS], sizes[-1]
    growth = after / before - 1
    place.rows.append(
        Row(
            "swaps",
            f"growth over {SWAPS} bundle swaps",
            f"{growth:+.1%} ({before:.0f} to {after:.0f} MB)",
            f"the same processes after {_WARM_SWAPS} swaps",
            f"< {GROWTH:.0%}",
            growth < GROWTH,
        )
    )
    return {"mb": sizes, "growth": growth}


def _served(place: Place, version: str) -> bool | None:
    return place.admin.patiently("GET", f"/v1/admin/models/{version}")["served"] or None


def bulk(place: Place) -> dict[str, Any]:
    """Bottlenecks of a catalogue with all variants, beside the bare network and the plain loop."""
    found, bare = place.around("1280", partial(rate_of_bulk, place))
    best, naive, rate = bare.images_a_second, found["naive"]["images_a_second"], found["images_a_second"]
    place.rows += [
        Row(
            "bulk",
            f"bottlenecks, {found['images']} images",
            f"{rate:.1f} /s, {rate / best:.0%}",
            f"bare network {best:.1f} /s",
            ">= 90 %",
            rate >= 0.9 * best,
        ),
        Row(
            "bulk",
            "beside open, resize, predict",
            f"{rate:.1f} /s, {rate / naive:.2f} x",
            f"the plain loop {naive:.1f} /s",
            ">= 1.8 x",
            rate >= 1.8 * naive,
        ),
    ]
    return {**found, "around": asdict(bare)}
