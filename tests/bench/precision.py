"""Whether fewer bits pay on this processor: ``python -m tests.bench.precision NETWORK.xml``.

The prepared network at float32, at bfloat16 and with 8-bit convolutions (NNCF's post-training quantisation), side by
side: CPU time and wall time an image in turns, so that whatever else the machine does meets all of them; and what the
processor offers, and which arithmetic the convolutions were really compiled to: asked for bfloat16, a processor without
it calculates at float32 and says nothing.

With ``--train`` and ``--test`` (listings ``path,sku``) also what the 8 bits cost in accuracy: the test photos named by
classifiers of either network's own bottlenecks, in pairs. Without, the quantiser sees drawn photos, which is enough for
its speed and not for its accuracy.
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
from contextlib import redirect_stdout
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from app.cli.demo.shop import FAMILY, demo_products
from augment.render import render_phone_photo
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
    parser.add_argument("--rounds", type=int, default=9, help="turns of each precision and batch")
    parser.add_argument("--threads", type=int, default=0, help="threads of the network; 0: all cores")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args(arguments)
    if (asked.train is None) != (asked.test is None):
        parser.error("--train and --test go together")
    cases = None if asked.train is None else (_listed(asked.train, asked.a_label), _listed(asked.test))
    _tell("calibration photos")
    photos = _drawn(asked.calibration) if cases is None else _sampled(cases[0], asked.calibration)
    with tempfile.TemporaryDirectory(prefix="pickture-precision-") as name:
        _tell(f"8 bits, calibrated on {len(photos)} photos")
        small = quantised(asked.network, photos, Path(name) / "network.xml")
        result: dict[str, Any] = {
            "processor": processor(),
            "calibrated_on": f"{len(photos)} {'drawn' if cases is None else 'listed'} photos",
            "speed": speeds(asked.network, small, photos, asked.rounds, asked.threads),
        }
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


def quantised(network: Path, photos: Sequence[UInt8], out: Path) -> Path:
    """The network with 8-bit convolutions, written to ``out``.

    photos: uint8 (299, 299, 3) each, like those it will see; activations' ranges are taken from them.
    """
    openvino = load_openvino()  # first: it bars the telemetry package, which NNCF would use too
    import nncf

    model = openvino.Core().read_model(str(network))
    data = nncf.Dataset(list(photos), lambda pixels: pixels[None])
    with redirect_stdout(sys.stderr):  # its progress; standard output is for the result
        small = nncf.quantize(model, data, subset_size=len(photos), fast_bias_correction=True)
    openvino.save_model(small, str(out), compress_to_fp16=False)
    return out


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


def accuracy(network: Path, small: Path, train: Sequence[PhotoCase], test: Sequence[PhotoCase]) -> dict[str, Any]:
    """Each network's bottlenecks under classifiers of their own, and the difference in pairs.

    Returns ``{photos, cosine, softmax|svm|knn: {float32|int8: {top1, top5, macro_f1}, top1_lost, interval_95}}``;
    cosine: of the two networks' bottlenecks of the same photo, median and least.
    """
    known = {case.label for case in train if case.label}
    taught = [case for case in train if case.label]
    asked = [case for case in test if case.label in known]
    labels, truth = [str(case.label) for case in taught], [str(case.label) for case in asked]
    learned, shown = [_pixels(case) for case in taught], [_pixels(case) for case in asked]
    vectors: dict[str, tuple[Float32, Float32]] = {}
    for name, path in (("float32", network), ("int8", small)):
        _tell(f"bottlenecks, {name}")
        backbone = _backbone(path, name)
        vectors[name] = backbone.extract(learned), backbone.extract(shown)
    cosines = (vectors["float32"][1] * vectors["int8"][1]).sum(axis=1)
    found: dict[str, Any] = {
        "photos": {"train": len(taught), "test": len(asked)},
        "cosine": {"median": float(np.median(cosines)), "least": float(cosines.min())},
    }
    named = {name: _named(own, labels) for name, own in vectors.items()}
    for probe in named["float32"]:
        hits = {
            name: np.array([ranked[:1] == [label] for ranked, label in zip(own[probe], truth, strict=True)])
            for name, own in named.items()
        }
        found[probe] = {
            **{name: summary(own[probe], truth) for name, own in named.items()},
            "top1_lost": float(hits["float32"].mean() - hits["int8"].mean()),
            "interval_95": paired_interval(hits["float32"], hits["int8"]),
        }
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
    lines = [
        f"{machine['name']}, {machine['cores']} cores: {offered}; OpenVINO offers {' '.join(machine['openvino'])}",
        f"8 bits calibrated on {result['calibrated_on']}",
        f"{'ms an image, wall (CPU), x float32':36}" + "".join(f"{f'batch {batch}':>28}" for batch in BATCHES),
    ]
    for name, row in result["speed"].items():
        cells = (f"{c['wall_ms']:.1f} ({c['core_ms']:.1f}) x {c['faster']:.2f}" for c in row["batches"].values())
        lines.append(f"{name:36}" + "".join(f"{cell:>28}" for cell in cells))
    for name, row in result["speed"].items():
        kernels = ", ".join(f"{count} x {kernel}" for kernel, count in row["arithmetic"].items())
        lines.append(f"{name}: convolutions as {kernels}")
    found = result.get("accuracy")
    if found is None:
        return "\n".join([*lines, "accuracy not measured: give --train and --test"])
    lines.append(f"accuracy on {found['photos']['test']} photos, Top-1 / Top-5; points of Top-1 lost, 95 % interval:")
    for probe in ("softmax", "svm", "knn"):
        row = found[probe]
        cells = "   ".join(f"{n} {100 * row[n]['top1']:.1f} / {100 * row[n]['top5']:.1f}" for n in ("float32", "int8"))
        low, high = (100 * bound for bound in row["interval_95"])
        lines.append(f"{probe:10}{cells}   lost {100 * row['top1_lost']:+.1f} ({low:+.1f} to {high:+.1f})")
    cosine = found["cosine"]
    lines.append(
        f"cosine of the two bottlenecks of a photo: median {cosine['median']:.4f}, least {cosine['least']:.4f}"
    )
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
