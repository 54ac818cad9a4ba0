"""The yardsticks: the network alone, decoding alone, and the loop that everybody writes first.

Runs in a process of its own (``python -m tests.bench.load.bare WHAT ...``, prints JSON); the service does not run.
"""

from __future__ import annotations

import io
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tests.bench.load.photos import read_all

BATCHES = (1, 2, 4, 8)
_CELL_S = 1.5
_LATENCY_TRIES = 60
_DECODE_TRIES = 3
_SEED = 1


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0))


def network(xml: Path) -> dict[str, Any]:
    """The network without anything around it.

    ``batch_1``: milliseconds of one image after the other on all cores. ``grid``: images a second for each batch,
    number of streams and of threads. ``best``: the highest of them.
    """
    from models.backbone.openvino_loader import load_openvino

    openvino = load_openvino()
    core = openvino.Core()
    everything = cores()
    halves = sorted({max(1, everything // 2), everything})
    alone = _compiled(core, xml, streams=1, threads=everything)
    spent = _milliseconds(alone.create_infer_request, _batch(1))
    grid = [
        {"batch": batch, "streams": streams, "threads": threads, "images_a_second": _rate(openvino, compiled, batch)}
        for threads in halves
        for streams in sorted({1, max(1, threads // 2), threads})
        for compiled in [_compiled(core, xml, streams=streams, threads=threads)]
        for batch in BATCHES
    ]
    best = max(grid, key=lambda cell: cell["images_a_second"])
    return {"batch_1": _quantiles(spent), "grid": grid, "best": best, "cores": everything}


def beside(xml: Path, cell: Sequence[int], paths: Sequence[Path]) -> dict[str, float]:
    """What the yardsticks are at this moment: a machine shared with others is not as fast now as a minute ago.

    cell: batch, streams and threads of the best rate. Seconds, not minutes: fewer tries than ``network``'s.
    """
    from models.backbone.openvino_loader import load_openvino

    openvino = load_openvino()
    core, everything = openvino.Core(), cores()
    batch, streams, threads = cell
    alone = _compiled(core, xml, streams=1, threads=everything)
    spent = _milliseconds(alone.create_infer_request, _batch(1))
    rate = _rate(openvino, _compiled(core, xml, streams=streams, threads=threads), batch)
    decoded = decode(paths)["pillow"]
    return {
        "batch_1_ms": _quantiles(spent)["p50_ms"],
        "images_a_second": rate,
        "decode_ms": decoded["p50_ms"],
        "decode_core_ms": decoded["core_ms"],
    }


def _compiled(core: Any, xml: Path, *, streams: int, threads: int) -> Any:
    options = {"INFERENCE_PRECISION_HINT": "f32", "NUM_STREAMS": streams, "INFERENCE_NUM_THREADS": threads}
    return core.compile_model(str(xml), "CPU", options)


def _batch(size: int) -> np.ndarray:
    return np.random.default_rng(_SEED).integers(0, 256, (size, 299, 299, 3), dtype=np.uint8)


def _milliseconds(make: Callable[[], Any], inputs: np.ndarray) -> list[float]:
    request = make()
    spent = []
    for _ in range(_LATENCY_TRIES + 5):
        began = time.perf_counter()
        request.infer([inputs], share_inputs=True)
        spent.append(1000 * (time.perf_counter() - began))
    return spent[5:]


def _rate(openvino: Any, compiled: Any, batch: int) -> float:
    """Images a second with every stream at work."""
    inputs = _batch(batch)
    waiting = openvino.AsyncInferQueue(compiled)
    for _ in range(len(waiting)):
        waiting.start_async([inputs])
    waiting.wait_all()
    done, began = 0, time.perf_counter()
    while time.perf_counter() - began < _CELL_S:
        waiting.start_async([inputs])
        done += batch
    waiting.wait_all()
    return round(done / (time.perf_counter() - began), 2)


def decode(paths: Sequence[Path]) -> dict[str, Any]:
    """Decoding alone, one photo after the other.

    ``pillow``: to the smallest scale that is large enough, as any service would that knows of it. ``full``: as most do.
    ``intake``: ``models.photo.read_photo``, with orientation, colour and advice. Milliseconds; ``core_ms`` is CPU time.
    """
    from PIL import Image

    from models.photo import PhotoLimits, read_photo

    edge = PhotoLimits().decode_edge

    def reduced(data: bytes) -> None:
        image = Image.open(io.BytesIO(data))
        image.draft("RGB", (edge, edge))
        image.load()

    def whole(data: bytes) -> None:
        Image.open(io.BytesIO(data)).load()

    photos = read_all(paths)
    ways: dict[str, Callable[[bytes], object]] = {
        "pillow": reduced,
        "full": whole,
        "intake": lambda data: read_photo(data, PhotoLimits()),
    }
    return {
        "bytes": round(float(np.mean([len(photo) for photo in photos]))),
        **{name: _decoding(way, photos) for name, way in ways.items()},
    }


def _decoding(way: Callable[[bytes], object], photos: Sequence[bytes]) -> dict[str, float]:
    way(photos[0])
    spent, used = [], time.process_time()
    for _ in range(_DECODE_TRIES):
        for photo in photos:
            began = time.perf_counter()
            way(photo)
            spent.append(1000 * (time.perf_counter() - began))
    core_ms = 1000 * (time.process_time() - used) / len(spent)
    return {**_quantiles(spent), "core_ms": round(core_ms, 2)}


def naive(paths: Sequence[Path]) -> dict[str, Any]:
    """Open, resize, ``model.predict``, one photo after the other: what the bulk way is compared with."""
    from PIL import Image

    from models.backbone.network import build_network

    model = build_network()

    def one(path: Path) -> None:
        image = Image.open(path).convert("RGB").resize((299, 299))
        model.predict(np.asarray(image, np.float32)[None] / 127.5 - 1, verbose=0)

    one(paths[0])
    began = time.perf_counter()
    for path in paths:
        one(path)
    return {"photos": len(paths), "images_a_second": round(len(paths) / (time.perf_counter() - began), 2)}


def _quantiles(spent: Sequence[float]) -> dict[str, float]:
    return {
        "p50_ms": round(float(np.percentile(spent, 50)), 2),
        "p99_ms": round(float(np.percentile(spent, 99)), 2),
        "mean_ms": round(float(np.mean(spent)), 2),
    }


def main(arguments: Sequence[str]) -> None:
    """``network XML``, ``decode PHOTO...``, ``naive PHOTO...`` or ``beside XML BATCH STREAMS THREADS PHOTO...``."""
    what, *rest = arguments
    if what == "beside":
        found = beside(Path(rest[0]), [int(word) for word in rest[1:4]], [Path(word) for word in rest[4:]])
    else:
        given = [Path(word) for word in rest]
        found = network(given[0]) if what == "network" else decode(given) if what == "decode" else naive(given)
    print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1:])
