"""Stage two: the whole network learns its tasks, the products' likeness and the teacher's features at once.

Losses, each a mean over the batch:
- softmax cross-entropy of label, type, colour and category, each by a linear head on the normalised bottleneck;
- a supervised contrastive loss between views (Khosla et al., "Supervised contrastive learning", NeurIPS 2020):
  views of one product attract, all others repel;
- distillation: the cosine of the bottleneck to the teacher's, over the channels in which the teacher lives, and
  the unexplained variance of some of its inner maps.
Batch norm keeps the statistics it has, so that a view's features do not depend on its batch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from models.backbone.network import import_keras
from models.training.pretrain.blocks import block_outputs, maps_model
from models.training.pretrain.corpus import TASKS
from models.training.pretrain.precision import full
from models.values import Float32

LABEL_SMOOTHING: Final = 0.1
TEMPERATURE: Final = 0.1
FEATURE_SCALE: Final = 20.0
"""The heads see unit vectors times this, so that a softmax over hundreds of classes can become sure."""

GUIDED_MAPS: Final = ("mixed2", "mixed5", "mixed7", "mixed8", "mixed9", "mixed10")


@dataclass(frozen=True, slots=True)
class Weighting:
    """How much each loss counts: the tasks by name, ``likeness``, ``features`` and ``maps``."""

    tasks: Mapping[str, float] = field(
        default_factory=lambda: {"label": 1.0, "type": 0.3, "colour": 0.3, "category": 0.3}
    )
    likeness: float = 0.5
    features: float = 10.0
    maps: float = 1.0

    def of(self, name: str) -> float:
        """The weight of a loss by its name."""
        return self.tasks[name] if name in self.tasks else float(getattr(self, name))


@dataclass(frozen=True, slots=True, eq=False)
class Guide:
    """teacher: a network of ``build_network``, frozen. weights: ``channel_weights`` of its maps."""

    teacher: Any
    weights: Sequence[Float32]


def joint_model(student: Any, guide: Guide | None, classes: Mapping[str, int], weighting: Weighting) -> Any:
    """A ``keras.Model`` to ``fit`` on batches of ``joint_batches``.

    student: to be trained. guide: the teacher, None to learn from the labels and the likeness alone.
    classes: how many each task has; a target of that number counts as missing. A task of fewer than two classes has
        nothing to tell apart: it gets no head and no loss.
    With its ``guided`` set to False and ``student_maps`` frozen only the heads learn, and the teacher rests.
    """
    keras = import_keras()
    ops = keras.ops
    names = [name for name, _ in block_outputs(student)]
    distilled = ("features", "maps") if guide is not None else ()
    tasks = taught_tasks(classes)

    class Joint(keras.Model):  # type: ignore[name-defined]
        """See ``joint_model``."""

        def __init__(self) -> None:
            super().__init__()
            self.guided = guide is not None
            self.student_maps = maps_model(student)
            if guide is not None:
                self.teacher_maps = maps_model(guide.teacher)
                self.teacher_maps.trainable = False
            self.heads = {
                task: keras.layers.Dense(classes[task], name=f"head_{task}", dtype="float32") for task in tasks
            }
            for head in self.heads.values():
                head.build((None, student.output_shape[-1]))
            named = (*tasks, "likeness", *(("right",) if "label" in tasks else ()), *distilled)
            self.told = {name: keras.metrics.Mean(name=name) for name in named}

        def call(self, pixels: Any, training: bool = False) -> dict[str, Any]:
            maps = self.student_maps(pixels, training=False)
            pooled = ops.mean(full(maps[-1]), axis=(1, 2))
            unit = _normalised(ops, pooled)
            answers = {task: head(unit * FEATURE_SCALE) for task, head in self.heads.items()}
            if guide is not None and self.guided:
                answers |= self.distil(maps, pooled, self.teacher_maps(pixels, training=False), guide.weights)
            return {**answers, "unit": unit}

        def distil(self, maps: Any, pooled: Any, wanted: Any, weights: Sequence[Float32]) -> dict[str, Any]:
            """How far features (n,) and guided maps (a scalar) are from the teacher's."""
            living = (weights[-1] > 0).astype(np.float32)
            aim = _normalised(ops, ops.mean(full(wanted[-1]), axis=(1, 2)) * living)
            errors = [
                ops.mean(ops.sum(ops.square(full(maps[place]) - full(wanted[place])) * weights[place], axis=-1))
                for place, name in enumerate(names)
                if name in GUIDED_MAPS
            ]
            features = 1.0 - ops.sum(_normalised(ops, pooled * living) * aim, axis=-1)
            return {"features": features, "maps": sum(errors) / len(errors)}

        def compute_loss(self, x: Any, y: Any, y_pred: Any, *_: Any, **__: Any) -> Any:
            losses = {task: _cross_entropy(keras, y[task], y_pred[task], classes[task]) for task in tasks}
            losses["likeness"] = contrastive_loss(ops, y_pred["unit"], y["product"])
            losses |= {name: ops.mean(y_pred[name]) for name in distilled if name in y_pred}
            for name, loss in losses.items():
                self.told[name].update_state(loss)
            if "label" in tasks:
                self.told["right"].update_state(_right(ops, y["label"], y_pred["label"], classes["label"]))
            return sum(weighting.of(name) * loss for name, loss in losses.items())

    return Joint()


