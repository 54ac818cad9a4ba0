"""Whether fewer bits pay on this processor: ``python -m tests.bench.precision NETWORK.xml``.

The prepared network at float32, at bfloat16 and with 8-bit convolutions (NNCF's post-training quantisation), side by
side: CPU time and wall time an image in turns, so that whatever else the machine does meets all of them; and what the
processor offers, and which arithmetic the convolutions were really compiled to: asked for bfloat16, a processor without
it calculates at float32 and says nothing.

With ``--train`` and ``--test`` (listings ``path,sku``) also what the 8 bits cost in accuracy: the test photos named by
classifiers of either network's own bottlenecks, in pairs; once calibrated on drawn photos, which need no shop, and once
on the training photos.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import re
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from app.cli.demo.shop import FAMILY, demo_products
from augment.render import render_phone_photo
from models.backbone.eight_bits import quantise_network
from models.backbone.openvino_loader import load_openvino
from models.backbone.preprocessing import PREPROCESSING, fit_input
from models.backbone.projection import Projection
from models.backbone.runtimes import OpenVinoBackbone
from models.backbone.space import Space
from models.classifiers.exact import ExactNeighbours
from models.classifiers.knn import KnnClassifier
from models.photo import PhotoLimits, read_photo
from models.training.evaluate import PhotoCase
from models.training.fit.softmax import fit_softmax
from models.training.fit.svm import fit_svm
from models.training.measures import paired_interval, summary
from models.values import INPUT_SIZE, Float32, UInt8

PRECISIONS: Final = ("float32", "bfloat16", "int8")
BATCHES: Final = (1, 4, 16)
_HINTS: Final = {"float32": "f32", "bfloat16": "bf16", "int8": "f32"}
"""What OpenVINO is asked for; the 8 bits are written into the network, and the rest of it stays at float32."""

_FEATURES: Final = ("avx2", "avx512f", "avx_vnni", "avx512_vnni", "amx_int8", "avx512_bf16", "amx_bf16")
"""Of the kernel's list, those that decide what fewer bits bring."""

