"""Catalogue photos: up to eight different views of a product in a studio."""

from __future__ import annotations

from typing import Final

from augment.render.backdrops import studio_backdrop
from augment.render.families import RenderedProduct
from augment.render.raster import UInt8, resize
from augment.render.seeding import rng_for
from augment.render.solids import Pose
from augment.render.sprites import render_sprite
from augment.render.stage import hang, stand

VIEW_NAMES: Final[tuple[str, ...]] = ("front", "left", "right", "above", "pack", "detail", "back", "lying")
"""What each view number shows."""

VIEW_COUNT: Final = len(VIEW_NAMES)

_POSES: Final[dict[str, Pose]] = {
    "front": Pose(0, 3, 0),
    "left": Pose(-36, 8, 0),
    "right": Pose(40, 14, 0),
    "above": Pose(14, 46, -9),
    "pack": Pose(-8, 12, 0),
    "detail": Pose(8, 4, 4),
    "back": Pose(180, 6, 0),
    "lying": Pose(-12, 10, 74),
}
_FILL: Final[dict[str, float]] = {
    "front": 0.84,
    "left": 0.74,
    "right": 0.66,
    "above": 0.78,
    "pack": 0.56,
    "detail": 1.55,
    "back": 0.76,
    "lying": 0.72,
}
"""Share of the frame's edge that the product's larger edge takes."""


def render_view(product: RenderedProduct, view: int, size: int = 480) -> UInt8:
    """One catalogue photo; deterministic by (product, view, size).

    :param view: 0 to ``VIEW_COUNT - 1``, see ``VIEW_NAMES``.
    :param size: edge of the square photo in pixels, >= 64.
    :returns: uint8 (size, size, 3) RGB.
    :raises ValueError: no such view, or ``size`` < 64.
    """
    if not 0 <= view < VIEW_COUNT:
        raise ValueError(f"view must be 0 to {VIEW_COUNT - 1}, got {view}")
    if size < 64:
        raise ValueError(f"size must be at least 64 pixels, got {size}")
    name, rng = VIEW_NAMES[view], rng_for("view", product.seed, view)
    pose, fill = _POSES[name], _FILL[name] * float(rng.uniform(0.95, 1.0))
    pose = Pose(
        pose.yaw + float(rng.uniform(-6, 6)),
        pose.pitch + float(rng.uniform(0, 5)),
        pose.roll + float(rng.uniform(-3, 3)),
    )
    scene = studio_backdrop(view, size, rng)
    sprite = _fitted(product, pose, round(size * fill))
    height = sprite.shape[0]
    lean = float(rng.choice((-1, 1)) * rng.uniform(0.25, 0.5))
    base_y = (size + height) // 2 + size // 40
    if name == "pack":
        _pack(scene, product, pose, sprite, lean)
    elif name == "lying":
        hang(scene, sprite, (size // 2, base_y), 0.5)
    else:
        stand(scene, sprite, (size // 2, base_y), 0.5, lean)
    return scene


def _fitted(product: RenderedProduct, pose: Pose, edge: int) -> UInt8:
    """The sprite with its larger edge ``edge`` pixels long."""
    first = render_sprite(product, pose, edge)
    larger = max(first.shape[:2])
    if larger == edge:
        return first
    factor = edge / larger
    return resize(first, round(first.shape[1] * factor), round(first.shape[0] * factor))


def _pack(scene: UInt8, product: RenderedProduct, pose: Pose, sprite: UInt8, lean: float) -> None:
    """Three of the product, two of them behind and turned a little."""
    size, (height, width) = scene.shape[0], sprite.shape[:2]
    behind = _fitted(product, Pose(pose.yaw + 24, pose.pitch, 0), round(max(height, width) * 0.92))
    base_y = (size + height) // 2 + size // 14
    step = min(round(width * 0.62), round(size * 0.27))
    for side in (-1, 1):
        stand(scene, behind, (size // 2 + side * step, base_y - size // 9), 0.45, lean)
    stand(scene, sprite, (size // 2, base_y), 0.5, lean)
