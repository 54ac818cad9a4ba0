"""Top-1/Top-5 of the served model on altered copies of its own reference photos, a variant at a time.

For catalogues with one or two photos a product, of which none can be held out (fashion, for example): it tells
whether a product is found again under other framing, light and sharpness, not how shoppers' photos fare.
The alterations use another seed than training's variants. Run: ``python -m tests.bench.variants [PRODUCTS]``.
"""

from __future__ import annotations

import io
import json
import os
import sys
from typing import Any

import numpy as np
from PIL import Image

from app.config import Settings
from app.jobs.bottlenecks import catalogue_images
from app.store.database import transaction
from app.wiring import build_container
from augment.variants import VARIANT_NAMES, make_variant
from models.photo import PhotoLimits, read_photo
from models.recognizer import Recognizer
from models.training.evaluate import PhotoCase, evaluate

_SEED = 4711
_DEFAULT = 200


def main(count: int) -> None:
    """Measure ``count`` products drawn at random (seeded); prints a table and writes ``bench/variants.json``."""
    settings = Settings.from_env()
    container = build_container(settings)
    try:
        with transaction(container.engine) as session:
            images = catalogue_images(session, container.media)
        chosen = np.random.default_rng(_SEED).permutation(len(images))[:count]
        recognizer = container.recognizer()
        assert isinstance(recognizer, Recognizer)
        folder = settings.home / "bench" / "variants"
        results: dict[str, Any] = {"cores": os.cpu_count(), "products": len(chosen), "variants": {}}
        for name in VARIANT_NAMES:
            (folder / name).mkdir(parents=True, exist_ok=True)
            cases = []
            for i in chosen:
                path = folder / name / f"{images[i].image_id}.jpg"
                pixels = read_photo(images[i].load(), with_advice=False).pixels
                buffer = io.BytesIO()
                Image.fromarray(make_variant(pixels, name, _SEED)).save(buffer, "JPEG", quality=90)
                path.write_bytes(buffer.getvalue())
                cases.append(PhotoCase(path, images[i].label))
            found = evaluate(cases, recognizer, limits=PhotoLimits(), catalogue_hashes=frozenset())
            results["variants"][name] = found.result
    finally:
        container.close()
    (settings.home / "bench" / "variants.json").write_text(json.dumps(results, indent=1))
    for name, row in results["variants"].items():
        print(f"{name:20} k-NN {100 * row['knn']['top1']:5.1f} / {100 * row['knn']['top5']:5.1f}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else _DEFAULT)
