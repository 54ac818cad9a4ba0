"""The drawings of a report: inline SVG for curves, a PNG inside the page for the map of bottlenecks."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from models.training.care.teaching import coded
from models.training.data import TrainingPhotos
from models.training.measures import ECE_BINS
from models.training.reports.tables import VotedPhoto

MAP_PHOTOS: Final = 1500
"""Photos on the map of bottlenecks: more take minutes and are no clearer."""

_LEAST_MAP_PHOTOS: Final = 30
_MAP_DIMENSIONS: Final = 50
_MAP_NAMES: Final = 30
_NAME_LENGTH: Final = 24
_PERPLEXITY: Final = 30.0
_DRAWABLE: Final = 0x0530
"""The drawing's font knows Latin, Greek and Cyrillic; other letters are left out, as boxes would say no more."""

History = Sequence[tuple[float, float, float]]


def reliability(photos: Sequence[VotedPhoto]) -> str:
    """The reliability diagram as inline SVG: accuracy over confidence in equal-mass bins."""
    if not photos:
        return ""
    order = sorted(photos, key=lambda p: p.confidence)
    bins = [part for part in np.array_split(np.arange(len(order)), ECE_BINS) if len(part)]
    sure = [float(np.mean([order[i].confidence for i in part])) for part in bins]
    right = [float(np.mean([order[i].ranked["vote"][:1] == [order[i].truth] for i in part])) for part in bins]

    def draw(axes: Any) -> None:
        axes.plot([0, 1], [0, 1], color="#999999", linestyle="--", linewidth=1, label="ideal")
        axes.plot(sure, right, marker="o", color="#1f5fa8", label="vote")
        axes.set(xlabel="confidence", ylabel="share right", xlim=(0, 1), ylim=(0, 1))
        axes.legend(loc="upper left")

    return _svg(draw, (4.2, 4.2))


def learning_curves(histories: Sequence[History]) -> list[str]:
    """The FCN's loss and its validation Top-1 over the epochs, a line a fold, as inline SVGs; none without a fit."""
    if not histories:
        return []

    def losses(axes: Any) -> None:
        for number, history in enumerate(histories):
            epochs = range(1, len(history) + 1)
            axes.plot(epochs, [row[0] for row in history], color="#999999", linewidth=1)
            axes.plot(epochs, [row[1] for row in history], linewidth=1.4, label=f"fold {number + 1}")
        axes.set(xlabel="epoch (grey: training)", ylabel="FCN validation loss")
        axes.locator_params(axis="x", integer=True)
        axes.legend()

    def accuracy(axes: Any) -> None:
        for number, history in enumerate(histories):
            axes.plot(
                range(1, len(history) + 1), [row[2] for row in history], linewidth=1.4, label=f"fold {number + 1}"
            )
        axes.set(xlabel="epoch", ylabel="FCN validation Top-1", ylim=(0, 1))
        axes.locator_params(axis="x", integer=True)
        axes.legend(loc="lower right")

    return [_svg(losses, (5.6, 4.2)), _svg(accuracy, (5.6, 4.2))]


def rejection(curve: Mapping[str, Sequence[float]], chosen: Mapping[str, Mapping[str, float | None]]) -> str:
    """False accepts over false rejects for one threshold, near and far foreign apart, as inline SVG.

    curve: ``reports.tables.rejection_curve``. chosen: its verdict table, whose two thresholds are drawn as points.
    """
    if not curve["false_reject"] or not (curve["near"] or curve["far"]):
        return ""

    def draw(axes: Any) -> None:
        for name, colour in (("near", "#b3541e"), ("far", "#1f5fa8")):
            if not curve[name]:
                continue
            axes.plot(curve["false_reject"], curve[name], color=colour, label=f"{name} foreign")
            point = (chosen[name]["false_reject"], chosen[name]["false_accept"])
            if None not in point:
                axes.plot(*([value] for value in point), marker="o", color=colour)
        axes.set(xlabel="false reject (known called unknown)", ylabel="false accept", xlim=(0, 1), ylim=(0, 1))
        axes.legend(loc="upper right")

    return _svg(draw, (4.2, 4.2))


