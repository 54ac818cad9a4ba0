"""``make bench-rendered``: the served demonstration model on rendered phone photos, each failure kind apart.

Needs ``make demo`` in the same PICKTURE_HOME. Writes ``bench/rendered.json`` there and prints a table.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from PIL import Image
from sqlalchemy import select

from app.cli.demo.shop import FAMILY, demo_products
from app.config import Settings
from app.store.database import transaction
from app.store.tables import Product
from app.wiring import build_container
from augment.render import render_phone_photo
from models.photo import PhotoLimits
from models.recognizer import Recognizer
from models.training.evaluate import PhotoCase, evaluate

KINDS = ("none", "small", "foreign_advertising", "cut_off", "dark", "blurred")
PHOTOS = 48
_SEED = 20_000


def main() -> int:
    """Measure every kind on the same products and seeds; the exit status is 1 without a demonstration."""
    settings = Settings.from_env()
    container = build_container(settings)
    try:
        with transaction(container.engine) as session:
            labels = dict(session.execute(select(Product.sku, Product.label)).all())
        products, strangers = demo_products()
        if not {product.sku for product in products} <= set(labels):
            print("this PICKTURE_HOME holds no demonstration; run `make demo` first", file=sys.stderr)
            return 1
        recognizer = container.recognizer()
        assert isinstance(recognizer, Recognizer)
        folder = settings.home / "bench"
        results: dict[str, Any] = {"cores": os.cpu_count(), "kinds": {}}
        for kind in KINDS:
            cases = _cases(folder / "photos" / kind, kind, labels, products[:PHOTOS], strangers)
            found = evaluate(cases, recognizer, limits=PhotoLimits(), catalogue_hashes=frozenset())
            results["kinds"][kind] = found.result
    finally:
        container.close()
    (folder / "rendered.json").write_text(json.dumps(results, indent=1))
    print(_table(results["kinds"]))
    return 0


def _cases(folder: Path, kind: str, labels: dict[str, str], products: Any, strangers: Any) -> list[PhotoCase]:
    folder.mkdir(parents=True, exist_ok=True)
    cases = []
    for number, product in enumerate([*products, *strangers]):
        path = folder / f"{number:03d}.jpg"
        neighbours = (products[(number + 5) % len(products)],)
        pixels = render_phone_photo(
            product, _SEED + number, camera=FAMILY, backgrounds=FAMILY, distractors=neighbours, failure=kind
        )
        Image.fromarray(pixels).save(path, "JPEG", quality=88)
        cases.append(PhotoCase(path, labels.get(product.sku)))
    return cases


def _table(kinds: dict[str, Any]) -> str:
    lines = [f"{'photos':22}{'vote Top-1':>12}{'Top-5':>8}{'rejected':>10}{'accepted foreign':>18}{'ms p50':>8}"]
    for kind, row in kinds.items():
        rates = row["verdict"]
        lines.append(
            f"{kind:22}{100 * row['vote']['top1']:11.1f} {100 * row['vote']['top5']:7.1f} "
            f"{100 * rates['false_reject']:9.1f} {100 * rates['false_accept']:17.1f} {row['latency_ms']['p50']:7.0f}"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
