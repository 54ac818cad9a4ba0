"""Where the weights come from: ``embedded``, ``imagenet``, ``random``, or the path of a packed or Keras file; with
``+int8`` behind it, computed with in 8 bits.

Only names and hashes here; nothing is loaded and TensorFlow is not needed. Nothing falls back: a source
that is not there is an error, never another network.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Literal

from models.backbone.preprocessing import PREPROCESSING
from models.backbone.projection import PROJECTION_RECIPE, PROJECTION_SEED
from models.errors import WeightsMismatch, WeightsNotFound

EMBEDDED: Final = "embedded"
IMAGENET: Final = "imagenet"
RANDOM: Final = "random"
EMBEDDED_FILE: Final = Path(__file__).parents[1] / "weights" / "embedded.npz"
"""The packed weights that come with this installation."""

IMAGENET_FILE: Final = "inception_v3_weights_tf_dim_ordering_tf_kernels_notop.h5"
IMAGENET_MD5: Final = "bcbd6486424b2319ff4ef7d526e38f63"
"""As published in the source of ``keras.applications.inception_v3``."""

RANDOM_SEED: Final = 20240607
RANDOM_RECIPE: Final = "he-normal|batch norm calibrated on 32 rendered images|v1"
"""Names how ``models.backbone.random_network`` makes its network; a new text makes prepared ones stale."""

PACKED_SUFFIX: Final = ".npz"
"""Of files in the format of ``models.backbone.packed``."""

Precision = Literal["float32", "int8"]
INT8_SUFFIX: Final = "+int8"
"""Behind a weight source: its network with 8-bit convolutions."""

INT8_RECIPE: Final = "nncf post-training quantisation, fast bias correction, 300 rendered images|v1"
"""Names how ``models.backbone.eight_bits`` is used; a new text makes prepared ones stale."""

_EXPECTED: Final = (
    f"{EMBEDDED}, {IMAGENET}, {RANDOM} or the path of a {PACKED_SUFFIX} or .h5 file of weights, and {INT8_SUFFIX} "
    "behind it for 8 bits"
)
_CHUNK_BYTES: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class WeightSource:
    """A resolved weight source.

    kind: ``embedded``, ``imagenet``, ``file`` (a Keras or a packed one), or ``random`` (generated).
    label: what people see: ``embedded``, ``imagenet``, ``file:NAME``, ``random``; with ``+int8`` for 8 bits.
    path: the absolute file, None where the weights are generated.
    precision: the arithmetic that the network is prepared for.
    """

    kind: Literal["embedded", "imagenet", "file", "random"]
    label: str
    path: Path | None
    precision: Precision = "float32"

    @property
    def packed(self) -> bool:
        """Whether it is a file of packed weights, which brings its own projection and list of seen photos."""
        return self.path is not None and self.path.suffix == PACKED_SUFFIX

    @property
    def key(self) -> str:
        """64 hex digits naming this source together with how this version of the code prepares it.

        Not what the file holds: that is observed (``models.backbone.store.SourceRecord``).
        """
        recipe = {
            # By its name, so that an installation may be moved.
            "source": self.kind if self.kind == EMBEDDED or self.path is None else str(self.path),
            "random": None if self.path else f"{RANDOM_RECIPE}|{RANDOM_SEED}",
            "preprocessing": PREPROCESSING,
            "projection": None if self.packed else f"{PROJECTION_RECIPE}|{PROJECTION_SEED}",
        }
        if self.precision != "float32":
            recipe["quantisation"] = INT8_RECIPE
        return hashlib.sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest()


def resolve_weights(source: str, home: Path) -> WeightSource:
    """What ``source`` means under the state folder ``home``.

    source: ``embedded``, ``imagenet``, ``random``, or the path of packed weights (``.npz``) or of a Keras
        ``*_notop.h5`` / ``.weights.h5`` file; ``+int8`` behind any of them: its network in 8 bits.
    :raise WeightsNotFound: the file is not there, is not a file, or cannot be read.
    :raise WeightsMismatch: the name ends neither in ``.npz`` nor in ``.h5``.
    """
    if source.endswith(INT8_SUFFIX):
        plain = resolve_weights(source.removesuffix(INT8_SUFFIX), home)
        return replace(plain, label=plain.label + INT8_SUFFIX, precision="int8")
    if source == RANDOM:
        return WeightSource("random", RANDOM, None)
    if source == EMBEDDED:
        _require_file(EMBEDDED_FILE, "it belongs to the installation: get the repository's file again")
        return WeightSource("embedded", EMBEDDED, EMBEDDED_FILE)
    if source == IMAGENET:
        path = (home / "weights" / IMAGENET_FILE).absolute()
        _require_file(path, "download it with `make imagenet-weights`")
        return WeightSource("imagenet", "imagenet", path)
    if not source:
        raise WeightsNotFound(f"no weight source given; expected {_EXPECTED}")
    path = Path(source).expanduser().absolute()
    _require_file(path, f"expected {_EXPECTED}")
    if path.suffix not in (PACKED_SUFFIX, ".h5"):
        raise WeightsMismatch(
            f"{path} ends neither in {PACKED_SUFFIX} nor in .h5; expected packed weights, or a Keras *_notop.h5 or "
            ".weights.h5 file"
        )
    return WeightSource("file", f"file:{path.name}", path)


def file_digest(path: Path, algorithm: Literal["sha256", "md5"] = "sha256") -> str:
    """Hex digest of a file's bytes, read in pieces."""
    digest = hashlib.new(algorithm, usedforsecurity=algorithm != "md5")
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def check_imagenet(path: Path) -> None:
    """:raise WeightsMismatch: ``path`` is not byte for byte Keras' official file."""
    found = file_digest(path, "md5")
    if found != IMAGENET_MD5:
        raise WeightsMismatch(
            f"{path} has MD5 {found}, Keras publishes {IMAGENET_MD5}: delete it and run `make imagenet-weights`"
        )


def _require_file(path: Path, remedy: str) -> None:
    try:
        with path.open("rb"):
            return
    except OSError as error:
        raise WeightsNotFound(f"weight file {path} cannot be read ({error.strerror}); {remedy}") from error
