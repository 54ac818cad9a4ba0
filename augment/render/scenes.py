"""What stands before a phone's camera: the product on a table or a shelf, among other things."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from math import cos, radians, sin
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from augment.render.backdrops import BackgroundStyle, draw_shelf, draw_table
from augment.render.clutter import draw_clutter
from augment.render.families import RenderedProduct
from augment.render.raster import UInt8, blur
from augment.render.solids import Pose
from augment.render.sprites import RELATIVE_HEIGHT, render_sprite
from augment.render.stage import hang, place, stand
from augment.render.worlds import world_of

SMALL_HEIGHT: Final = (0.12, 0.17)
"""Share of the frame's height that the product takes in a ``small`` photo."""

USUAL_HEIGHT: Final = (0.50, 0.76)
"""The same in all other photos (less where the product is wide)."""

CUT_SHARE: Final = (0.45, 0.65)
"""Share of the product's width that lies outside the frame of a ``cut_off`` photo."""


class FailureKind(StrEnum):
    """What is wrong with a phone photo; ``none`` is an ordinary one."""

    NONE = "none"
    SMALL = "small"
    FOREIGN_ADVERTISING = "foreign_advertising"
    CUT_OFF = "cut_off"
    DARK = "dark"
    BLURRED = "blurred"


@dataclass(frozen=True, slots=True)
class Shot:
    """What is to be photographed where: ``others`` may stand around, ``style`` is the place, and the
    frame is ``width`` x ``height`` pixels."""

    product: RenderedProduct
    others: tuple[RenderedProduct, ...]
    style: BackgroundStyle
    kind: FailureKind
    width: int
    height: int


@dataclass(slots=True, eq=False)
class Scene:
    """What is drawn so far, and where the product is seen in it (uint8 mask)."""

    pixels: UInt8
    coverage: UInt8
    full_area: float = 0.0


def _product_height(shot: Shot, rng: np.random.Generator) -> int:
    small = shot.kind is FailureKind.SMALL
    share = rng.uniform(*(SMALL_HEIGHT if small else USUAL_HEIGHT))
    if not small:
        share *= {"shoe": 0.62, "mug": 0.8}.get(shot.product.type, 1.0)
    return round(min(share * shot.height, 1.15 * shot.width))


def _base_x(sprite: UInt8, shot: Shot, rng: np.random.Generator) -> int:
    """Where the middle of the product's base lies; outside the frame's inner part when it is cut off."""
    drawn = rng.uniform(-0.09, 0.09)
    if shot.kind is not FailureKind.CUT_OFF:
        return round(shot.width * (0.5 + drawn))
    out = rng.uniform(*CUT_SHARE)
    inset = round(sprite.shape[1] * (0.5 - out))
    return inset if rng.random() < 0.5 else shot.width - inset


def table_scene(shot: Shot, rng: np.random.Generator) -> Scene:
    """The product standing on a table, or lying on it; others may stand behind, out of focus."""
    width, height, product = shot.width, shot.height, shot.product
    pitch = float(rng.uniform(14, 38))
    horizon = float(np.clip((34 - pitch) / 60, 0, 0.36))
    scene = Scene(draw_table(shot.style, width, height, horizon, rng), np.zeros((height, width), dtype=np.uint8))
    draw_clutter(scene.pixels, horizon, rng)
    tall = _product_height(shot, rng)
    base_y = round(min(0.94 * height, (height + tall) / 2 + rng.uniform(0.0, 0.10) * height))
    lean = float(rng.uniform(-0.6, 0.6))
    shadow = float(rng.uniform(0.35, 0.6))
    _background_products(scene.pixels, shot, (base_y, tall, pitch, lean), rng)
    lying = product.type == "shirt" or rng.random() < 0.14
    roll = float(rng.uniform(-35, 35)) if lying else float(rng.uniform(-4, 4))
    pose = Pose(float(rng.uniform(-38, 38)), 4.0 if lying else pitch, roll)
    sprite = _fitting(render_sprite(product, pose, tall), round(width * 0.86))
    base = (_base_x(sprite, shot, rng), base_y)
    if lying:
        hang(scene.pixels, sprite, base, 0.5, coverage=scene.coverage)
    else:
        stand(scene.pixels, sprite, base, shadow, lean, coverage=scene.coverage)
    scene.full_area = float(sprite[..., 3].sum())
    return scene


