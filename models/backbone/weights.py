"""Where the weights come from: ``embedded``, ``imagenet`` or the path of a Keras file.

Only names and hashes here; nothing is loaded and TensorFlow is not needed. Nothing falls back: a source
that is not there is an error, never another network.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from models.backbone.preprocessing import PREPROCESSING
from models.backbone.projection import PROJECTION_RECIPE, PROJECTION_SEED
from models.errors import WeightsMismatch, WeightsNotFound

EMBEDDED: Final = "embedded"
IMAGENET: Final = "imagenet"
IMAGENET_FILE: Final = "inception_v3_weights_tf_dim_ordering_tf_kernels_notop.h5"
IMAGENET_MD5: Final = "bcbd6486424b2319ff4ef7d526e38f63"
"""As published in the source of ``keras.applications.inception_v3``."""

INTERIM_SEED: Final = 20240607
INTERIM_RECIPE: Final = "he-normal|batch norm calibrated on 32 rendered images|v1"
"""Names how ``models.backbone.interim`` makes its network; a new text makes prepared ones stale."""

_CHUNK_BYTES: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class WeightSource:
    """A resolved weight source.

    kind: ``embedded`` (generated here for now), ``imagenet`` or ``file``.
    label: what people see: ``interim``, ``imagenet``, ``file:NAME``.
    path: the absolute file, None where the weights are generated.
    """

    kind: Literal["embedded", "imagenet", "file"]
    label: str
    path: Path | None

    @property
    def key(self) -> str:
        """64 hex digits naming this source together with how this version of the code prepares it."""
        recipe = {
            "source": str(self.path) if self.path else self.label,
            "interim": None if self.path else f"{INTERIM_RECIPE}|{INTERIM_SEED}",
            "preprocessing": PREPROCESSING,
            "projection": f"{PROJECTION_RECIPE}|{PROJECTION_SEED}",
        }
        return hashlib.sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest()


def resolve_weights(source: str, home: Path) -> WeightSource:
    """What ``source`` means under the state folder ``home``.

    source: ``embedded``, ``imagenet``, or the path of a ``*_notop.h5`` / ``.weights.h5`` file.
    :raise WeightsNotFound: the file is not there, is not a file, or cannot be read.
    :raise WeightsMismatch: the name does not end in ``.h5``.
    """
    if source == EMBEDDED:
        return WeightSource("embedded", "interim", None)
    if source == IMAGENET:
        path = (home / "weights" / IMAGENET_FILE).absolute()
        _require_file(path, "download it with `make imagenet-weights`")
        return WeightSource("imagenet", "imagenet", path)
    if not source:
        raise WeightsNotFound(f"no weight source given; expected {EMBEDDED}, {IMAGENET} or the path of a .h5 file")
    path = Path(source).expanduser().absolute()
    _require_file(path, f"expected {EMBEDDED}, {IMAGENET} or the path of a Keras weight file")
    if path.suffix != ".h5":
        raise WeightsMismatch(f"{path} does not end in .h5; expected a Keras *_notop.h5 or .weights.h5 file")
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
