"""Bringing name and picture together: several formulas behind one role.

Each takes what the two encoders say, either of which may be absent, and gives one vector a product for the heads.
Absent sides are zero, and the two flags tell zero from absent.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from models.multimodal.ops import Array, Ops

Parameters = Mapping[str, Array]
Shapes = dict[str, tuple[int, ...]]


@dataclass(frozen=True, slots=True, eq=False)
class Sides:
    """What is to be fused, of n products.

    text, image: (n, w), zero where absent. has_name, has_image: (n, 1), 1 or 0. pieces: (n, p, e), embedded subwords;
    piece_mask: (n, p), 1 where there is one.
    """

    text: Array
    image: Array
    has_name: Array
    has_image: Array
    pieces: Array
    piece_mask: Array


class Fusion(Protocol):
    """One way to fuse. It holds no learned values itself; its parameters' names begin with ``fusion/``."""

    name: str

    def shapes(self, width: int, embedded: int) -> Shapes:
        """Shapes of its parameters; vectors begin as zeros. width: of a side; embedded: of a piece."""
        ...

    def size(self, width: int) -> int:
        """Length of what ``fuse`` gives."""
        ...

    def fuse(self, ops: Ops, parameters: Parameters, sides: Sides) -> Array:
        """(n, size) of n products."""
        ...


class Late:
    """No mixing: both sides beside each other, so that the heads add the logits of name and picture."""

    name = "late"

    def shapes(self, width: int, embedded: int) -> Shapes:
        return {}

    def size(self, width: int) -> int:
        return 2 * width + 2

    def fuse(self, ops: Ops, parameters: Parameters, sides: Sides) -> Array:
        return ops.concatenate([sides.text, sides.image, sides.has_name, sides.has_image])


class Concatenation:
    """Both sides beside each other through one hidden layer (seed 000's formula)."""

    name = "concatenation"

    def shapes(self, width: int, embedded: int) -> Shapes:
        return {"fusion/weight": (2 * width + 2, width), "fusion/bias": (width,)}

    def size(self, width: int) -> int:
        return width

    def fuse(self, ops: Ops, parameters: Parameters, sides: Sides) -> Array:
        both = ops.concatenate([sides.text, sides.image, sides.has_name, sides.has_image])
        return ops.maximum(both @ parameters["fusion/weight"] + parameters["fusion/bias"], 0.0)


class Gated:
    """A gate a value says how much of it comes from the name and how much from the picture.

    Arevalo et al., "Gated Multimodal Units for Information Fusion" (2017): h = g tanh(W_t t) + (1 - g) tanh(W_v v);
    what an absent side would have had goes to the other.
    """

    name = "gated"

    def shapes(self, width: int, embedded: int) -> Shapes:
        return {
            "fusion/gate": (2 * width + 2, width),
            "fusion/gate_bias": (width,),
            "fusion/text": (width, width),
            "fusion/text_bias": (width,),
            "fusion/image": (width, width),
            "fusion/image_bias": (width,),
        }

    def size(self, width: int) -> int:
        return width

    def fuse(self, ops: Ops, parameters: Parameters, sides: Sides) -> Array:
        both = ops.concatenate([sides.text, sides.image, sides.has_name, sides.has_image])
        gate = ops.sigmoid(both @ parameters["fusion/gate"] + parameters["fusion/gate_bias"])
        text = ops.tanh(sides.text @ parameters["fusion/text"] + parameters["fusion/text_bias"])
        image = ops.tanh(sides.image @ parameters["fusion/image"] + parameters["fusion/image_bias"])
        of_text, of_image = gate * sides.has_name, (1.0 - gate) * sides.has_image
        return (of_text * text + of_image * image) / ops.maximum(of_text + of_image, 1e-6)


class Attention:
    """The picture asks which pieces of the name matter (one head of scaled dot-product attention).

    Vaswani et al. (2017), equation 1. Without a picture the query is a learned one; without a name it finds nothing.
    What it reads goes beside both sides through one hidden layer.
    """

    name = "attention"

    def shapes(self, width: int, embedded: int) -> Shapes:
        return {
            "fusion/query": (width, embedded),
            "fusion/query_bias": (embedded,),
            "fusion/key": (embedded, embedded),
            "fusion/value": (embedded, width),
            "fusion/weight": (3 * width + 2, width),
            "fusion/bias": (width,),
        }

    def size(self, width: int) -> int:
        return width

    def fuse(self, ops: Ops, parameters: Parameters, sides: Sides) -> Array:
        query = sides.image @ parameters["fusion/query"] + parameters["fusion/query_bias"]
        keys = sides.pieces @ parameters["fusion/key"]
        alike = ops.sum(keys * query[:, None, :], 2) / float(query.shape[-1]) ** 0.5
        # A piece that is not there weighs nothing; where none is, the weights are spread over zeros.
        weights = ops.softmax(alike - (1.0 - sides.piece_mask) * 1e9) * sides.piece_mask
        read = ops.sum(sides.pieces * weights[:, :, None], 1) @ parameters["fusion/value"]
        both = ops.concatenate([sides.text, sides.image, read, sides.has_name, sides.has_image])
        return ops.maximum(both @ parameters["fusion/weight"] + parameters["fusion/bias"], 0.0)


FUSIONS: Final[dict[str, Fusion]] = {fusion.name: fusion for fusion in (Late(), Concatenation(), Gated(), Attention())}
"""Every way, by name."""
