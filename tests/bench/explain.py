"""How good the heat maps are, on rendered scenes that know where the product is: ``python -m tests.bench.explain``.

Classifiers are fitted on the studio views of rendered products and look at phone photos of them. Pointing: how often
the hottest cell's centre lies on the product's box, beside what the photo's centre and the network's activation alone
would hit. Deletion: how far the label's probability falls as the photo is greyed cell by cell, hottest first, beside a
random order; a map that says where the evidence is loses it sooner. Writes ``bench/explain.json`` in PICKTURE_HOME.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from app.config import Settings
from app.jobs.experiments import FAMILY, rendered_photos
from augment.render import RenderedProduct, make_catalogue, render_phone_scene
from models.backbone.preprocessing import fit_input
from models.backbone.store import load_backbone
from models.classifiers.base import LinearModel
from models.explain import AREA, attention, direction_of, heat_map
from models.training.fit.softmax import fit_softmax
from models.training.fit.svm import fit_svm
from models.training.measures import spread
from models.values import INPUT_SIZE, MAP_CELLS, Backbone, Float32, HeatMap, UInt8

KINDS: Final = ("none", "small", "foreign_advertising", "cut_off", "dark", "blurred")
STEPS: Final = (0, 4, 8, 16, 24, 32, 48, 64)
"""Cells greyed so far when the photo is looked at again."""

_SEED: Final = 41
"""Of the catalogue; the same as that of ``app.jobs.experiments``, whose views the classifiers learn."""

_SCENES: Final = 90_000
_RANDOM_ORDERS: Final = 3
_SOFTMAX_C: Final = 0.3
_SVM_C: Final = 10.0

_COLUMNS: Final = (
    ("pointing", "pointing", 10),
    ("heat in box", "heat_in_box", 13),
    ("activation", "activation_pointing", 12),
    ("centre", "centre", 8),
    ("area", "box_area", 7),
)
"""Title, key and width of the table's figures."""


@dataclass(frozen=True, slots=True, eq=False)
class Looked:
    """One scene. box: x, y, width, height of the product, fractions. feature_map: float32 (8, 8, 2048)."""

    product: RenderedProduct
    pixels: UInt8
    box: tuple[float, float, float, float]
    vector: Float32
    feature_map: Float32


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; the exit status is 0."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.explain", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--products", type=int, default=60, help="rendered products, a scene of each and kind")
    parser.add_argument("--deletions", type=int, default=40, help="scenes whose photo is greyed cell by cell")
    parser.add_argument("--seed", type=int, default=0, help="another one draws other scenes")
    options = parser.parse_args(arguments)
    settings = Settings.from_env()
    learned, _ = rendered_photos(settings, options.products, 0, lambda line: print(line, file=sys.stderr))
    views, labels = learned.views.originals, list(learned.views.labels)
    models: tuple[LinearModel, ...] = (fit_softmax(views, labels, _SOFTMAX_C), fit_svm(views, labels, _SVM_C))
    backbone = load_backbone(settings.weights, settings.home)
    products = make_catalogue(options.products, _SEED, FAMILY)
    result: dict[str, Any] = {"products": options.products, "weights": backbone.weights, "kinds": {}}
    for kind in KINDS:
        print(f"pointing, {kind}", file=sys.stderr)
        scenes = [_look(backbone, product, kind, _scene(options.seed, i)) for i, product in enumerate(products)]
        result["kinds"][kind] = {model.name: _pointing(scenes, model) for model in models}
        if kind == "none":
            print("deletion", file=sys.stderr)
            result["deletion"] = {m.name: _deletion(backbone, scenes[: options.deletions], m) for m in models}
    folder = settings.home / "bench"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "explain.json").write_text(json.dumps(result, indent=1) + "\n")
    print(_table(result))
    return 0


def _scene(seed: int, number: int) -> int:
    return _SCENES + 1000 * seed + number


def _look(backbone: Any, product: RenderedProduct, kind: str, seed: int) -> Looked:
    scene = render_phone_scene(product, seed, camera=FAMILY, backgrounds=FAMILY, failure=kind)
    pixels = fit_input(scene.pixels)
    vectors, maps = backbone.extract_with_maps([pixels])
    return Looked(product, pixels, scene.box, vectors[0], maps[0])


def _pointing(scenes: Sequence[Looked], model: LinearModel) -> dict[str, Any]:
    """Of all scenes, and of those whose product the classifier names first."""
    named = [prediction.ranked[0].label for prediction in model.predict(np.stack([s.vector for s in scenes]))]
    right = [scene for scene, label in zip(scenes, named, strict=True) if label == scene.product.sku]
    return {"all": _hits(scenes, model), "named_first": _hits(right, model)}


