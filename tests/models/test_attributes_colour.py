"""Colour difference against the published pairs, colour measuring on drawn products."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageDraw

from models.attributes.cielab import ciede2000, rgb_to_lab
from models.attributes.colour import combine_colours, measure_colour
from models.attributes.palette import ALIASES, ANCHORS, FAMILY, NAMES, palette_name
from models.errors import UsageError

# Sharma, Wu, Dalal (2005), table 1: the pairs that exercise every branch of the formula.
SHARMA = [
    ((50.0000, 2.6772, -79.7751), (50.0000, 0.0000, -82.7485), 2.0425),
    ((50.0000, 3.1571, -77.2803), (50.0000, 0.0000, -82.7485), 2.8615),
    ((50.0000, 2.8361, -74.0200), (50.0000, 0.0000, -82.7485), 3.4412),
    ((50.0000, -1.3802, -84.2814), (50.0000, 0.0000, -82.7485), 1.0000),
    ((50.0000, -1.1848, -84.8006), (50.0000, 0.0000, -82.7485), 1.0000),
    ((50.0000, -0.9009, -85.5211), (50.0000, 0.0000, -82.7485), 1.0000),
    ((50.0000, 0.0000, 0.0000), (50.0000, -1.0000, 2.0000), 2.3669),
    ((50.0000, -1.0000, 2.0000), (50.0000, 0.0000, 0.0000), 2.3669),
    ((50.0000, 2.4900, -0.0010), (50.0000, -2.4900, 0.0009), 7.1792),
    ((50.0000, 2.4900, -0.0010), (50.0000, -2.4900, 0.0011), 7.2195),
    ((50.0000, -0.0010, 2.4900), (50.0000, 0.0009, -2.4900), 4.8045),
    ((50.0000, -0.0010, 2.4900), (50.0000, 0.0011, -2.4900), 4.7461),
    ((50.0000, 2.5000, 0.0000), (50.0000, 0.0000, -2.5000), 4.3065),
    ((50.0000, 2.5000, 0.0000), (73.0000, 25.0000, -18.0000), 27.1492),
    ((50.0000, 2.5000, 0.0000), (61.0000, -5.0000, 29.0000), 22.8977),
    ((50.0000, 2.5000, 0.0000), (56.0000, -27.0000, -3.0000), 31.9030),
    ((50.0000, 2.5000, 0.0000), (58.0000, 24.0000, 15.0000), 19.4535),
    ((60.2574, -34.0099, 36.2677), (60.4626, -34.1751, 39.4387), 1.2644),
    ((63.0109, -31.0961, -5.8663), (62.8187, -29.7946, -4.0864), 1.2630),
    ((22.7233, 20.0904, -46.6940), (23.0331, 14.9730, -42.5619), 2.0373),
    ((90.8027, -2.0831, 1.4410), (91.1528, -1.6435, 0.0447), 1.4441),
    ((2.0776, 0.0795, -1.1350), (0.9033, -0.0636, -0.5514), 0.9082),
]


def studio(colour: tuple[int, int, int], background: tuple[int, int, int] = (255, 255, 255)) -> np.ndarray:
    image = Image.new("RGB", (300, 200), background)
    ImageDraw.Draw(image).rectangle((90, 40, 210, 160), fill=colour)
    return np.asarray(image)


@pytest.mark.parametrize(("first", "second", "expected"), SHARMA)
def test_ciede2000_gives_the_published_differences(first, second, expected) -> None:
    assert ciede2000(np.array(first), np.array(second)) == pytest.approx(expected, abs=5e-5)
    assert ciede2000(np.array(second), np.array(first)) == pytest.approx(expected, abs=5e-5)


@pytest.mark.parametrize(
    ("rgb", "lab"),
    [
        ((255, 255, 255), (100.0, 0.0, 0.0)),
        ((0, 0, 0), (0.0, 0.0, 0.0)),
        ((255, 0, 0), (53.241, 80.092, 67.203)),
        ((0, 0, 255), (32.297, 79.187, -107.860)),
        ((119, 119, 119), (50.034, 0.0, 0.0)),
    ],
)
def test_srgb_to_lab(rgb, lab) -> None:
    assert rgb_to_lab(np.array(rgb, dtype=np.uint8)) == pytest.approx(lab, abs=0.02)


@pytest.mark.parametrize(
    ("rgb", "name"),
    [
        ((15, 15, 15), "black"),
        ((205, 30, 35), "red"),
        ((40, 90, 200), "blue"),
        ((25, 28, 70), "navy blue"),
        ((40, 140, 60), "green"),
        ((250, 215, 50), "yellow"),
        ((240, 130, 40), "orange"),
        ((90, 55, 30), "brown"),
        ((125, 125, 125), "grey"),
        ((235, 100, 170), "pink"),
        ((110, 50, 140), "purple"),
    ],
)
def test_a_product_in_a_studio_has_its_own_colour_not_the_background_s(rgb, name) -> None:
    pixels = studio(rgb)
    before = pixels.copy()
    reading = measure_colour(pixels)
    assert reading.name == name
    assert reading.lab == pytest.approx(rgb_to_lab(np.array(rgb, dtype=np.uint8)), abs=1.5)
    assert 0 < reading.confidence <= 1
    assert set(reading.shares) == set(NAMES) and sum(reading.shares.values()) == pytest.approx(1)
    assert (pixels == before).all()


def test_a_coloured_studio_is_background_too() -> None:
    assert measure_colour(studio((205, 30, 35), background=(60, 120, 220))).name == "red"


def test_a_white_product_before_white_is_white() -> None:
    assert measure_colour(studio((252, 252, 252))).name == "white"


def test_one_single_colour_has_no_background_left_over() -> None:
    assert measure_colour(np.full((50, 80, 3), (40, 90, 200), np.uint8)).name == "blue"
    assert measure_colour(np.full((1, 1, 3), 8, np.uint8)).name == "black"


def test_before_a_busy_background_the_middle_counts() -> None:
    image = np.random.default_rng(0).integers(0, 256, (200, 200, 3), dtype=np.uint8)
    image[40:160, 40:160] = (250, 215, 50)
    assert measure_colour(image).name == "yellow"


def test_the_skin_of_who_wears_a_shirt_does_not_count_but_a_skin_coloured_product_does() -> None:
    worn = studio((40, 140, 60)).copy()
    worn[10:120, 120:180] = (205, 150, 120)
    assert measure_colour(worn).name == "green"
    bare = measure_colour(studio((205, 150, 120)))
    assert bare.lab == pytest.approx(rgb_to_lab(np.array((205, 150, 120), dtype=np.uint8)), abs=1.5)


def test_two_colours_are_less_certain_than_one_and_lab_is_of_the_named_one() -> None:
    striped = studio((205, 30, 35)).copy()
    striped[40:161, 90:140] = (40, 90, 200)
    reading = measure_colour(striped)
    assert reading.name == "red"
    assert reading.confidence < measure_colour(studio((205, 30, 35))).confidence
    assert reading.lab == pytest.approx(rgb_to_lab(np.array((205, 30, 35), dtype=np.uint8)), abs=1.5)


def test_photos_of_a_product_are_combined_in_any_order() -> None:
    red, blue = measure_colour(studio((205, 30, 35))), measure_colour(studio((40, 90, 200)))
    together = combine_colours([red, blue, red])
    assert together.name == "red" and together.lab == pytest.approx(red.lab)
    assert together.confidence < red.confidence
    assert combine_colours([blue, red, red]) == together
    alone = combine_colours([blue])
    assert (alone.name, alone.confidence) == (blue.name, pytest.approx(blue.confidence))


def test_unusable_input_is_refused() -> None:
    with pytest.raises(UsageError, match="uint8"):
        measure_colour(np.zeros((4, 4, 3), np.float32))  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="height"):
        measure_colour(np.zeros((4, 4), np.uint8))
    with pytest.raises(UsageError):
        measure_colour(np.zeros((0, 4, 3), np.uint8))
    with pytest.raises(UsageError, match="at least one"):
        combine_colours([])


def test_the_palette_is_consistent() -> None:
    assert 20 <= len(NAMES) <= 46
    assert set(FAMILY) <= set(NAMES) and set(FAMILY.values()) <= set(NAMES) - set(FAMILY)
    assert set(ALIASES.values()) <= set(NAMES) and not set(ALIASES) & set(NAMES)
    assert all(0 <= anchor.L <= 100 for anchor in ANCHORS)
    assert palette_name(" Navy  BLUE ") == "navy blue" and palette_name("Charcoal") == "grey"
    assert palette_name("multi") is None