def taught_tasks(classes: Mapping[str, int]) -> tuple[str, ...]:
    """The tasks that have two classes or more, in the order of ``TASKS``."""
    return tuple(task for task in TASKS if classes[task] >= 2)


def contrastive_loss(ops: Any, unit: Any, products: Any, temperature: float = TEMPERATURE) -> Any:
    """Supervised contrastive loss, a scalar.

    unit: float32 (n, d), unit length. products: int (n,), equal where two views show one product. A view without
    another of its product in the batch counts nothing.
    """
    n = ops.shape(unit)[0]
    other = 1.0 - ops.eye(n)
    scores = ops.matmul(unit, ops.transpose(unit)) / temperature
    scores = scores - 1e9 * (1.0 - other)
    shares = scores - ops.logsumexp(scores, axis=1, keepdims=True)
    same = ops.cast(products[:, None] == products[None, :], "float32") * other
    pairs = ops.sum(same, axis=1)
    each = -ops.sum(ops.where(same > 0, shares, 0.0), axis=1) / ops.maximum(1.0, pairs)
    counted = ops.cast(pairs > 0, "float32")
    return ops.sum(each * counted) / ops.maximum(1.0, ops.sum(counted))


def _normalised(ops: Any, pooled: Any) -> Any:
    """As ``preprocessing.normalise``, with a floor that keeps the root's slope finite."""
    root = ops.sqrt(ops.maximum(pooled, 0.0) + 1e-4)
    return root / ops.sqrt(ops.sum(ops.square(root), axis=-1, keepdims=True))


def _right(ops: Any, target: Any, logits: Any, classes: int) -> Any:
    """Share of the rows with a known target whose largest logit is the target's."""
    known = ops.cast(target < classes, "float32")
    named = ops.cast(ops.argmax(logits, axis=-1), "int32")
    hit = ops.cast(ops.equal(named, ops.cast(target, "int32")), "float32")
    return ops.sum(hit * known) / ops.maximum(1.0, ops.sum(known))


def _cross_entropy(keras: Any, target: Any, logits: Any, classes: int) -> Any:
    """Mean over the rows whose target is known, with label smoothing."""
    ops = keras.ops
    known = ops.cast(target < classes, "float32")
    hot = ops.one_hot(target, classes) * (1.0 - LABEL_SMOOTHING) + LABEL_SMOOTHING / classes
    each = keras.losses.categorical_crossentropy(hot, logits, from_logits=True)
    return ops.sum(each * known) / ops.maximum(1.0, ops.sum(known))
