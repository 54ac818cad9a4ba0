"""The subword vocabulary, trained on a few names."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from models.errors import BundleDamaged, NotEnoughData, UsageError
from models.multimodal.subwords import LEAST_VOCABULARY_SIZE, Subwords
from tests.models.multimodal.names import SHOP


@pytest.fixture(scope="module")
def subwords() -> Subwords:
    return Subwords.train(SHOP, 300)


def test_frequent_words_have_fewer_pieces_than_codes(subwords: Subwords) -> None:
    assert len(subwords.encode("shirt")) < len(subwords.encode("zqkwv"))
    assert [subwords.piece(int(number)) for number in subwords.encode("원피스")] == ["▁원피스"]


def test_a_name_is_the_same_pieces_alone_and_among_others(subwords: Subwords) -> None:
    together = subwords.encode_all(["Red SHIRT", "", "blue shoe"])
    assert (together[0] == subwords.encode("red shirt")).all()
    assert len(together[1]) == 0
    assert all(pieces.dtype == np.int32 and (pieces < subwords.size).all() for pieces in together)
    assert subwords.encode_all([]) == []


def test_the_same_names_give_the_same_vocabulary(subwords: Subwords) -> None:
    again = Subwords.train(SHOP, 300)
    assert again.size == subwords.size
    assert [again.piece(i) for i in range(again.size)] == [subwords.piece(i) for i in range(subwords.size)]


def test_spans_cover_the_words_of_the_name(subwords: Subwords) -> None:
    text = "red shirt zx9q"
    spans = subwords.spans(text)
    assert "".join(text[start:end] for _, (start, end) in spans) == text.replace(" ", "")


def test_saved_and_loaded_it_encodes_alike(subwords: Subwords, tmp_path: Path) -> None:
    subwords.save(tmp_path / "subwords.model")
    loaded = Subwords.load(tmp_path / "subwords.model")
    assert (loaded.encode("blue shirt pl9") == subwords.encode("blue shirt pl9")).all()


def test_damaged_or_missing_files_are_named(tmp_path: Path) -> None:
    (tmp_path / "bad.model").write_bytes(b"no model")
    with pytest.raises(BundleDamaged, match="damaged"):
        Subwords.load(tmp_path / "bad.model")
    with pytest.raises(BundleDamaged, match="cannot be read"):
        Subwords.load(tmp_path / "absent.model")


def test_too_little_to_learn_from_is_refused() -> None:
    with pytest.raises(NotEnoughData):
        Subwords.train(["", " ?"])
    with pytest.raises(UsageError, match="99"):
        Subwords.train(["a name"], LEAST_VOCABULARY_SIZE - 1)
