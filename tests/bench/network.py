"""How callers of several threads are best let onto the network: ``python -m tests.bench.network IR.xml``.

A number of threads each ask for one photo after the other, as the threads of a service do. Compared: turns at a network
of so many streams and threads, OpenVINO's ``AsyncInferQueue``, and shared batches (``models.backbone.batching``).
"""

from __future__ import annotations

import argparse
import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

from models.backbone.batching import SharedBackbone
from models.backbone.openvino_loader import load_openvino
from models.backbone.preprocessing import PREPROCESSING, normalise
from models.backbone.projection import Projection
from models.backbone.runtimes import OpenVinoBackbone
from models.backbone.space import Space
from models.values import INPUT_SIZE, UInt8

Ask = Callable[[UInt8], Any]
CALLERS = (1, 2, 4, 8, 16)


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0))


def backbone(xml: Path, streams: int, threads: int) -> OpenVinoBackbone:
    """The network; what it is called plays no part."""
    projection = Projection.random_orthogonal()
    space = Space("0" * 64, PREPROCESSING, projection.sha256)
    return OpenVinoBackbone(xml, space, projection, threads=threads, streams=streams)


@contextmanager
def turns(xml: Path, streams: int, threads: int) -> Iterator[Ask]:
    """Each photo by itself, as many at once as there are streams."""
    network = backbone(xml, streams, threads)
    yield lambda pixels: network.extract([pixels])


@contextmanager
def shared(xml: Path, lanes: int, threads: int, largest: int) -> Iterator[Ask]:
    """Small batches of what has queued."""
    network = SharedBackbone(backbone(xml, lanes, threads), lanes=lanes, max_shared=largest)
    network.warm_up()
    yield lambda pixels: network.extract([pixels])


@contextmanager
def async_queue(xml: Path, streams: int, threads: int) -> Iterator[Ask]:
    """OpenVINO's own queue of requests."""
    openvino = load_openvino()
    options = {"INFERENCE_PRECISION_HINT": "f32", "NUM_STREAMS": streams, "INFERENCE_NUM_THREADS": threads}
    queue = openvino.AsyncInferQueue(openvino.Core().compile_model(str(xml), "CPU", options), 2 * streams)
    lock = threading.Lock()

    def done(request: Any, future: Future[Any]) -> None:
        future.set_result(normalise(np.array(request.get_output_tensor(0).data)))

    queue.set_callback(done)

    def ask(pixels: UInt8) -> Any:
        future: Future[Any] = Future()
        with lock:
            queue.start_async([pixels[None]], userdata=future)
        return future.result()

    yield ask
    queue.wait_all()


def measure(ask: Ask, callers: int, seconds: float) -> dict[str, float]:
    """Photos a second, and milliseconds of the median and of the slowest hundredth, with so many callers."""
    photos = np.random.default_rng(1).integers(0, 256, (32, INPUT_SIZE, INPUT_SIZE, 3), np.uint8)
    spent: list[float] = []
    numbers, start = count(), threading.Barrier(callers + 1)

    def call() -> None:
        start.wait()
        while (began := time.perf_counter()) < until[0]:
            ask(photos[next(numbers) % len(photos)])
            spent.append(time.perf_counter() - began)

    for _ in range(3):
        ask(photos[0])
    until = [float("inf")]
    threads = [threading.Thread(target=call) for _ in range(callers)]
    for thread in threads:
        thread.start()
    until[0] = (began := time.perf_counter()) + seconds
    start.wait()
    for thread in threads:
        thread.join()
    took_s = time.perf_counter() - began
    return {
        "photos_a_second": round(len(spent) / took_s, 2),
        "p50_ms": round(float(np.percentile(spent, 50)) * 1000, 1),
        "p99_ms": round(float(np.percentile(spent, 99)) * 1000, 1),
    }


def main() -> None:
    """Measure every way with every number of callers; a table, or one JSON object a line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("network", type=Path, help="network.xml of a prepared backbone")
    parser.add_argument("--seconds", type=float, default=5.0, help="length of one measurement")
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    every, xml = cores(), chosen.network
    ways = {
        f"turns, 1 stream x {every} threads": lambda: turns(xml, 1, every),
        f"turns, {every} streams x 1 thread": lambda: turns(xml, every, every),
        f"async queue, 1 stream x {every} threads": lambda: async_queue(xml, 1, every),
        f"async queue, {every} streams x 1 thread": lambda: async_queue(xml, every, every),
        f"shared batches of 4, 1 lane x {every} threads": lambda: shared(xml, 1, every, 4),
        f"shared batches of 8, 1 lane x {every} threads": lambda: shared(xml, 1, every, 8),
        f"shared batches of 4, 2 lanes x {every // 2 or 1} threads": lambda: shared(xml, 2, every, 4),
    }
    if not chosen.json:
        print(f"{'photos/s (p50, p99 ms) with callers':46}" + "".join(f"{callers:>22}" for callers in CALLERS))
    for name, way in ways.items():
        with way() as ask:
            found = [measure(ask, callers, chosen.seconds) for callers in CALLERS]
        if chosen.json:
            print(json.dumps({"way": name, "callers": dict(zip(map(str, CALLERS), found, strict=True))}), flush=True)
        else:
            cells = (f"{f['photos_a_second']:.1f} ({f['p50_ms']:.0f}, {f['p99_ms']:.0f})" for f in found)
            print(f"{name:46}" + "".join(f"{cell:>22}" for cell in cells), flush=True)


if __name__ == "__main__":
    main()
