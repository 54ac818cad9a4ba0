"""Looking inside: where in a photo, and in which words of a name, an answer comes from."""

from models.explain.heat import AREA, attention, direction_of, heat_map
from models.explain.words import ScoreTexts, WordShare, deletion_order, word_shares

__all__ = [
    "AREA",
    "ScoreTexts",
    "WordShare",
    "attention",
    "deletion_order",
    "direction_of",
    "heat_map",
    "word_shares",
]
