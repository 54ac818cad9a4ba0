"""Names: one spelling, codes, masking of category words."""

from __future__ import annotations

import unicodedata

import pytest

from models.multimodal.names import CategoryWords, is_code, normalise, product_codes, stem, words


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("CASIO G-Shock Men's  Watch G-7710-1DR", "casio g shock mens watch g77101dr"),
        ("T-shirt, round neck", "t shirt round neck"),
        ("Milk 1.5L", "milk 1.5l"),
        ("50-ml spray", "50ml spray"),
        ("여성 원피스/블랙", "여성 원피스 블랙"),
        ("  !?  ", ""),
        ("", ""),
    ],
)
def test_names_have_one_spelling(name: str, expected: str) -> None:
    assert normalise(name) == expected
    assert normalise(expected) == expected


def test_decomposed_korean_is_the_same_name() -> None:
    assert normalise(unicodedata.normalize("NFD", "여성 원피스")) == "여성 원피스"


def test_product_codes_are_words_with_digits_of_some_length() -> None:
    assert product_codes("Police Watch PL12889JVSB 3pc 12889 PL-12889-JVSB 1.25l") == ["pl12889jvsb", "12889"]
    assert not is_code("3pc") and not is_code("watch")


@pytest.mark.parametrize(
    ("word", "expected"),
    [("watches", "watch"), ("dresses", "dress"), ("dress", "dress"), ("shoes", "shoe"), ("accessories", "accessory")],
)
def test_plurals_are_taken_off(word: str, expected: str) -> None:
    assert stem(word) == expected


def test_words_of_all_categories_are_masked_in_every_name() -> None:
    masked = CategoryWords(["Apparel > Topwear > Tshirts", "Watches", "Flip Flops"])
    assert masked.mask("Puma Men Grey T-shirt") == "puma men grey"
    assert masked.mask("Titan Women Silver Watch") == "titan women silver"
    assert masked.mask("Fila Flip Flop black") == "fila black"
    assert masked.mask("Watches") == ""


def test_small_words_and_numbers_are_no_category_words() -> None:
    masked = CategoryWords(["Sauces and Dips", "Pack of 3"])
    assert masked.mask("Salt and 3 sauce") == "salt and 3"


def test_korean_category_words_are_masked_inside_longer_ones() -> None:
    assert CategoryWords(["의류 > 원피스"]).mask("여성원피스 블랙") == "여성 블랙"


def test_words_are_in_order() -> None:
    assert words("Red Nike-Shoe") == ["red", "nike", "shoe"]
