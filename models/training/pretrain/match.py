"""Stage one: each block learns, alone, to answer the teacher's map with the teacher's next map.

A block is fed the *teacher's* map, so thirteen shallow problems are solved side by side instead of one deep one.
Early blocks have few weights and many positions in each image: they are shown a part of each batch only.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from models.backbone.network import import_keras
from models.training.pretrain.blocks import Block
from models.training.pretrain.precision import full
from models.values import Float32

BATCH_SHARES: Final = {
    **dict.fromkeys(("stem0", "stem1", "mixed0", "mixed1", "mixed2"), 0.25),
    **dict.fromkeys(("mixed3", "mixed4", "mixed5", "mixed6", "mixed7"), 0.5),
}
"""Share of each batch that a block is shown; the whole where it is not named."""


def block_match_model(teacher_maps: Any, blocks: Sequence[Block], weights: Sequence[Float32], batch: int) -> Any:
    """A ``keras.Model`` whose loss is the sum over blocks of the teacher's variance that the block leaves unexplained.

    teacher_maps: from ``maps_model``, its weights frozen. weights: from ``channel_weights``.
    batch: images a batch, all batches alike. Train it with ``fit`` on float32 (batch, size, size, 3) in [-1, 1].
    """
    keras = import_keras()
    ops = keras.ops
    rows = [max(1, round(batch * BATCH_SHARES.get(block.name, 1.0))) for block in blocks]

    class BlockMatch(keras.Model):  # type: ignore[name-defined]
        """See ``block_match_model``."""

        def __init__(self) -> None:
            super().__init__()
            self.teacher_maps = teacher_maps
            self.teacher_maps.trainable = False
            self.students = [block.model for block in blocks]
            self.unexplained = [keras.metrics.Mean(name=block.name) for block in blocks]

        def call(self, pixels: Any, training: bool = False) -> list[Any]:
            maps = self.teacher_maps(pixels, training=False)
            losses = []
            for place, student in enumerate(self.students):
                n = rows[place]
                fed = (maps[place - 1] if place else pixels)[:n]
                # Batch norm stays an identity: its statistics would add a batch's noise to an exact target.
                error = ops.square(full(student(fed, training=False)) - full(maps[place][:n]))
                losses.append(ops.mean(ops.sum(error * weights[place], axis=-1)))
            return losses

        def compute_loss(self, x: Any, y: Any, y_pred: Any, *_: Any, **__: Any) -> Any:
            for metric, loss in zip(self.unexplained, y_pred, strict=True):
                metric.update_state(loss)
            return sum(y_pred)

    return BlockMatch()