def _hits(scenes: Sequence[Looked], model: LinearModel) -> dict[str, float | int | None]:
    if not scenes:
        return {"scenes": 0}
    maps = [heat_map(s.feature_map, direction_of(model, s.product.sku, s.vector), model.name) for s in scenes]
    boxes = [scene.box for scene in scenes]
    return {
        "scenes": len(scenes),
        "pointing": _share(_inside(m.peak, box) for m, box in zip(maps, boxes, strict=True)),
        "heat_in_box": float(np.mean([_heat_inside(m.values, box) for m, box in zip(maps, boxes, strict=True)])),
        "activation_pointing": _share(_inside(_activation(s).peak, s.box) for s in scenes),
        "centre": _share(_inside((0.5, 0.5), box) for box in boxes),
        "box_area": float(np.mean([box[2] * box[3] for box in boxes])),
    }


def _activation(scene: Looked) -> HeatMap:
    """Where the network responds at all, whatever the label."""
    return HeatMap(scene.feature_map.sum(axis=2), AREA, "fcn")


def _inside(point: tuple[float, float], box: tuple[float, float, float, float]) -> bool:
    (x, y), (left, top, width, height) = point, box
    return left <= x <= left + width and top <= y <= top + height


def _heat_inside(values: Float32, box: tuple[float, float, float, float]) -> float:
    """Share of the heat in cells whose centre lies in the box."""
    total = float(values.sum())
    centres = AREA.x + AREA.width * (np.arange(MAP_CELLS) + 0.5) / MAP_CELLS
    inside = np.array([[_inside((x, y), box) for x in centres] for y in centres])
    return float(values[inside].sum()) / total if total else 0.0


def _deletion(backbone: Backbone, scenes: Sequence[Looked], model: LinearModel) -> dict[str, Any]:
    """Mean probability left at each step (softmax of the scores) and the area under it, hottest first and at random."""
    rng = np.random.default_rng(0)
    curves: dict[str, list[NDArray[np.float64]]] = {"hottest": [], "random": []}
    for scene in scenes:
        shares = attention(scene.feature_map, direction_of(model, scene.product.sku, scene.vector))
        curves["hottest"].append(_curve(backbone, scene, model, np.argsort(-shares, axis=None, kind="stable")))
        drawn = [_curve(backbone, scene, model, rng.permutation(shares.size)) for _ in range(_RANDOM_ORDERS)]
        curves["random"].append(np.mean(drawn, axis=0))
    areas = {name: [float(np.trapezoid(c, STEPS) / STEPS[-1]) for c in own] for name, own in curves.items()}
    gaps = [random - hottest for random, hottest in zip(areas["random"], areas["hottest"], strict=True)]
    return {
        "scenes": len(scenes),
        "steps": list(STEPS),
        "curves": {name: np.mean(own, axis=0).tolist() for name, own in curves.items()},
        "area": {name: spread(own) for name, own in areas.items()},
        "random_minus_hottest": {**spread(gaps), "better": _share(gap > 0 for gap in gaps)},
    }


def _curve(backbone: Backbone, scene: Looked, model: LinearModel, order: NDArray[np.intp]) -> NDArray[np.float64]:
    greyed = [_greyed(scene.pixels, order[:count]) for count in STEPS]
    logits = backbone.extract(greyed) @ model.weight + model.bias
    logits -= logits.max(axis=1, keepdims=True)
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return probabilities[:, model.labels.index(scene.product.sku)].astype(np.float64)


def _greyed(pixels: UInt8, cells: NDArray[np.intp]) -> UInt8:
    """The input with the squares of these cells in its mean colour; outer cells reach to the edge."""
    edges = np.round((AREA.x + AREA.width * np.arange(MAP_CELLS + 1) / MAP_CELLS) * INPUT_SIZE).astype(int)
    edges[0], edges[-1] = 0, INPUT_SIZE
    greyed = pixels.copy()
    mean = pixels.reshape(-1, 3).mean(axis=0).astype(np.uint8)
    for cell in cells:
        row, column = divmod(int(cell), MAP_CELLS)
        greyed[edges[row] : edges[row + 1], edges[column] : edges[column + 1]] = mean
    return greyed


def _share(answers: Any) -> float:
    return float(np.mean([bool(answer) for answer in answers]))


def _table(result: dict[str, Any]) -> str:
    head = f"{'scenes':22}{'model':>6}{'n':>5}" + "".join(f"{title:>{width}}" for title, _, width in _COLUMNS)
    lines = [f"{result['weights']} weights, {result['products']} products; per cent, all scenes", head]
    for kind, models in result["kinds"].items():
        for name, row in models.items():
            own = row["all"]
            figures = "".join(f"{100 * own[key]:{width}.1f}" for _, key, width in _COLUMNS)
            lines.append(f"{kind:22}{name:>6}{own['scenes']:>5}{figures}")
    for name, row in result["deletion"].items():
        area, gap = row["area"], row["random_minus_hottest"]
        lines.append(
            f"deletion, {name}: area under the probability {area['hottest']['mean']:.3f} hottest first, "
            f"{area['random']['mean']:.3f} at random; lower in {100 * gap['better']:.0f} % of {row['scenes']} scenes"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
