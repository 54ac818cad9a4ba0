from __future__ import annotations

import subprocess
import sys

import cv2
import numpy as np
import pytest

from augment import variants
from augment.geometry import resize_square
from augment.preview import contact_sheet
from augment.variants import (
    ORIGINAL,
    SELECTABLE_NAMES,
    VARIANT_NAMES,
    make_variant,
    make_variants,
    variant_amount,
)

RED, GREEN, BLUE, YELLOW = (220, 20, 20), (20, 200, 20), (20, 20, 220), (220, 220, 20)


@pytest.fixture(scope="module")
def photo() -> np.ndarray:
    """Landscape format, mid-grey with texture, and a block of its own colour in each corner."""
    rng = np.random.default_rng(11)
    pixels = rng.integers(80, 150, (360, 500, 3), dtype=np.uint8)
    for (y, x), colour in {(0, 0): RED, (0, 1): GREEN, (1, 0): BLUE, (1, 1): YELLOW}.items():
        pixels[y * 300 : y * 300 + 60, x * 420 : x * 420 + 80] = colour
    return pixels


def _has(pixels: np.ndarray, colour: tuple[int, int, int]) -> bool:
    return bool((np.abs(pixels.astype(int) - colour).max(axis=2) < 12).mean() > 0.002)


def _sharpness(pixels: np.ndarray) -> float:
    return float(cv2.Laplacian(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), cv2.CV_64F).var())


def test_the_eight_names() -> None:
    assert VARIANT_NAMES == (
        "brightness", "crop_top_left", "crop_top_right", "crop_bottom_left", "crop_bottom_right",
        "rotate_left", "rotate_right", "blur",
    )  # fmt: skip
    assert (*VARIANT_NAMES, "flip") == SELECTABLE_NAMES
    assert ORIGINAL not in SELECTABLE_NAMES


def test_by_default_the_eight_without_original_and_flip(photo: np.ndarray) -> None:
    made = make_variants(photo, 5)
    assert tuple(made) == VARIANT_NAMES
    for pixels in made.values():
        assert pixels.shape == (299, 299, 3)
        assert pixels.dtype == np.uint8
        assert not np.array_equal(pixels, resize_square(photo, 299))


@pytest.mark.parametrize("shape", [(1, 1), (299, 299), (40, 1000), (1300, 90)])
def test_any_photo_size_gives_299(shape: tuple[int, int]) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    assert {v.shape for v in make_variants(pixels, 1, SELECTABLE_NAMES).values()} == {(299, 299, 3)}


def test_original_is_the_plain_resize(photo: np.ndarray) -> None:
    assert np.array_equal(make_variant(photo, ORIGINAL, 9), resize_square(photo, 299))


def test_the_photo_is_left_untouched(photo: np.ndarray) -> None:
    before = photo.copy()
    make_variants(photo, 2, (ORIGINAL, *SELECTABLE_NAMES))
    assert np.array_equal(photo, before)


@pytest.mark.parametrize("name", SELECTABLE_NAMES)
def test_same_content_name_and_seed_same_pixels(photo: np.ndarray, name: str) -> None:
    first = make_variant(photo, name, 4)
    np.random.default_rng().random(10)
    cv2.setRNGSeed(123)
    assert np.array_equal(first, make_variant(np.asfortranarray(photo), name, 4))


@pytest.mark.parametrize("name", VARIANT_NAMES)
def test_a_variant_does_not_depend_on_which_others_are_made(photo: np.ndarray, name: str) -> None:
    alone = make_variants(photo, 4, (name,))[name]
    assert np.array_equal(alone, make_variants(photo, 4, tuple(reversed(SELECTABLE_NAMES)))[name])


@pytest.mark.parametrize("name", VARIANT_NAMES)
def test_seed_and_content_change_the_amount(photo: np.ndarray, name: str) -> None:
    assert len({variant_amount(photo, name, seed) for seed in range(20)}) == 20
    assert variant_amount(photo, name, 1) != variant_amount(255 - photo, name, 1)


@pytest.mark.parametrize(
    ("name", "ranges"),
    [
        ("brightness", (variants.BRIGHTNESS_DARKER, variants.BRIGHTNESS_BRIGHTER)),
        *((name, (variants.CROP_SHARE,)) for name in VARIANT_NAMES if name.startswith("crop")),
        ("rotate_left", (variants.ROTATION_DEG,)),
        ("rotate_right", (variants.ROTATION_DEG,)),
        ("blur", (variants.BLUR_SIGMA_PX,)),
    ],
)
def test_amounts_fill_their_documented_ranges(name: str, ranges: tuple[tuple[float, float], ...]) -> None:
    tiny = np.full((8, 8, 3), 90, dtype=np.uint8)
    amounts = np.asarray([variant_amount(tiny, name, seed) for seed in range(400)])
    inside = [(amounts >= low) & (amounts <= high) for low, high in ranges]
    assert np.logical_or.reduce(inside).all()
    for (low, high), part in zip(ranges, inside, strict=True):
        assert amounts[part].min() < low + 0.1 * (high - low)
        assert amounts[part].max() > high - 0.1 * (high - low)


