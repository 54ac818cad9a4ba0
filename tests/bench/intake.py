"""What decoding in processes of its own costs a photo: ``python -m tests.bench.intake``.

The same photos decoded here and in the pool, in turns, so that whatever else the machine does meets both.
"""

from __future__ import annotations

import argparse
import io
import json
import statistics
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import psutil
from PIL import Image

from models.photo.pool import DecoderPool, Decodes, DecodesHere

SIZES = {"12 megapixels": (4032, 3024, 88), "1,280 pixels": (1280, 960, 90)}


def drawn(width: int, height: int, quality: int) -> bytes:
    """A JPEG whose size is about a phone's: soft colours, and the noise of a small sensor."""
    rng = np.random.default_rng(7)
    coarse = Image.fromarray(rng.integers(0, 256, (height // 24, width // 24, 3), np.uint8))
    soft = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC)).astype(np.int16)
    noise = rng.integers(-10, 11, (height, width, 1), np.int16)
    out = io.BytesIO()
    Image.fromarray((soft + noise).clip(0, 255).astype(np.uint8)).save(out, "JPEG", quality=quality)
    return out.getvalue()


def one_by_one(ways: dict[str, Decodes], data: bytes, tries: int) -> dict[str, float]:
    """Median milliseconds of each way."""
    spent: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(tries):
        for name, way in ways.items():
            began = time.perf_counter()
            way.read_photo(data)
            spent[name].append((time.perf_counter() - began) * 1000)
    return {name: round(statistics.median(times), 2) for name, times in spent.items()}


def cpu_ms(way: Decodes, data: bytes, tries: int) -> float:
    """CPU milliseconds a photo, of this process and of those below it: what a busy machine does not change."""
    family = [psutil.Process(), *psutil.Process().children(recursive=True)]
    before = [process.cpu_times() for process in family]
    for _ in range(tries):
        way.read_photo(data)
    after = [process.cpu_times() for process in family]
    spent_s = sum(now.user + now.system - then.user - then.system for now, then in zip(after, before, strict=True))
    return round(spent_s / tries * 1000, 2)


def together(way: Decodes, data: bytes, tries: int, threads: int) -> float:
    """Photos a second of so many threads."""
    with ThreadPoolExecutor(threads) as pool:
        began = time.perf_counter()
        list(pool.map(lambda _: way.read_photo(data), range(tries)))
        return round(tries / (time.perf_counter() - began), 1)


def main() -> None:
    """Measure; one JSON object a size of photo."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tries", type=int, default=60)
    parser.add_argument("--decoders", type=int, default=2)
    chosen = parser.parse_args()
    # None is replaced meanwhile: the processes whose time is counted must be the same before and after.
    pool = DecoderPool(chosen.decoders, photos_per_process=sys.maxsize)
    pool.start()
    ways: dict[str, Decodes] = {"here": DecodesHere(), "pool": pool}
    try:
        for name, (width, height, quality) in SIZES.items():
            data = drawn(width, height, quality)
            one_by_one(ways, data, 5)
            found = {
                "photo": name,
                "bytes": len(data),
                "median_ms": one_by_one(ways, data, chosen.tries),
                "cpu_ms": {place: cpu_ms(way, data, chosen.tries) for place, way in ways.items()},
                "photos_a_second": {
                    place: together(way, data, chosen.tries, chosen.decoders) for place, way in ways.items()
                },
            }
            print(json.dumps(found), flush=True)
    finally:
        pool.close()


if __name__ == "__main__":
    main()
