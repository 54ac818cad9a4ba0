"""Where in a photo a classifier sees a label: a heat map from the last feature map and the classifier's gradient.

The network's last feature map A (8 x 8 cells of 2,048 values, none below 0) is averaged to p (pool_3), and the
bottleneck is v = sqrt(p) / |sqrt(p)|. A classifier's score of a label changes with v along a direction w: the label's
weights, for the FCN less the weights of what it else expects. The gradient goes back through normalisation and mean in
closed form,

    s = w . v        ds/dp_k = (w_k - s v_k) / (2 |sqrt(p)| sqrt(p_k))        heat_ij = sum_k A_ijk ds/dp_k / 64

which is Grad-CAM without its mean over cells, as the gradient is the same in each (Selvaraju et al., ICCV 2017): the
first-order share of each cell in the score. Since v does not change when all of A grows, the shares add up to 0: what
is above 0 speaks for the label, what is below speaks for others. The square root's endless slope at 0 does no harm: a
value that is 0 on average is 0 in each cell.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.classifiers.base import LinearModel
from models.classifiers.fcn import FcnClassifier
from models.errors import UsageError
from models.values import BOTTLENECK_SIZE, INPUT_SIZE, MAP_CELLS, Area, ClassifierName, Float32, HeatMap

_STRIDE: Final = 32
"""Pixels of the input from one cell's centre to the next: five halvings."""

_EDGE: Final = (INPUT_SIZE - MAP_CELLS * _STRIDE) / 2 / INPUT_SIZE

AREA: Final = Area(_EDGE, _EDGE, 1.0 - 2.0 * _EDGE, 1.0 - 2.0 * _EDGE)
"""What the cells cover of the network's input. Cell i is centred on pixel 37 + 32 i of 0..298 (the convolutions and
pools of Inception-v3 without padding shift it by 1, 2, 2, 4, 4, 8 and 16 pixels), so the eight leave 21.5 pixels at
each edge."""


def direction_of(model: LinearModel, label: str, vector: Float32) -> Float32:
    """How the classifier's score of ``label`` grows with the bottleneck, float32 (2048,).

    vector: float32 (2048,), the photo's bottleneck. FCN: the gradient of the log-probability, the label's weights less
    those of all labels weighted by their probability. SVM: the label's weights, the margin's gradient.
    :raise UsageError: the classifier does not know the label.
    """
    if label not in model.known:
        raise UsageError(f"the {model.name} does not know {label!r}; ask a classifier that does")
    own = model.weight[:, model.labels.index(label)]
    if not isinstance(model, FcnClassifier):
        return np.array(own)
    probabilities = model.scores((vector @ model.weight + model.bias)[None, :])[0]
    return np.asarray(own - model.weight @ probabilities, np.float32)


def attention(feature_map: Float32, direction: Float32) -> NDArray[np.float64]:
    """Each cell's share in ``direction . bottleneck``, to first order; see the module.

    feature_map: float32 (8, 8, 2048), >= 0. direction: float32 (2048,).
    Returns float64 (8, 8); adds up to 0. All 0 where the map is.
    :raise UsageError: other shapes, NaN or infinity.
    """
    if feature_map.ndim != 3 or feature_map.shape[2] != BOTTLENECK_SIZE or direction.shape != (BOTTLENECK_SIZE,):
        raise UsageError(
            f"a map of shape {feature_map.shape} and a direction of {direction.shape} came; "
            f"expected (rows, columns, {BOTTLENECK_SIZE}) and ({BOTTLENECK_SIZE},)"
        )
    if not (np.isfinite(feature_map).all() and np.isfinite(direction).all()):
        raise UsageError("a feature map or a direction holds NaN or infinity: the weights or the runtime are broken")
    cells = np.maximum(feature_map, 0.0).reshape(-1, BOTTLENECK_SIZE).astype(np.float64)
    pooled = cells.mean(axis=0)
    root, used = np.sqrt(pooled), pooled > 0.0
    length = float(np.linalg.norm(root))
    if not length:
        return np.zeros(feature_map.shape[:2])
    vector = root / length
    gradient = np.zeros(BOTTLENECK_SIZE)
    along = float(direction @ vector)
    gradient[used] = (direction[used] - along * vector[used]) / (2.0 * length * root[used])
    shares: NDArray[np.float64] = (cells @ gradient / len(cells)).reshape(feature_map.shape[:2])
    return shares


def heat_map(feature_map: Float32, direction: Float32, classifier: ClassifierName) -> HeatMap:
    """``attention`` for people: what speaks for the label, the strongest cell 1."""
    for_it = np.maximum(attention(feature_map, direction), 0.0)
    strongest = float(for_it.max())
    values = for_it / strongest if strongest > 0.0 else for_it
    return HeatMap(values.astype(np.float32), AREA, classifier)
