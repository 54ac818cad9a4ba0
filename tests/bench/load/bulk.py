"""How fast ``python -m app bottlenecks`` is, in an installation of its own."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path
from typing import Any

from tests.bench.installation import Installation
from tests.bench.load.place import Place, fresh_home

_PRODUCTS, _QUICK_PRODUCTS = 16, 4
_PLAIN = 48
"""Photos of the plain loop: it is as fast for the next as for the last."""


def rate_of_bulk(place: Place) -> dict[str, Any]:
    """Images a second from the media store to rows in the cache, nine images a photo; and the plain loop's."""
    catalogue = place.home.parent / "load-catalogue"
    folder = fresh_home(place.home.parent, "load-bulk")
    part = _part_of(catalogue, folder / "catalogue", _QUICK_PRODUCTS if place.quick else _PRODUCTS)
    own = Installation(folder / "home", place.out / "load-bulk.log", place.settings)
    own.home.mkdir()
    # Preparing the network is not what is measured.
    shutil.copytree(place.home / "backbones", own.home / "backbones")
    try:
        own.run("db", "upgrade")
        own.run("catalog", "import", str(part))
        place.say("bottlenecks of a catalogue with all variants")
        report = own.run("bottlenecks")
        paths = sorted((part / "images").rglob("*.jpg"))
        place.say("the plain loop: open, resize, predict")
        plain = place.naive((paths * _PLAIN)[:_PLAIN])
    finally:
        own.run("db", "stop")
        shutil.rmtree(folder, ignore_errors=True)
    fill = report["fill"]
    return {
        "images": fill["new"],
        "seconds": fill["seconds"],
        "images_a_second": fill["new"] / fill["seconds"],
        "network_ms_per_image": report["network_ms_per_image"],
        "naive": plain,
    }


def _part_of(catalogue: Path, out: Path, products: int) -> Path:
    """A catalogue of its first products."""
    with (catalogue / "products.csv").open(encoding="utf-8", newline="") as handle:
        rows = list(csv.DictReader(handle))
    out.mkdir()
    with (out / "products.csv").open("w", encoding="utf-8", newline="") as handle:
        writer = csv.DictWriter(handle, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows[:products])
    for row in rows[:products]:
        shutil.copytree(catalogue / "images" / row["sku"], out / "images" / row["sku"])
    return out
