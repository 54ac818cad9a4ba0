"""Word shares through a classifier that counts words."""

from __future__ import annotations

import numpy as np
import pytest

from app.services.name_shares import name_shares
from models.errors import UsageError
from models.multimodal.classifier import TYPE, Listing


class Counting:
    """Sure of a shirt by every word "shirt" in the name, and by a picture."""

    def __init__(self) -> None:
        self.answers = {TYPE: ("Shirts", "Shoes")}
        self.asked: list[Listing] = []

    def probabilities(self, listing: Listing) -> dict[str, np.ndarray]:
        self.asked.append(listing)
        sure = np.array([name.split().count("shirt") for name in listing.names]) + listing.has_image
        shirt = 1 / (1 + np.exp(-2.0 * sure))
        return {TYPE: np.stack([shirt, 1 - shirt], axis=1)}


def test_each_word_is_left_out_once_and_the_rest_of_the_product_stays() -> None:
    images = np.ones((1, 2048), np.float32)
    listing = Listing(("red shirt",), images, np.array([True]), ("a mall",), ("Tops",))
    model = Counting()
    shares = name_shares(model, listing, "Shirts")
    assert [share.word for share in shares] == ["red", "shirt"]
    assert shares[0].share == 0.0
    assert shares[1].share == pytest.approx(np.log(1 / (1 + np.exp(-4))) - np.log(1 / (1 + np.exp(-2))))
    [asked] = model.asked
    assert asked.names == ("red shirt", "shirt", "red")
    assert asked.images.shape == (3, 2048) and asked.has_image.all()
    assert asked.sources == ("a mall",) * 3 and asked.mall_categories == ("Tops",) * 3


def test_a_word_that_speaks_for_another_type_has_a_share_below_0() -> None:
    assert name_shares(Counting(), Listing.of_names(["red shirt"]), "Shoes")[1].share < 0


def test_what_cannot_be_explained_is_refused() -> None:
    with pytest.raises(UsageError, match="'Hats'"):
        name_shares(Counting(), Listing.of_names(["red shirt"]), "Hats")
    with pytest.raises(UsageError, match="2 products"):
        name_shares(Counting(), Listing.of_names(["red", "shirt"]), "Shirts")