def _fitting(sprite: UInt8, limit: int) -> UInt8:
    height, width = sprite.shape[:2]
    if width <= limit:
        return sprite
    size = (limit, max(1, round(height * limit / width)))
    return np.asarray(cv2.resize(sprite, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def _background_products(
    pixels: UInt8, shot: Shot, stance: tuple[int, int, float, float], rng: np.random.Generator
) -> None:
    """Up to three other products behind, out of focus. stance: base row, product's height, pitch, lean."""
    base_y, tall, pitch, lean = stance
    if not shot.others:
        return
    count = int(rng.integers(0, 4))
    own = RELATIVE_HEIGHT[shot.product.type]
    for slot in rng.permutation(4)[:count]:
        other = shot.others[int(rng.integers(len(shot.others)))]
        edge = round(tall * RELATIVE_HEIGHT[other.type] / own * rng.uniform(0.62, 0.8))
        edge = int(np.clip(edge, 40, 0.75 * pixels.shape[0]))
        sprite = render_sprite(other, Pose(float(rng.uniform(-50, 50)), pitch, 0), edge)
        x = round(pixels.shape[1] * (0.04 + 0.305 * slot + rng.uniform(-0.06, 0.06)))
        stand(pixels, blur(sprite, edge * 0.005), (x, base_y - round(tall * rng.uniform(0.18, 0.3))), 0.4, lean)


def shelf_scene(shot: Shot, rng: np.random.Generator) -> Scene:
    """The product on a shop's shelf, the boards filled with others."""
    width, height, product = shot.width, shot.height, shot.product
    tall = _product_height(shot, rng)
    gap = round(tall * rng.uniform(1.28, 1.45))
    middle = round((height + tall) / 2 + rng.uniform(-0.05, 0.08) * height)
    boards = [row for row in range(middle - 6 * gap, middle + 6 * gap + 1, gap) if 0 < row < height + gap]
    scene = Scene(draw_shelf(shot.style, width, height, boards, rng), np.zeros((height, width), dtype=np.uint8))
    unit = tall / RELATIVE_HEIGHT[product.type]
    neighbours = _neighbours(shot, rng)
    pitch = float(rng.uniform(0, 9))
    pose = Pose(float(rng.uniform(-16, 16)), pitch, float(rng.uniform(-2, 2)))
    sprite = _fitting(render_sprite(product, pose, tall), round(width * 0.8))
    x = _base_x(sprite, shot, rng)
    for board in boards:
        own_row = board == middle
        if shot.kind is FailureKind.CUT_OFF and own_row:
            continue
        hole = (x - sprite.shape[1] * 0.54, x + sprite.shape[1] * 0.54) if own_row else (0.0, 0.0)
        _shelf_row(scene.pixels, neighbours, (board, gap, unit, pitch), hole, rng)
    stand(scene.pixels, sprite, (x, middle - max(2, gap // 120)), 0.45, 0.1, coverage=scene.coverage)
    scene.full_area = float(sprite[..., 3].sum())
    return scene


def _neighbours(shot: Shot, rng: np.random.Generator) -> list[RenderedProduct]:
    """Four products that fill the shelf: for ``small`` of the product's own type, invented where lacking."""
    product, small = shot.product, shot.kind is FailureKind.SMALL
    fitting = [other for other in shot.others if other.type == product.type or not small]
    chosen = [fitting[i] for i in rng.permutation(len(fitting))[:4]]
    world = world_of(product.family)
    while len(chosen) < 4:
        number = len(chosen)
        onset, ending = rng.integers(len(world.onsets)), rng.integers(len(world.endings))
        invented = replace(
            product,
            sku=f"{product.sku}-like-{number}",
            brand=world.onsets[onset] + world.endings[ending],
            layout=world.layouts[number % len(world.layouts)],
            pattern=world.patterns[int(rng.integers(len(world.patterns)))],
            seed=int(rng.integers(2**31)),
        )
        chosen.append(invented)
    return chosen


def _shelf_row(
    pixels: UInt8,
    neighbours: list[RenderedProduct],
    stance: tuple[int, int, float, float],
    hole: tuple[float, float],
    rng: np.random.Generator,
) -> None:
    """Fill one board from left to right, each product a few times, leaving ``hole`` (from, to) free.

    stance: the board's row, rows between boards, pixels of a product of relative height 1, and the pitch.
    """
    board, gap, unit, pitch = stance
    limit, clear = 0.86 * gap, max(2, gap // 120)
    sprites: dict[str, UInt8] = {}
    x = float(rng.uniform(-0.2, 0.0)) * unit
    left = 0
    other = neighbours[0]
    for _ in range(60):
        if left == 0:
            other, left = neighbours[int(rng.integers(len(neighbours)))], int(rng.integers(1, 4))
        if other.sku not in sprites:
            pose = Pose(float(rng.uniform(-14, 14)), pitch, 0)
            edge = min(unit * RELATIVE_HEIGHT[other.type], limit)
            sprites[other.sku] = render_sprite(other, pose, max(12, round(edge)))
        sprite = sprites[other.sku]
        width = sprite.shape[1]
        if x < hole[1] and x + width > hole[0] and hole[1] > hole[0]:
            x, left = hole[1] + 2, 0
            continue
        if x > pixels.shape[1]:
            return
        place(pixels, sprite, round(x), board - sprite.shape[0] - clear)
        x += width * rng.uniform(1.03, 1.14)
        left -= 1


def shake(scene: Scene, rng: np.random.Generator) -> None:
    """Hold the camera askew: a small roll and a keystone, the edges mirrored where the frame looks past."""
    height, width = scene.pixels.shape[:2]
    roll, zoom = radians(float(rng.normal(0, 2.6))), float(rng.uniform(1.03, 1.09))
    corners = np.asarray([(-1, -1), (1, -1), (1, 1), (-1, 1)], dtype=np.float64) * (width / 2, height / 2)
    turn = np.asarray([[cos(roll), -sin(roll)], [sin(roll), cos(roll)]])
    keystone: NDArray[np.float64] = rng.uniform(-0.035, 0.035, (4, 2)) * (width, height)
    centre = np.asarray((width / 2, height / 2))
    target = corners @ turn.T * zoom + keystone + centre
    matrix = cv2.getPerspectiveTransform((corners + centre).astype(np.float32), target.astype(np.float32))
    scene.full_area *= _magnification(np.asarray(matrix, dtype=np.float64), scene.coverage)
    scene.pixels = np.asarray(
        cv2.warpPerspective(scene.pixels, matrix, (width, height), borderMode=cv2.BORDER_REFLECT_101),
        dtype=np.uint8,
    )
    scene.coverage = np.asarray(cv2.warpPerspective(scene.coverage, matrix, (width, height)), dtype=np.uint8)


def _magnification(matrix: NDArray[np.float64], coverage: UInt8) -> float:
    """How many times larger the covered area becomes: the mean of det(H) / w^3, a homography's Jacobian."""
    weight = cv2.resize(coverage, None, fx=0.125, fy=0.125, interpolation=cv2.INTER_AREA).astype(np.float64)
    if not weight.any():
        return 1.0
    y, x = np.mgrid[0 : weight.shape[0], 0 : weight.shape[1]] * 8 + 4
    w = matrix[2, 0] * x + matrix[2, 1] * y + matrix[2, 2]
    return float((weight * np.linalg.det(matrix) / w**3).sum() / weight.sum())