@pytest.mark.parametrize("seed", range(12))
def test_brightness_scales_the_mean_by_its_factor(photo: np.ndarray, seed: int) -> None:
    factor = variant_amount(photo, "brightness", seed)
    plain = make_variant(photo, ORIGINAL, seed).mean()
    assert make_variant(photo, "brightness", seed).mean() / plain == pytest.approx(factor, rel=0.05)


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("crop_top_left", RED),
        ("crop_top_right", GREEN),
        ("crop_bottom_left", BLUE),
        ("crop_bottom_right", YELLOW),
    ],
)
def test_a_crop_keeps_its_own_corner_and_cuts_the_opposite_one(
    photo: np.ndarray, name: str, kept: tuple[int, int, int]
) -> None:
    opposite = {RED: YELLOW, YELLOW: RED, GREEN: BLUE, BLUE: GREEN}[kept]
    seed = next(s for s in range(99) if variant_amount(photo, name, s) < 0.8)
    cropped = make_variant(photo, name, seed)
    assert _has(cropped, kept)
    assert not _has(cropped, opposite)
    y, x = (0 if "top" in name else -1), (0 if "left" in name else -1)
    assert np.abs(cropped[y, x].astype(int) - kept).max() < 12


def test_a_crop_enlarges_by_the_share_it_keeps(photo: np.ndarray) -> None:
    share = variant_amount(photo, "crop_top_left", 0)
    cropped = make_variant(photo, "crop_top_left", 0)
    red = np.abs(cropped.astype(int) - RED).max(axis=2) < 40
    assert red[0].sum() == pytest.approx(80 / 500 / share * 299, abs=3)
    assert red[:, 0].sum() == pytest.approx(60 / 360 / share * 299, abs=3)


@pytest.mark.parametrize(("name", "sign"), [("rotate_left", 1), ("rotate_right", -1)])
def test_rotation_turns_to_its_side_by_its_degrees(name: str, sign: int) -> None:
    """A horizontal bar in a square photo: its slope is the angle (the row axis points down)."""
    bar = np.full((400, 400, 3), 30, dtype=np.uint8)
    bar[192:208, 60:340] = 230
    for seed in range(4):
        turned = make_variant(bar, name, seed)[..., 0]
        rows, columns = np.nonzero(turned[:, 90:210] > 130)
        slope = np.polyfit(columns, rows, 1)[0]
        assert np.degrees(np.arctan(-slope)) == pytest.approx(sign * variant_amount(bar, name, seed), abs=0.7)


@pytest.mark.parametrize("seed", range(6))
def test_blur_softens_and_leaves_the_mean(photo: np.ndarray, seed: int) -> None:
    plain, soft = make_variant(photo, ORIGINAL, seed), make_variant(photo, "blur", seed)
    assert _sharpness(soft) < 0.3 * _sharpness(plain)
    assert soft.mean() == pytest.approx(plain.mean(), abs=1)


def test_flip_mirrors(photo: np.ndarray) -> None:
    assert np.array_equal(make_variant(photo, "flip", 1), make_variant(photo, ORIGINAL, 1)[:, ::-1])


def test_an_unknown_name_is_refused_and_the_valid_ones_named(photo: np.ndarray) -> None:
    message = r"unknown variant 'sharpen'.*crop_top_left.*flip"
    with pytest.raises(ValueError, match=message):
        make_variant(photo, "sharpen", 1)
    with pytest.raises(ValueError, match=message):
        make_variants(photo, 1, ("blur", "sharpen"))


def test_importing_augment_loads_no_albumentations() -> None:
    code = "import sys, augment.preview, augment.render; print('albumentations' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_contact_sheet_shows_every_variant_under_a_caption(photo: np.ndarray) -> None:
    sheet = contact_sheet(photo, 3)
    assert sheet.dtype == np.uint8
    assert sheet.shape == (2 * (299 + 34 + 12) + 12, 5 * (299 + 12) + 12, 3)
    for index, name in enumerate((ORIGINAL, *SELECTABLE_NAMES)):
        y, x = 12 + index // 5 * (299 + 34 + 12), 12 + index % 5 * (299 + 12)
        assert (sheet[y : y + 34, x : x + 299] < 100).all(axis=2).sum() > 100, f"no caption over {name}"
        assert np.array_equal(sheet[y + 34 : y + 34 + 299, x : x + 299], make_variant(photo, name, 3))
