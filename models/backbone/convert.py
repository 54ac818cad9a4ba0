"""Weights in, network files out: the part of preparing that needs TensorFlow, or NNCF for 8 bits.

Runs as ``python -m models.backbone.convert SOURCE HOME FOLDER`` in a child process of ``prepare``, so that
the caller (a web process, a command) never carries TensorFlow. It speaks JSON lines on standard output:
``{"step": ...}`` as it goes, then one ``{"done": ...}`` or ``{"error": ...}``; it ends when standard input
closes, which happens when its parent dies.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from models.backbone.eight_bits import CALIBRATION_PHOTOS, quantise_network
from models.backbone.network import build_network, pool3_function, weighted_layers
from models.backbone.openvino_loader import load_openvino
from models.backbone.packed import read_packed
from models.backbone.preprocessing import fit_input
from models.backbone.projection import Projection
from models.backbone.random_network import make_random
from models.backbone.space import FLOAT32
from models.backbone.store import (
    IR_FILES,
    KERAS_FILE,
    PROJECTION_FILE,
    SEEN_FILE,
    PreparedBackbone,
    find_backbone,
    write_seen,
)
from models.backbone.weight_files import LayerArrays, hash_weights, read_weights, write_weights
from models.backbone.weights import INT8_SUFFIX, WeightSource, check_imagenet, resolve_weights
from models.errors import PicktureError
from models.values import INPUT_SIZE, UInt8

Steps = Callable[[str], None]
"""Told, in words, what happens next."""

RENDERED_WORLD: Final = "pretrain"
"""Product family, cameras and backgrounds that only weights ever see; demo and tests use others."""

_RENDER_SEED: Final = 11
_PHONE_SIZE: Final = (480, 640)


@dataclass(frozen=True, slots=True)
class Converted:
    """What a conversion made.

    weights_sha256: of the weight values. projection_sha256: of the projection's.
    precision: of the network's arithmetic; see ``models.backbone.space.Space``.
    versions: of the libraries that took part.
    """

    weights_sha256: str
    projection_sha256: str
    precision: str
    versions: dict[str, str] = field(default_factory=dict)


def make_files(source: str, home: Path, folder: Path, steps: Steps) -> Converted:
    """Write the files of a prepared backbone into the existing ``folder``; for 8 bits from the one at float32.

    :raise WeightsNotFound, WeightsMismatch: see ``models.backbone.weights``.
    :raise BackboneError: 8 bits are asked for and float32 has not been prepared.
    """
    resolved = resolve_weights(source, home)
    if resolved.precision == "int8":
        return quantise_prepared(find_backbone(source.removesuffix(INT8_SUFFIX), home), folder, steps)
    return convert_network(resolved, folder, steps)


def convert_network(source: WeightSource, folder: Path, steps: Steps) -> Converted:
    """Write the OpenVINO IR, Keras weights, projection and seen photos of ``source`` into the existing ``folder``.

    :raise WeightsMismatch: the file does not fit Inception-v3 without top, or is not the official one.
    """
    if source.kind == "imagenet" and source.path is not None:
        check_imagenet(source.path)
    steps("starting TensorFlow")
    network = build_network()
    projection, seen = _set_weights(network, source, steps)
    projection.save(folder / PROJECTION_FILE)
    write_seen(folder, seen)
    write_weights(network, folder / KERAS_FILE)
    steps("converting to OpenVINO")
    _write_ir(network, folder / IR_FILES[0])
    packages = ("tensorflow", "keras", "openvino", "numpy")
    versions = {name: version(name) for name in packages}
    return Converted(_hash_network(network), projection.sha256, FLOAT32, versions)


def quantise_prepared(base: PreparedBackbone, folder: Path, steps: Steps) -> Converted:
    """Write the network of the prepared ``base`` in 8 bits into the existing ``folder``, and all that goes with it."""
    for name in (KERAS_FILE, PROJECTION_FILE, SEEN_FILE):
        shutil.copyfile(base.folder / name, folder / name)
    steps(f"calibrating 8 bits on {CALIBRATION_PHOTOS} rendered photos, which takes minutes")
    photos = [fit_input(image) for image in render_images(CALIBRATION_PHOTOS)]
    precision = quantise_network(base.folder / IR_FILES[0], photos, folder / IR_FILES[0])
    versions = {**base.space.versions, "nncf": version("nncf")}
    return Converted(base.space.weights_sha256, base.space.projection_sha256, precision, versions)


def _set_weights(network: Any, source: WeightSource, steps: Steps) -> tuple[Projection, frozenset[str]]:
    """Give ``network`` the weights of ``source``; returns the projection and the seen photos that go with them."""
    if source.path is None:
        steps("drawing and calibrating the random network")
        make_random(network, render_images)
        return Projection.random_orthogonal(), frozenset()
    steps(f"reading {source.path.name}")
    layers = weighted_layers(network)
    specs = [spec for spec, _ in layers]
    projection, seen = Projection.random_orthogonal(), frozenset[str]()
    if source.packed:
        packed = read_packed(source.path, specs)
        arrays, projection, seen = packed.arrays, Projection(packed.projection), packed.seen
    else:
        arrays = read_weights(source.path, specs)
    for (_, layer), values in zip(layers, arrays, strict=True):
        layer.set_weights(values)
    return projection, seen


def render_images(count: int) -> Sequence[UInt8]:
    """Rendered photos for calibrating batch norm and 8 bits: half catalogue views, half phone photos.

    Returns ``count`` arrays uint8 (height, width, 3), RGB; always the same ones.
    """
    from augment.render import make_catalogue, render_phone_photo, render_view

    products = make_catalogue(count, _RENDER_SEED, RENDERED_WORLD)
    return [
        render_view(product, 0, INPUT_SIZE)
        if place % 2
        else render_phone_photo(product, place, camera=RENDERED_WORLD, backgrounds=RENDERED_WORLD, size=_PHONE_SIZE)
        for place, product in enumerate(products)
    ]


def _write_ir(network: Any, path: Path) -> None:
    openvino = load_openvino()
    pool3 = pool3_function(network).get_concrete_function()
    # A concrete function converts three times faster than a SavedModel and needs no files between.
    model = openvino.convert_model(pool3, input=[-1, INPUT_SIZE, INPUT_SIZE, 3])
    openvino.save_model(model, str(path), compress_to_fp16=False)


def _hash_network(network: Any) -> str:
    layers = weighted_layers(network)
    arrays: LayerArrays = [list(layer.get_weights()) for _, layer in layers]
    return hash_weights([spec for spec, _ in layers], arrays)


def _end_with_parent() -> None:
    """Leave at once when standard input closes: nobody is left to publish the result."""

    def watch() -> None:
        sys.stdin.buffer.read()
        os._exit(3)

    threading.Thread(target=watch, daemon=True).start()


def main(arguments: Sequence[str]) -> int:
    """The child's command line: source, home, folder. Returns the exit status."""
    source, home, folder = arguments
    _end_with_parent()
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # whatever libraries print goes to the log, not between the JSON lines

    def answer(**message: object) -> None:
        answers.write(json.dumps(message) + "\n")

    try:
        converted = make_files(source, Path(home), Path(folder), lambda text: answer(step=text))
    except PicktureError as error:
        answer(error={"class": type(error).__name__, "message": str(error)})
        return 1
    answer(done=asdict(converted))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
