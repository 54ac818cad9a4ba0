"""What a bundle keeps for people to look into: the photos judged across folds, a map of the products, variants.

    judged.npz      which label each rule named first for each photo, by models that never saw its scene
    map.npz         a place in the plane for each label, alike ones near each other
    variants.webp   photos and their training variants, a row a photo; what they are: variants.json

Nothing here is needed to answer a search. A bundle without one of these files was made by an older version, or had
nothing to show. Each is data: npz without pickle, JSON, and a picture that is handed on and never decoded.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from models.errors import BundleDamaged, UsageError
from models.values import Float32

JUDGED_FILE: Final = "judged.npz"
MAP_FILE: Final = "map.npz"
VARIANTS_FILE: Final = "variants.json"
VARIANTS_PICTURE: Final = "variants.webp"

_HASH_BYTES: Final = 32
_MAX_UNPACKED_BYTES: Final = 2**30
"""Ten million photos; a crafted npz could unpack to anything."""

_READ_ERRORS = (OSError, KeyError, TypeError, ValueError, EOFError, zipfile.BadZipFile, UsageError)


@dataclass(frozen=True, slots=True)
class JudgedPhoto:
    """A photo, its label, and what was named for it first (None: nothing). confidence: of the vote, in [0, 1]."""

    content_hash: str
    truth: str
    named: str | None
    confidence: float


@dataclass(frozen=True, slots=True, eq=False)
class JudgedPhotos:
    """What each rule named first for each photo.

    labels: m sorted, distinct. rules: r of ``vote``, ``fcn``, ``knn``, ``svm``. hashes: uint8 (n, 32), the SHA-256 of
    each photo. truth: int32 (n,), places in ``labels``. named: int32 (n, r), the same, or m where nothing was named.
    confidence: float32 (n,), the vote's first score.

    :raise UsageError: they do not fit each other.
    """

    labels: tuple[str, ...]
    rules: tuple[str, ...]
    hashes: NDArray[np.uint8]
    truth: NDArray[np.int32]
    named: NDArray[np.int32]
    confidence: Float32

    def __post_init__(self) -> None:
        n, m = len(self.truth), len(self.labels)
        if list(self.labels) != sorted(set(self.labels)):
            raise UsageError("labels of judged photos must be sorted and distinct")
        if self.named.shape != (n, len(self.rules)) or self.hashes.shape != (n, _HASH_BYTES):
            raise UsageError(
                f"expected {n} rows of {len(self.rules)} rules and of {_HASH_BYTES} bytes, "
                f"got {self.named.shape} and {self.hashes.shape}"
            )
        if self.confidence.shape != (n,) or not np.isfinite(self.confidence).all():
            raise UsageError(f"expected {n} finite confidences, got {self.confidence.shape}")
        if not (_lie_within(self.truth, m - 1) and _lie_within(self.named, m)):
            raise UsageError(f"a judged photo names a label beyond the {m} there are")

    def __len__(self) -> int:
        return len(self.truth)

    def photos(self, rows: Sequence[int], rule: str) -> list[JudgedPhoto]:
        """The photos of these rows as a rule names them. :raise UsageError: there is no such rule."""
        column = self._column(rule)
        known = (*self.labels, None)
        return [
            JudgedPhoto(
                self.hashes[row].tobytes().hex(),
                self.labels[self.truth[row]],
                known[self.named[row, column]],
                float(self.confidence[row]),
            )
            for row in rows
        ]

    def named_by(self, rule: str) -> NDArray[np.int32]:
        """What a rule named, int32 (n,). :raise UsageError: there is no such rule."""
        return self.named[:, self._column(rule)]

    def _column(self, rule: str) -> int:
        if rule not in self.rules:
            raise UsageError(f"no photo was judged by {rule!r}; by {', '.join(self.rules)}")
        return self.rules.index(rule)

    def save(self, path: Path) -> None:
        """Write as npz (no pickle)."""
        np.savez_compressed(
            path,
            labels=np.array(self.labels, dtype=np.str_),
            rules=np.array(self.rules, dtype=np.str_),
            hashes=self.hashes,
            truth=self.truth,
            named=self.named,
            confidence=self.confidence,
        )

    @classmethod
    def read(cls, data: bytes) -> JudgedPhotos:
        """Read what ``save`` wrote. :raise BundleDamaged: not such a file, or one that would unpack to over 1 GiB."""
        with _reading(JUDGED_FILE, data) as arrays:
            return cls(
                tuple(str(label) for label in arrays["labels"]),
                tuple(str(rule) for rule in arrays["rules"]),
                _typed(arrays, "hashes", np.uint8),
                _typed(arrays, "truth", np.int32),
                _typed(arrays, "named", np.int32),
                _typed(arrays, "confidence", np.float32),
            )


@dataclass(frozen=True, slots=True, eq=False)
class ProductMap:
    """Where each label lies in the plane.

    labels: m sorted, distinct. places: float32 (m, 2), x to the right and y down, in [0, 1]. photos: int32 (m,), of
    each. total: labels there were; the map may be of a sample.

    :raise UsageError: they do not fit each other.
    """

    labels: tuple[str, ...]
    places: Float32
    photos: NDArray[np.int32]
    total: int

    def __post_init__(self) -> None:
        m = len(self.labels)
        if list(self.labels) != sorted(set(self.labels)):
            raise UsageError("labels of a map must be sorted and distinct")
        if self.places.shape != (m, 2) or self.photos.shape != (m,):
            raise UsageError(f"expected {m} places and numbers, got {self.places.shape} and {self.photos.shape}")
        if not _lie_within(self.places, 1):
            raise UsageError("a place of a map lies outside 0..1")
        if self.total < m:
            raise UsageError(f"a map of {m} labels cannot be of {self.total}")

    def save(self, path: Path) -> None:
        """Write as npz (no pickle)."""
        labels = np.array(self.labels, dtype=np.str_)
        np.savez_compressed(path, labels=labels, places=self.places, photos=self.photos, total=np.int64(self.total))

    @classmethod
    def read(cls, data: bytes) -> ProductMap:
        """Read what ``save`` wrote. :raise BundleDamaged: not such a file, or one that would unpack to over 1 GiB."""
        with _reading(MAP_FILE, data) as arrays:
            return cls(
                tuple(str(label) for label in arrays["labels"]),
                _typed(arrays, "places", np.float32),
                _typed(arrays, "photos", np.int32),
                int(arrays["total"]),
            )


@dataclass(frozen=True, slots=True)
class VariantSheet:
    """What the picture of variants shows: a square of ``edge`` pixels for each variant (across) of each photo (down).

    labels: of each photo. names: of the variants, ``original`` first. amounts: the number that each variant used, a row
    a photo; see ``augment.variants.variant_amount``.

    :raise UsageError: they do not fit each other.
    """

    edge: int
    names: tuple[str, ...]
    labels: tuple[str, ...]
    amounts: tuple[tuple[float, ...], ...]

    def __post_init__(self) -> None:
        rows = {len(row) for row in self.amounts}
        if self.edge < 1 or len(self.amounts) != len(self.labels) or rows - {len(self.names)}:
            raise UsageError(
                f"a sheet of {len(self.labels)} photos and {len(self.names)} variants has {len(self.amounts)} rows of "
                f"{sorted(rows)} numbers and squares of {self.edge} pixels"
            )

    def save(self, path: Path) -> None:
        """Write as JSON."""
        parts = {"edge": self.edge, "names": self.names, "labels": self.labels, "amounts": self.amounts}
        path.write_text(json.dumps(parts), encoding="utf-8")

    @classmethod
    def read(cls, data: bytes) -> VariantSheet:
        """Read what ``save`` wrote. :raise BundleDamaged: not such a file."""
        try:
            parts = json.loads(data)
            return cls(
                int(parts["edge"]),
                tuple(str(name) for name in parts["names"]),
                tuple(str(label) for label in parts["labels"]),
                tuple(tuple(float(amount) for amount in row) for row in parts["amounts"]),
            )
        except (ValueError, KeyError, TypeError, UsageError) as error:
            raise _damaged(VARIANTS_FILE, error) from error


@contextmanager
def _reading(name: str, data: bytes) -> Iterator[Any]:
    """The arrays of an npz file. :raise BundleDamaged: what is read from it, or how, is not as it should be."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as packed:
            size = sum(member.file_size for member in packed.infolist())
        if size > _MAX_UNPACKED_BYTES:
            raise ValueError(f"it unpacks to {size} bytes, at most {_MAX_UNPACKED_BYTES} are expected")
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            yield arrays
    except _READ_ERRORS as error:
        raise _damaged(name, error) from error


def _lie_within(values: NDArray[Any], most: int) -> bool:
    """Whether all are in 0..most; NaN is not."""
    return not values.size or bool(values.min() >= 0 and values.max() <= most)


def _typed(arrays: Any, name: str, dtype: Any) -> Any:
    found = arrays[name]
    if found.dtype != dtype:
        raise TypeError(f"{name} holds {found.dtype}, expected {np.dtype(dtype)}")
    return found


def _damaged(name: str, error: Exception) -> BundleDamaged:
    return BundleDamaged(f"{name} cannot be read ({error}); train again, or restore the bundle")
