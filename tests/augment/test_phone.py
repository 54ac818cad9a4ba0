from __future__ import annotations

import time

import cv2
import numpy as np
import pytest

from augment.render import (
    BACKGROUNDS,
    CAMERAS,
    FOREIGN_KINDS,
    FailureKind,
    PhonePhoto,
    RenderedProduct,
    make_catalogue,
    render_foreign,
    render_phone_photo,
    render_phone_scene,
)

SIZE = (360, 480)
SEEDS = range(6)


@pytest.fixture(scope="module")
def products() -> list[RenderedProduct]:
    return make_catalogue(40, 9, "demo")


@pytest.fixture(scope="module")
def ordinary(products: list[RenderedProduct]) -> list[PhonePhoto]:
    return _photos(products, FailureKind.NONE)


def _photos(products: list[RenderedProduct], failure: FailureKind) -> list[PhonePhoto]:
    return [
        render_phone_scene(products[seed], seed, distractors=products, failure=failure, size=SIZE) for seed in SEEDS
    ]


def _sharpness(photo: PhonePhoto) -> float:
    return float(cv2.Laplacian(cv2.cvtColor(photo.pixels, cv2.COLOR_RGB2GRAY), cv2.CV_64F).var())


def test_shape_and_truth_of_an_ordinary_photo(ordinary: list[PhonePhoto]) -> None:
    for photo in ordinary:
        assert photo.pixels.shape == (480, 360, 3)
        assert photo.pixels.dtype == np.uint8
        x, y, w, h = photo.box
        assert x >= 0 and y >= 0 and x + w <= 1 and y + h <= 1
        assert h > 0.2
        assert photo.visible > 0.9
        assert 50 < photo.pixels.mean() < 210


def test_the_box_of_the_truth_holds_the_product(products: list[RenderedProduct]) -> None:
    """Without the product the same scene is another one inside the box, and hardly outside."""
    red = next(p for p in products if p.colour == "red" and p.type != "shirt")
    other = next(p for p in products if p.type == red.type and p.sku != red.sku)
    swapped = render_phone_scene(
        RenderedProduct(**{**_fields(other), "sku": red.sku, "seed": red.seed}),
        3,
        size=SIZE,
        backgrounds="pine_table",
    )
    photo = render_phone_scene(red, 3, size=SIZE, backgrounds="pine_table")
    x, y, w, h = (round(v * s) for v, s in zip(photo.box, (360, 480, 360, 480), strict=True))
    change = np.abs(photo.pixels.astype(int) - swapped.pixels).mean(axis=2)
    inside = change[y : y + h, x : x + w].mean()
    assert inside > 3 * (change.sum() - change[y : y + h, x : x + w].sum()) / (change.size - w * h)


def _fields(product: RenderedProduct) -> dict[str, object]:
    return {name: getattr(product, name) for name in product.__slots__}


def test_deterministic_by_arguments_and_changed_by_the_seed(products: list[RenderedProduct]) -> None:
    first = render_phone_photo(products[2], 7, distractors=products, size=SIZE)
    assert np.array_equal(first, render_phone_photo(products[2], 7, distractors=products, size=SIZE))
    assert not np.array_equal(first, render_phone_photo(products[2], 8, distractors=products, size=SIZE))


@pytest.mark.parametrize("purpose", CAMERAS)
def test_a_purpose_uses_only_its_own_cameras_and_backgrounds(products: list[RenderedProduct], purpose: str) -> None:
    photos = [
        render_phone_scene(products[0], seed, camera=purpose, backgrounds=purpose, size=(128, 160))
        for seed in range(40)
    ]
    assert {photo.camera for photo in photos} == {style.name for style in CAMERAS[purpose]}
    assert {photo.background for photo in photos} == {style.name for style in BACKGROUNDS[purpose]}


def test_one_camera_or_background_can_be_asked_for(products: list[RenderedProduct]) -> None:
    for camera in (CAMERAS["training"][1], "fjord_one"):
        photo = render_phone_scene(products[0], 1, camera=camera, backgrounds="red_cloth", size=(128, 160))
        assert (photo.camera, photo.background) == ("fjord_one", "red_cloth")


def test_small_is_small_among_look_alikes(products: list[RenderedProduct]) -> None:
    for photo in _photos(products, FailureKind.SMALL):
        assert photo.box[3] < 0.25
        assert photo.box[2] * photo.box[3] < 0.09
        assert photo.visible > 0.8
        assert photo.background == "birch_shelf"


def test_cut_off_hides_half_and_touches_the_edge(products: list[RenderedProduct]) -> None:
    for photo in _photos(products, FailureKind.CUT_OFF):
        assert 0.15 < photo.visible < 0.75
        x, _, w, _ = photo.box
        assert x == 0 or x + w == pytest.approx(1)


def test_dark_is_dark_and_the_same_scene(products: list[RenderedProduct], ordinary: list[PhonePhoto]) -> None:
    for dark, usual in zip(_photos(products, FailureKind.DARK), ordinary, strict=True):
        assert dark.pixels.mean() < 0.4 * usual.pixels.mean()
        assert dark.box == usual.box


def test_blurred_is_blurred_and_the_same_scene(products: list[RenderedProduct], ordinary: list[PhonePhoto]) -> None:
    for soft, usual in zip(_photos(products, FailureKind.BLURRED), ordinary, strict=True):
        assert _sharpness(soft) < 0.35 * _sharpness(usual)
        assert soft.box == usual.box


def test_foreign_advertising_covers_part_of_the_picture_not_the_product(
    products: list[RenderedProduct], ordinary: list[PhonePhoto]
) -> None:
    for advertised, usual in zip(_photos(products, FailureKind.FOREIGN_ADVERTISING), ordinary, strict=True):
        assert advertised.visible > 0.5
        changed = np.abs(advertised.pixels.astype(int) - usual.pixels).max(axis=2) > 40
        assert changed.mean() > 0.08


@pytest.mark.parametrize(
    "wrong",
    [{"camera": "obscura"}, {"backgrounds": "moon"}, {"failure": "stolen"}, {"size": (64, 480)}],
    ids=["camera", "background", "failure", "size"],
)
def test_unknown_names_are_refused(products: list[RenderedProduct], wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"unknown camera|unknown background|not a valid FailureKind|at least 128"):
        render_phone_photo(products[0], 1, **wrong)


def test_a_phone_photo_takes_a_fraction_of_a_second(products: list[RenderedProduct]) -> None:
    """The target is 200 ms of one core; the bound leaves room for slow or busy machines."""
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        render_phone_photo(products[0], 0, distractors=products)
        start = time.process_time()
        for seed in range(3):
            render_phone_photo(products[seed], seed, distractors=products)
        assert (time.process_time() - start) / 3 < 0.8
    finally:
        cv2.setNumThreads(threads)


def test_foreign_photos_come_in_turn_and_differ() -> None:
    photos = [render_foreign(seed, (120, 160)) for seed in range(2 * len(FOREIGN_KINDS))]
    assert all(photo.shape == (160, 120, 3) and photo.dtype == np.uint8 for photo in photos)
    assert np.array_equal(photos[3], render_foreign(3, (120, 160)))
    for index, photo in enumerate(photos):
        for other in photos[:index]:
            assert np.abs(photo.astype(int) - other).mean() > 5
    with pytest.raises(ValueError, match="at least 64"):
        render_foreign(1, (63, 100))
