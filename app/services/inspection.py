"""What a model version keeps for people to look into: what is confused with what, a map of the products, variants.

Everything is read from the version's bundle, verified against what the database remembers of it, and kept in memory
for the version looked at last. A version that was made without a part has None in its place.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Engine

from app.errors import ModelNotFound
from app.store.bundles import BundleStore
from app.store.database import transaction
from app.store.tables import Bundle
from models.bundle import bundle_file, read_manifest
from models.errors import BundleDamaged
from models.inspection import (
    JUDGED_FILE,
    MAP_FILE,
    VARIANTS_FILE,
    VARIANTS_PICTURE,
    JudgedPhoto,
    JudgedPhotos,
    ProductMap,
    VariantSheet,
)

_Part = TypeVar("_Part", JudgedPhotos, ProductMap)


@dataclass(frozen=True, slots=True)
class ConfusionRow:
    """A label's photos by what was named first for them.

    cells: as many as the matrix has columns. others: taken for labels without a column. nothing: nothing was named.
    """

    label: str
    cells: tuple[int, ...]
    others: int
    nothing: int
    photos: int
    right: int

    @property
    def mistakes(self) -> int:
        """Photos that were taken for another label, or for none."""
        return self.photos - self.right


@dataclass(frozen=True, slots=True)
class Confusions:
    """A part of the confusion matrix: the labels of one page, those with most mistakes first.

    columns: the page's labels, then what they are taken for most often. total: labels with photos. photos, right: of
    all labels together.
    """

    rule: str
    rules: tuple[str, ...]
    columns: tuple[str, ...]
    rows: tuple[ConfusionRow, ...]
    total: int
    photos: int
    right: int


@dataclass(frozen=True, slots=True)
class Variants:
    """The picture of variants, WebP, and what it shows."""

    sheet: VariantSheet
    picture: bytes


class Inspection:
    """Reads what bundles keep for people. Any thread may call.

    All raise ModelNotFound where there is no such version, BundleNotFound where its folder is gone, and BundleDamaged
    where a file is not the one that was written.
    """

    def __init__(self, engine: Engine, bundles: BundleStore) -> None:
        self._engine = engine
        self._bundles = bundles
        self._lock = Lock()
        self._kept: dict[type, tuple[str, JudgedPhotos | ProductMap]] = {}

    def files(self, version: str) -> frozenset[str]:
        """Names of the files that the version was made with."""
        digest = self._digest(version)
        manifest, found = read_manifest(self._bundles.path_for(version))
        if found != digest:
            raise BundleDamaged(f"the manifest of model {version} is not the one that was recorded; restore it")
        return frozenset(manifest["files"])

    def confusions(self, version: str, rule: str, first: int, rows: int, columns: int) -> Confusions | None:
        """The rows ``first`` .. of the matrix, at most ``rows`` by ``columns``.

        rule: ``vote``, or a classifier. :raise UsageError: no photo was judged by that rule.
        """
        judged = self.judged(version)
        return None if judged is None else confusion_page(judged, rule, first, rows, columns)

    def confused(
        self, version: str, rule: str, truth: str, named: str | None, first: int, most: int
    ) -> tuple[int, list[JudgedPhoto]] | None:
        """(how many photos of ``truth`` a rule took for ``named``, some of them), the surest first.

        named: None: for nothing. :raise UsageError: no photo was judged by that rule.
        """
        judged = self.judged(version)
        if judged is None:
            return None
        place = {label: number for number, label in enumerate(judged.labels)}
        if truth not in place or (named is not None and named not in place):
            return 0, []
        wanted = len(place) if named is None else place[named]
        rows = np.flatnonzero((judged.truth == place[truth]) & (judged.named_by(rule) == wanted))
        order = rows[np.argsort(-judged.confidence[rows], kind="stable")]
        return len(rows), judged.photos([int(row) for row in order[first : first + most]], rule)

    def judged(self, version: str) -> JudgedPhotos | None:
        """What was named for each photo."""
        return self._part(version, JudgedPhotos, JUDGED_FILE, JudgedPhotos.read)

    def map(self, version: str) -> ProductMap | None:
        """Where the labels lie."""
        return self._part(version, ProductMap, MAP_FILE, ProductMap.read)

    def variants(self, version: str) -> Variants | None:
        """The training variants of some photos."""
        digest = self._digest(version)
        folder = self._bundles.path_for(version)
        sheet, picture = (bundle_file(folder, name, digest) for name in (VARIANTS_FILE, VARIANTS_PICTURE))
        return None if sheet is None or picture is None else Variants(VariantSheet.read(sheet), picture)

    def _part(self, version: str, kind: type[_Part], name: str, read: Callable[[bytes], _Part]) -> _Part | None:
        digest = self._digest(version)
        with self._lock:
            kept = self._kept.get(kind)
        if kept is not None and kept[0] == digest and isinstance(kept[1], kind):
            return kept[1]
        data = bundle_file(self._bundles.path_for(version), name, digest)
        if data is None:
            return None
        part = read(data)
        with self._lock:
            self._kept[kind] = (digest, part)
        return part

    def _digest(self, version: str) -> str:
        with transaction(self._engine) as session:
            bundle = session.get(Bundle, version)
        if bundle is None:
            raise ModelNotFound(f"there is no model version {version!r}; the list of models shows all")
        return bundle.manifest_sha256


def confusion_page(judged: JudgedPhotos, rule: str, first: int, rows: int, columns: int) -> Confusions:
    """A page of the confusion matrix, labels with most mistakes first, then by name; see ``Confusions``.

    :raise UsageError: no photo was judged by that rule.
    """
    named, m = judged.named_by(rule), len(judged.labels)
    photos = np.bincount(judged.truth, minlength=m)
    right = np.bincount(judged.truth[named == judged.truth], minlength=m)
    order = np.lexsort((np.arange(m), right - photos))
    order = order[photos[order] > 0]
    page = order[first : first + rows]
    counts = (
        np.stack([np.bincount(named[judged.truth == label], minlength=m + 1) for label in page])
        if len(page)
        else (np.zeros((0, m + 1), np.intp))
    )
    shown = _columns(page, counts[:, :m].sum(axis=0), columns)
    return Confusions(
        rule,
        judged.rules,
        tuple(judged.labels[i] for i in shown),
        tuple(
            _row(judged.labels[label], row, shown, int(right[label])) for label, row in zip(page, counts, strict=True)
        ),
        len(order),
        len(judged),
        int(right.sum()),
    )


def _columns(page: NDArray[np.intp], taken: NDArray[np.intp], most: int) -> NDArray[np.intp]:
    """The page's own labels, then what they are taken for most often."""
    by_count = np.argsort(-taken, kind="stable")
    others = by_count[(taken[by_count] > 0) & ~np.isin(by_count, page)]
    return np.concatenate([page, others])[:most]


def _row(label: str, counts: NDArray[np.intp], shown: NDArray[np.intp], right: int) -> ConfusionRow:
    cells = counts[shown]
    photos, nothing = int(counts.sum()), int(counts[-1])
    others = photos - nothing - int(cells.sum())
    return ConfusionRow(label, tuple(int(cell) for cell in cells), others, nothing, photos, right)