def bottleneck_map(photos: TrainingPhotos, suspects: frozenset[str] = frozenset(), seed: int = 0) -> str:
    """t-SNE of the originals' bottlenecks as a PNG in a data URI; an empty string for fewer than 30 photos.

    At most 1,500 photos, drawn at random by ``seed``. A colour a label, the largest labels named; photos in
    ``suspects`` (content hashes) are ringed. Distances between far clusters mean nothing (van der Maaten and Hinton,
    JMLR 2008).
    """
    if len(photos) < _LEAST_MAP_PHOTOS:
        return ""
    chosen = np.sort(np.random.default_rng(seed).permutation(len(photos))[:MAP_PHOTOS])
    drawn = photos.subset(np.asarray(chosen, dtype=np.intp))
    places = embedded(drawn.originals, seed)
    names, codes = coded(drawn)
    ringed = np.array([h in suspects for h in drawn.hashes], dtype=bool)

    def draw(axes: Any) -> None:
        from matplotlib.patheffects import withStroke

        halo = [withStroke(linewidth=1.6, foreground="white")]
        shades = np.random.default_rng(seed).permutation(len(names)) / max(len(names), 1)
        axes.scatter(*places.T, c=shades[codes], cmap="hsv", vmin=0.0, vmax=1.0, s=9, linewidths=0)
        axes.scatter(*places[ringed].T, s=42, facecolors="none", edgecolors="#111111", linewidths=0.9)
        for code in np.argsort(-np.bincount(codes), kind="stable")[:_MAP_NAMES]:
            name = "".join(c if ord(c) < _DRAWABLE else "" for c in names[code])
            name = name if len(name) <= _NAME_LENGTH else name[: _NAME_LENGTH - 1] + "…"
            place = np.median(places[codes == code], axis=0)
            axes.text(*place, name, fontsize=6, ha="center", parse_math=False, path_effects=halo)
        axes.set_axis_off()

    return "data:image/png;base64," + base64.b64encode(_drawn(draw, (8.6, 6.6), "png", dpi=110)).decode()


def class_maps(panels: Sequence[tuple[str, NDArray[np.float32], NDArray[np.intp]]], known: int, seed: int = 0) -> bytes:
    """t-SNE maps side by side as a PNG: a title, vectors (n, d) and class numbers (n,) each; a colour a class.

    known: classes below this number are drawn as dots, the others, which the embedding never saw, as crosses.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.0 * len(panels), 6.4), layout="constrained")
    for number, (title, vectors, classes) in enumerate(panels, start=1):
        axes = figure.add_subplot(1, len(panels), number)
        places = embedded(vectors, seed)
        shades = np.random.default_rng(seed).permutation(int(classes.max()) + 1) / (int(classes.max()) + 1)
        for marker, own in (("o", classes < known), ("x", classes >= known)):
            colours = shades[classes[own]]
            x, y = places[own].T
            axes.scatter(x, y, c=colours, cmap="hsv", vmin=0.0, vmax=1.0, s=12, marker=marker, linewidths=0.8)
        axes.set_title(title)
        axes.set_axis_off()
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=100)
    return buffer.getvalue()


def embedded(vectors: NDArray[np.float32], seed: int) -> NDArray[np.float32]:
    """t-SNE of vectors (n, d) after PCA, n at least 4: float32 (n, 2), alike ones near each other."""
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE

    dimensions = min(_MAP_DIMENSIONS, *vectors.shape)
    reduced = PCA(dimensions, random_state=seed).fit_transform(vectors)
    perplexity = min(_PERPLEXITY, (len(vectors) - 1) / 3.0)
    # OpenMP waits actively, at the barrier of each short step: on shared cores four threads took four times as long.
    with threadpool_limits(1, user_api="openmp"):
        return np.asarray(TSNE(perplexity=perplexity, init="pca", random_state=seed).fit_transform(reduced))


def _svg(draw: Callable[[Any], None], size: tuple[float, float]) -> str:
    text = _drawn(draw, size, "svg", metadata={"Date": None}).decode()
    return text[text.index("<svg") :]


def _drawn(draw: Callable[[Any], None], size: tuple[float, float], kind: str, **options: Any) -> bytes:
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained")
    draw(figure.add_subplot())
    buffer = io.BytesIO()
    figure.savefig(buffer, format=kind, **options)
    return buffer.getvalue()
