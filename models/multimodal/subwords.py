"""The subword vocabulary: frequent words whole, rare words and product codes in pieces.

Trained on the shop's own names by SentencePiece: byte-pair encoding (Sennrich, Haddow and Birch, "Neural Machine
Translation of Rare Words with Subword Units", ACL 2016). Its unigram model gave 4,100 pieces where 20,000 were asked
for on 38,519 names, and cut frequent words of small catalogues into letters.
Serving needs the ``sentencepiece`` library and the trained model, which is data (a table of pieces with their scores).
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import sentencepiece
from numpy.typing import NDArray

from models.errors import BundleDamaged, NotEnoughData, UsageError
from models.multimodal.names import normalise

VOCABULARY_SIZE: Final = 20_000
"""Pieces asked for by default (seed 001: 20 thousand serve better than 1.4 million)."""

LEAST_VOCABULARY_SIZE: Final = 100
UNKNOWN: Final = 0
"""The number of the piece that stands for characters never seen."""

_MOST_NAMES: Final = 1_000_000
_MOST_FILE_BYTES: Final = 64 * 2**20
_LONGEST_NAME_BYTES: Final = 4096

Pieces = NDArray[np.int32]


class Subwords:
    """A trained vocabulary.

    size: number of pieces; a piece's number is below it and >= 0, ``UNKNOWN`` among them.
    """

    def __init__(self, model: bytes) -> None:
        """model: what ``train`` made and ``save`` wrote.

        :raise BundleDamaged: not a SentencePiece model.
        """
        self._model = model
        self._processor = sentencepiece.SentencePieceProcessor()
        try:
            self._processor.LoadFromSerializedProto(model)
            self.size: int = self._processor.GetPieceSize()
        except (RuntimeError, ValueError) as error:
            raise BundleDamaged(f"the subword vocabulary is damaged ({error}); run `text train` again") from error

    @classmethod
    def train(cls, names: Iterable[str], size: int = VOCABULARY_SIZE) -> Subwords:
        """Learn the pieces of the names; the same names in the same order give the same pieces.

        names: any spelling; normalised here, empty ones left out, at most the first million taken. size: pieces
        wanted; fewer come where the names do not hold as many.
        :raise NotEnoughData: no name. :raise UsageError: a size below ``LEAST_VOCABULARY_SIZE``.
        """
        if size < LEAST_VOCABULARY_SIZE:
            raise UsageError(f"a vocabulary of {size} pieces was asked for; the least is {LEAST_VOCABULARY_SIZE}")
        told = [text for text in map(normalise, names) if text][:_MOST_NAMES]
        if not told:
            raise NotEnoughData("the catalogue has no names to learn a vocabulary from; import products with names")
        characters = len(set("".join(told)))
        written = io.BytesIO()
        sentencepiece.SentencePieceTrainer.Train(
            sentence_iterator=iter(told),
            model_writer=written,
            vocab_size=max(size, characters + 10),
            hard_vocab_limit=False,
            model_type="bpe",
            character_coverage=1.0,
            normalization_rule_name="identity",
            max_sentence_length=_LONGEST_NAME_BYTES,
            split_digits=False,
            bos_id=-1,
            eos_id=-1,
            pad_id=-1,
            unk_id=UNKNOWN,
            num_threads=1,  # the counts of several threads are added in any order: other pieces each time
            minloglevel=2,
        )
        return cls(written.getvalue())

    def encode(self, name: str) -> Pieces:
        """int32 (m,): the pieces of a name, in order; normalised here; empty where the name says nothing."""
        return np.array(self._processor.EncodeAsIds(normalise(name)), dtype=np.int32)

    def encode_all(self, names: Sequence[str]) -> list[Pieces]:
        """The pieces of many names, as ``encode`` gives them one by one."""
        told = [normalise(name) for name in names]
        return [np.array(pieces, dtype=np.int32) for pieces in self._processor.EncodeAsIds(told)] if told else []

    def piece(self, number: int) -> str:
        """The piece of a number; "▁" marks the beginning of a word."""
        return str(self._processor.IdToPiece(int(number)))

    def spans(self, name: str) -> list[tuple[str, tuple[int, int]]]:
        """(piece, (first, past the last character) in ``normalise(name)``) in order: which words a piece is of."""
        text = normalise(name)
        spans: list[tuple[str, tuple[int, int]]] = []
        place = 0
        for piece in self._processor.EncodeAsPieces(text):
            letters = piece.replace("▁", "")
            start = text.find(letters, place) if letters else place
            spans.append((piece, (start, start + len(letters))))
            place = start + len(letters)
        return spans

    def save(self, path: Path) -> None:
        """Write the model as one file."""
        path.write_bytes(self._model)

    @classmethod
    def load(cls, path: Path) -> Subwords:
        """Read what ``save`` wrote; it encodes exactly alike.

        :raise BundleDamaged: missing, too large, or not a vocabulary.
        """
        try:
            if path.stat().st_size > _MOST_FILE_BYTES:
                raise BundleDamaged(f"{path.name} is larger than {_MOST_FILE_BYTES} bytes")
            return cls(path.read_bytes())
        except OSError as error:
            raise BundleDamaged(f"{path.name} cannot be read ({error}); run `text train` again") from error
