"""A version of the shared space as data files under one manifest, verified before anything is read.

shared.npz       the encoders and ``refine``, plain arrays
subwords.model   the vocabulary
settings.json    name_share, the duplicate model, the restricted class
metrics.json     what was measured
manifest.json    format, version, space, weights, created_at, files {name: sha256}
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from models.bundle import read_manifest, verify, write_bundle
from models.errors import BundleDamaged
from models.multimodal.matching import MatchModel
from models.multimodal.restricted import RestrictedModel
from models.multimodal.shared import SHARED_SIZE, ImageEncoder, RefineModel, SharedSpace, TextEncoder
from models.multimodal.subwords import Subwords
from models.values import BOTTLENECK_SIZE, Float32

_ARRAYS: Final = "shared.npz"
_VOCABULARY: Final = "subwords.model"
_MOST_BYTES: Final = 2**30
"""What the arrays may unpack to: a million pieces of 256 float32. A crafted npz could unpack to anything."""

_FIT: Final[Mapping[str, tuple[str | int, ...]]] = {
    "centre": (BOTTLENECK_SIZE,),
    "scale": (),
    "linear": (BOTTLENECK_SIZE, SHARED_SIZE),
    "linear_bias": (SHARED_SIZE,),
    "hidden": (BOTTLENECK_SIZE, "image_hidden"),
    "hidden_bias": ("image_hidden",),
    "out": ("image_hidden", SHARED_SIZE),
    "table": ("pieces", SHARED_SIZE),
    "text_hidden": (SHARED_SIZE, "text_hidden"),
    "text_hidden_bias": ("text_hidden",),
    "text_out": ("text_hidden", SHARED_SIZE),
    "refine_weight": (),
    "refine_hidden": (2 * SHARED_SIZE, "refine_hidden"),
    "refine_hidden_bias": ("refine_hidden",),
    "refine_out": ("refine_hidden", SHARED_SIZE),
}
"""Arrays and their shapes; equal words are equal sizes."""


@dataclass(frozen=True, slots=True, eq=False)
class SharedBundle:
    """A loaded, verified version. match, restricted: None where there were no data to fit them.

    space: identifier of the space whose bottlenecks its image encoder reads. manifest_sha256: what the database
    remembers of it. created_at: ISO 8601, UTC.
    """

    version: str
    space: str
    weights: str
    created_at: str
    shared: SharedSpace
    match: MatchModel | None
    restricted: RestrictedModel | None
    metrics: dict[str, Any]
    manifest_sha256: str

    @classmethod
    def load(cls, folder: Path) -> SharedBundle:
        """Verify every file against the manifest, then read it.

        :raise BundleNotFound: no manifest there. :raise BundleDamaged: a file is missing, changed or unreadable.
        :raise BundleMismatch: another format.
        """
        manifest, digest = read_manifest(folder)
        verify(folder, manifest)
        try:
            told = json.loads((folder / "settings.json").read_text())
            match, restricted = told["match"], told["restricted"]
            return cls(
                version=manifest["version"],
                space=manifest["space"],
                weights=manifest["weights"],
                created_at=manifest["created_at"],
                shared=_shared(folder, float(told["name_share"])),
                match=None if match is None else MatchModel.from_json(match),
                restricted=None if restricted is None else RestrictedModel.from_json(restricted),
                metrics=json.loads((folder / "metrics.json").read_text()),
                manifest_sha256=digest,
            )
        except (OSError, KeyError, TypeError, ValueError, zipfile.BadZipFile) as error:
            raise BundleDamaged(
                f"shared space {folder.name} is damaged ({type(error).__name__}: {error}); run `text train` again"
            ) from error


@dataclass(frozen=True, slots=True, eq=False)
class SharedParts:
    """What goes into a version.

    trial: what was measured, which has not seen the listings of the skus ``held``; None where nothing was measured.
    """

    shared: SharedSpace
    match: MatchModel | None
    restricted: RestrictedModel | None
    metrics: Mapping[str, Any]
    trial: SharedParts | None = None
    held: tuple[str, ...] = ()


def write_shared(folder: Path, parts: SharedParts, manifest: Mapping[str, Any]) -> str:
    """Make the folder of a version, atomically; returns the SHA-256 of its manifest.

    manifest: version, space, weights, created_at. :raise BundleMismatch: the version exists already.
    """

    def write(into: Path) -> None:
        with (into / _ARRAYS).open("wb") as file:
            np.savez(file, **_arrays(parts.shared))  # type: ignore[arg-type]
        parts.shared.text.subwords.save(into / _VOCABULARY)
        settings = {
            "name_share": parts.shared.name_share,
            "match": None if parts.match is None else parts.match.to_json(),
            "restricted": None if parts.restricted is None else parts.restricted.to_json(),
        }
        (into / "settings.json").write_text(json.dumps(settings, ensure_ascii=False), "utf-8")
        (into / "metrics.json").write_text(json.dumps(parts.metrics, ensure_ascii=False), "utf-8")

    return write_bundle(folder, dict(manifest), write)


def _arrays(shared: SharedSpace) -> dict[str, Float32]:
    image, text, refine = shared.image, shared.text, shared.refining
    return {
        "centre": image.centre,
        "scale": np.array(image.scale, np.float32),
        "linear": image.linear,
        "linear_bias": image.linear_bias,
        "hidden": image.hidden,
        "hidden_bias": image.hidden_bias,
        "out": image.out,
        "table": text.table,
        "text_hidden": text.hidden,
        "text_hidden_bias": text.hidden_bias,
        "text_out": text.out,
        "refine_weight": np.array(refine.weight, np.float32),
        "refine_hidden": refine.hidden,
        "refine_hidden_bias": refine.hidden_bias,
        "refine_out": refine.out,
    }


def _shared(folder: Path, name_share: float) -> SharedSpace:
    path = folder / _ARRAYS
    with path.open("rb") as file:
        with zipfile.ZipFile(file) as archive:
            if (unpacked := sum(item.file_size for item in archive.infolist())) > _MOST_BYTES:
                raise BundleDamaged(f"{_ARRAYS} unpacks to {unpacked} bytes; at most {_MOST_BYTES} are read")
        file.seek(0)
        with np.load(file, allow_pickle=False) as data:
            found = {name: np.asarray(data[name], dtype=np.float32) for name in _FIT}
    subwords = Subwords.load(folder / _VOCABULARY)
    _check(found, subwords.size)
    image = ImageEncoder(
        found["centre"],
        float(found["scale"]),
        *(found[name] for name in ("linear", "linear_bias", "hidden", "hidden_bias", "out")),
    )
    text = TextEncoder(subwords, *(found[name] for name in ("table", "text_hidden", "text_hidden_bias", "text_out")))
    refine = RefineModel(
        float(found["refine_weight"]),
        *(found[name] for name in ("refine_hidden", "refine_hidden_bias", "refine_out")),
    )
    return SharedSpace(image, text, refine, name_share)


def _check(found: Mapping[str, Float32], pieces: int) -> None:
    """:raise BundleDamaged: shapes that do not fit together, or a value that is no number."""
    sizes: dict[str, int] = {"pieces": pieces}
    for name, expected in _FIT.items():
        array = found[name]
        right = len(array.shape) == len(expected) and all(
            size == (sizes.setdefault(part, size) if isinstance(part, str) else part)
            for part, size in zip(expected, array.shape, strict=True)
        )
        if not right or not np.isfinite(array).all():
            raise BundleDamaged(f"{_ARRAYS}: {name} has shape {array.shape} or holds NaN; expected {expected}")