_MIN_CALL_S: Final = 0.5
_SOFTMAX_C: Final = 0.01
_SVM_C: Final = 30.0
"""The best of the yardstick on groceries with the shipped weights; both networks are measured with the same."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; the exit status is 0."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.precision", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("network", type=Path, help="network.xml of a prepared backbone")
    parser.add_argument("--train", type=Path, help="listing of photos to calibrate by, and to teach the classifiers")
    parser.add_argument("--test", type=Path, help="listing of photos to ask")
    parser.add_argument("--a-label", type=int, help="so many training photos of each label, for a quicker answer")
    parser.add_argument("--calibration", type=int, default=300, help="photos that the quantiser sees")
    parser.add_argument("--rounds", type=int, default=9, help="turns of each precision and batch; 0: no speed")
    parser.add_argument("--threads", type=int, default=0, help="threads of the network; 0: all cores")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args(arguments)
    if (asked.train is None) != (asked.test is None):
        parser.error("--train and --test go together")
    cases = None if asked.train is None else (_listed(asked.train, asked.a_label), _listed(asked.test))
    _tell("calibration photos")
    photos = {"drawn": _drawn(asked.calibration)}
    if cases is not None:
        photos["listed"] = _sampled(cases[0], asked.calibration)
    with tempfile.TemporaryDirectory(prefix="pickture-precision-") as name:
        small: dict[str, Path] = {}
        for kind, own in photos.items():
            _tell(f"8 bits, calibrated on {len(own)} {kind} photos")
            small[kind] = Path(name) / f"{kind}.xml"
            quantise_network(asked.network, own, small[kind])
        result: dict[str, Any] = {"processor": processor(), "calibration": {k: len(own) for k, own in photos.items()}}
        if asked.rounds:
            result["speed"] = speeds(asked.network, small["drawn"], photos["drawn"], asked.rounds, asked.threads)
        if cases is not None:
            result["accuracy"] = accuracy(asked.network, small, *cases)
    print(json.dumps(result) if asked.json else table(result))
    return 0


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def processor() -> dict[str, Any]:
    """Its name, the cores that may be used, and what it and OpenVINO offer for fewer bits."""
    told = Path("/proc/cpuinfo").read_text("utf-8")
    flags = set((re.search(r"^flags\s*:(.*)$", told, re.MULTILINE) or [""])[0].split())
    core = load_openvino().Core()
    return {
        "name": str(core.get_property("CPU", "FULL_DEVICE_NAME")),
        "cores": len(os.sched_getaffinity(0)),
        "features": {name: name in flags for name in _FEATURES},
        "openvino": list(core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")),
    }


# Photos


def _listed(listing: Path, a_label: int | None = None) -> list[PhotoCase]:
    """The photos of a CSV with the columns path,sku; paths are relative to it. a_label: the last so many of each."""
    with listing.open(encoding="utf-8-sig", newline="") as handle:
        cases = [PhotoCase(listing.parent / row["path"], row["sku"] or None) for row in csv.DictReader(handle)]
    if a_label is None:
        return cases
    own: dict[str | None, list[PhotoCase]] = {}
    for case in cases:
        own.setdefault(case.label, []).append(case)
    return [case for photos in own.values() for case in photos[-a_label:]]


def _drawn(count: int) -> list[UInt8]:
    products = demo_products()[0]
    found = []
    for number in range(count):
        product = products[number % len(products)]
        found.append(fit_input(render_phone_photo(product, 80_000 + number, camera=FAMILY, backgrounds=FAMILY)))
    return found


def _sampled(cases: Sequence[PhotoCase], count: int) -> list[UInt8]:
    """So many photos of the listing, evenly."""
    places = np.unique(np.linspace(0, len(cases) - 1, min(count, len(cases))).astype(int))
    return [_pixels(cases[place]) for place in places]


def _pixels(case: PhotoCase) -> UInt8:
    return fit_input(read_photo(case.path.read_bytes(), PhotoLimits(), with_advice=False).pixels)


# Networks


def _compiled(network: Path, precision: str, threads: int) -> Any:
    options = {
        "INFERENCE_PRECISION_HINT": _HINTS[precision],
        "NUM_STREAMS": 1,
        "INFERENCE_NUM_THREADS": threads or len(os.sched_getaffinity(0)),
    }
    return load_openvino().Core().compile_model(str(network), "CPU", options)


def _arithmetic(compiled: Any) -> dict[str, int]:
    """Convolutions by the precision and the kernels they were compiled to."""
    found: Counter[str] = Counter()
    for node in compiled.get_runtime_model().get_ordered_ops():
        told = node.get_rt_info()
        if str(told["layerType"].astype(str)) == "Convolution":
            found[f"{told['runtimePrecision'].astype(str)} {told['primitiveType'].astype(str)}"] += 1
    return dict(found.most_common())


# Speed


def speeds(network: Path, small: Path, photos: Sequence[UInt8], rounds: int, threads: int) -> dict[str, Any]:
    """``{precision: {arithmetic, batches: {batch: {wall_ms, core_ms, faster}}}}``, milliseconds an image.

    Medians over rounds; in each round every precision has its turn. faster: float32's CPU time over this one's.
    """
    compiled = {name: _compiled(small if name == "int8" else network, name, threads) for name in PRECISIONS}
    found: dict[str, Any] = {name: {"arithmetic": _arithmetic(compiled[name]), "batches": {}} for name in PRECISIONS}
    for batch in BATCHES:
        _tell(f"batches of {batch}")
        inputs = np.stack([photos[place % len(photos)] for place in range(batch)])
        requests = {name: compiled[name].create_infer_request() for name in PRECISIONS}
        for request in requests.values():
            request.infer([inputs], share_inputs=True)
        spent: dict[str, list[tuple[float, float]]] = {name: [] for name in PRECISIONS}
        for turn in range(rounds):
            for place in range(len(PRECISIONS)):
                name = PRECISIONS[(turn + place) % len(PRECISIONS)]
                spent[name].append(_turn(requests[name], inputs))
        for name in PRECISIONS:
            wall, core = (statistics.median(times) for times in zip(*spent[name], strict=True))
            against = statistics.median(core for _, core in spent["float32"])
            found[name]["batches"][batch] = {
                "wall_ms": round(wall, 2),
                "core_ms": round(core, 2),
                "faster": round(against / core, 3),
            }
    return found


def _turn(request: Any, inputs: UInt8) -> tuple[float, float]:
    """Wall and CPU milliseconds an image, over half a second at least."""
    images, began, used = 0, time.perf_counter(), time.process_time()
    while images == 0 or time.perf_counter() - began < _MIN_CALL_S:
        request.infer([inputs], share_inputs=True)
        images += len(inputs)
    return 1000 * (time.perf_counter() - began) / images, 1000 * (time.process_time() - used) / images


# Accuracy


def accuracy(
    network: Path, small: dict[str, Path], train: Sequence[PhotoCase], test: Sequence[PhotoCase]
) -> dict[str, Any]:
    """Each network's bottlenecks under classifiers of their own, and the difference in pairs.

    small: 8-bit networks by what they were calibrated on.
    Returns ``{photos, float32: {softmax|svm|knn: {top1, top5, macro_f1}}, int8: {calibration: {cosine,
    softmax|svm|knn: {top1, top5, macro_f1, top1_lost, interval_95}}}}``; cosine: of the two networks' bottlenecks of
    the same photo, median and least.
    """
    known = {case.label for case in train if case.label}
    taught = [case for case in train if case.label]
    asked = [case for case in test if case.label in known]
    labels, truth = [str(case.label) for case in taught], [str(case.label) for case in asked]
    learned, shown = [_pixels(case) for case in taught], [_pixels(case) for case in asked]

    def measured(path: Path, precision: str) -> tuple[Float32, dict[str, list[list[str]]]]:
        _tell(f"bottlenecks, {precision}")
        backbone = _backbone(path, precision)
        vectors = backbone.extract(learned), backbone.extract(shown)
        return vectors[1], _named(vectors, labels)

    full_vectors, full = measured(network, "float32")
    found: dict[str, Any] = {
        "photos": {"train": len(taught), "test": len(asked)},
        "float32": {probe: summary(ranked, truth) for probe, ranked in full.items()},
        "int8": {},
    }
    for kind, path in small.items():
        vectors, named = measured(path, "int8")
        cosines = (full_vectors * vectors).sum(axis=1)
        row: dict[str, Any] = {"cosine": {"median": float(np.median(cosines)), "least": float(cosines.min())}}
        for probe, ranked in named.items():
            hits = [
                np.array([first[:1] == [label] for first, label in zip(own, truth, strict=True)])
                for own in (full[probe], ranked)
            ]
            lost = {"top1_lost": float(hits[0].mean() - hits[1].mean()), "interval_95": paired_interval(*hits)}
            row[probe] = {**summary(ranked, truth), **lost}
        found["int8"][kind] = row
    return found


def _backbone(network: Path, precision: str) -> OpenVinoBackbone:
    projection = Projection.random_orthogonal()
    space = replace(Space("0" * 64, PREPROCESSING, projection.sha256), precision=precision, input_size=INPUT_SIZE)
    return OpenVinoBackbone(network, space, projection)


def _named(vectors: tuple[Float32, Float32], labels: Sequence[str]) -> dict[str, list[list[str]]]:
    learned, asked = vectors
    probes = (
        ("softmax", fit_softmax(learned, labels, _SOFTMAX_C)),
        ("svm", fit_svm(learned, labels, _SVM_C)),
        ("knn", KnnClassifier(ExactNeighbours(learned, labels))),
    )
    return {name: [[s.label for s in row.ranked] for row in model.predict(asked)] for name, model in probes}


def table(result: dict[str, Any]) -> str:
    """The figures for people."""
    machine = result["processor"]
    offered = ", ".join(f"{name} {'yes' if there else 'no'}" for name, there in machine["features"].items())
    calibration = ", ".join(f"{count} {kind} photos" for kind, count in result["calibration"].items())
    lines = [
        f"{machine['name']}, {machine['cores']} cores: {offered}; OpenVINO offers {' '.join(machine['openvino'])}",
        f"8 bits calibrated on {calibration}",
    ]
    if "speed" in result:
        lines += _speed_table(result["speed"])
    found = result.get("accuracy")
    return "\n".join(lines + (["accuracy not measured: give --train and --test"] if found is None else _losses(found)))


def _speed_table(speed: dict[str, Any]) -> list[str]:
    lines = [
        f"{'ms an image, wall (CPU), x float32':36}" + "".join(f"{f'batch {batch}':>28}" for batch in BATCHES),
    ]
    for name, row in speed.items():
        cells = (f"{c['wall_ms']:.1f} ({c['core_ms']:.1f}) x {c['faster']:.2f}" for c in row["batches"].values())
        lines.append(f"{name:36}" + "".join(f"{cell:>28}" for cell in cells))
    for name, row in speed.items():
        kernels = ", ".join(f"{count} x {kernel}" for kernel, count in row["arithmetic"].items())
        lines.append(f"{name}: convolutions as {kernels}")
    return lines


def _losses(found: dict[str, Any]) -> list[str]:
    lines = [f"accuracy on {found['photos']['test']} photos, Top-1 / Top-5; points of Top-1 lost, 95 % interval:"]
    for probe, row in found["float32"].items():
        lines.append(f"{probe:10}float32                {100 * row['top1']:.1f} / {100 * row['top5']:.1f}")
    for kind, rows in found["int8"].items():
        for probe in found["float32"]:
            row = rows[probe]
            low, high = (100 * bound for bound in row["interval_95"])
            lines.append(
                f"{probe:10}{f'int8, {kind} photos':23}{100 * row['top1']:.1f} / {100 * row['top5']:.1f}"
                f"   lost {100 * row['top1_lost']:+.1f} ({low:+.1f} to {high:+.1f})"
            )
        cosine = rows["cosine"]
        lines.append(
            f"{kind} photos: cosine of the two bottlenecks of a photo: median {cosine['median']:.4f}, "
            f"least {cosine['least']:.4f}"
        )
    return lines


if __name__ == "__main__":
    sys.exit(main())
