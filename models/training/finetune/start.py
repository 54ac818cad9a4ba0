"""The weights a run starts from: any source that a backbone can be prepared of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from models.backbone.network import LayerSpec
from models.backbone.prepare import prepare_backbone
from models.backbone.store import KERAS_FILE, find_backbone, verify_files
from models.backbone.weight_files import LayerArrays, read_weights


@dataclass(frozen=True, slots=True, eq=False)
class StartWeights:
    """Where a run begins.

    source: as it was named. name: of the source, for people. identifier: of its space. weights_sha256: of the values.
    seen: content hashes of the photos it is known to have been trained on.
    file: its weights in Keras' layout.
    """

    source: str
    name: str
    identifier: str
    weights_sha256: str
    seen: frozenset[str]
    file: Path

    def arrays(self, specs: Sequence[LayerSpec]) -> LayerArrays:
        """The weights, checked against ``specs``.

        :raise WeightsMismatch: they do not fit.
        """
        return read_weights(self.file, specs)


def start_weights(source: str, home: Path, say: Callable[[str], None] = lambda line: None) -> StartWeights:
    """Prepare ``source`` in ``home`` where that has not been done, as for serving, and name what it holds.

    source: see ``models.backbone.weights.resolve_weights``.
    :raise WeightsNotFound, WeightsMismatch, BackboneError: see ``models.backbone.prepare.prepare_backbone``.
    """
    prepare_backbone(source, home, say)
    prepared = find_backbone(source, home)
    verify_files(prepared.folder, (KERAS_FILE,))
    space = prepared.space
    return StartWeights(
        source,
        space.weights,
        space.identifier,
        space.weights_sha256,
        prepared.seen_hashes(),
        prepared.folder / KERAS_FILE,
    )
