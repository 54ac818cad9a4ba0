"""How the text network is trained."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

from models.multimodal.features import BUCKETS
from models.multimodal.subwords import VOCABULARY_SIZE
from models.training.care.teaching import Care

Input = Literal["name", "name_masked", "image", "both", "both_masked"]
"""What a network is taught with: the name, the name without category words, the picture, or name and picture."""


@dataclass(frozen=True, slots=True)
class TextSettings:
    """How to train one network.

    vocabulary, buckets: sizes of the tables. embedded, width: see ``Architecture``. fusion: a name of ``FUSIONS``.
    epochs, batch_size, learning_rate: of Adam, falling to 0 along a cosine. decay: of weights, a step, times the
    learning rate.
    dropout: in the network. word_dropout: of a name's pieces. smoothing: of the labels.
    taught_with: what the network is shown. leave_out: share of rows with both whose name is hidden, and as many whose
    picture is hidden, so that one network learns to do without either. masked: share of names shown without category
    words. image_weight: how often a row with a picture is drawn, against one without.
    balance: exponent of the types' inverse frequency when rows are drawn; 0 as they come, 1 all types alike.
    even_months: draw all months alike. heads: weight of each head's loss. levels: the same for a head a level of the
    category tree above the type, which makes the training hierarchy-aware; 0 for none. care: what is done with types
    that are probably wrong; None mends them where there seem to be many (``models.training.text.care``).
    """

    vocabulary: int = VOCABULARY_SIZE
    buckets: int = BUCKETS
    embedded: int = 96
    width: int = 256
    fusion: str = "gated"
    epochs: int = 12
    batch_size: int = 256
    learning_rate: float = 0.002
    decay: float = 0.01
    dropout: float = 0.3
    word_dropout: float = 0.1
    smoothing: float = 0.02
    taught_with: Input = "both"
    leave_out: float = 0.25
    masked: float = 0.25
    image_weight: float = 2.0
    balance: float = 0.0
    even_months: bool = False
    heads: Mapping[str, float] = field(
        default_factory=lambda: MappingProxyType({"type": 1.0, "colour": 0.2, "season": 0.1})
    )
    levels: float = 0.0
    care: Care | None = None
    seed: int = 0
