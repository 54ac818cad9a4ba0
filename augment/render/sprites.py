"""One product in one pose, cut out: the only place that knows how each type is built."""

from __future__ import annotations

from functools import lru_cache
from math import cos, pi, radians, sin
from typing import Final

import cv2
import numpy as np

from augment.render.families import RenderedProduct
from augment.render.flats import flat_front, tilt_flat
from augment.render.labels import back_label, design_of, front_label
from augment.render.raster import RGB, UInt8, blur, ellipse, line, luminance, mix, resize, solid
from augment.render.solids import (
    SKIN_HEIGHT,
    SKIN_WIDTH,
    Face,
    Pose,
    Revolved,
    box_faces,
    render_faces,
    render_revolved,
)  # fmt: skip

_METAL: Final[RGB] = (196, 199, 204)
_WHITE: Final[RGB] = (245, 245, 243)

RELATIVE_HEIGHT: Final[dict[str, float]] = {
    "can": 0.62, "carton": 0.95, "bottle": 1.1, "box": 0.95, "jar": 0.6, "pouch": 0.95, "tube": 0.8,
    "shirt": 1.1, "shoe": 0.52, "mug": 0.52,
}  # fmt: skip
"""Height of a type beside the others, so that a can does not tower over a carton."""

_PROFILES: Final[dict[str, tuple[tuple[float, float], ...]]] = {
    "can": ((0, 0.21), (0.025, 0.25), (0.06, 0.27), (0.90, 0.27), (0.955, 0.235), (0.965, 0.245), (1, 0.245)),
    "bottle": (
        (0, 0.145),
        (0.02, 0.16),
        (0.58, 0.16),
        (0.64, 0.155),
        (0.72, 0.12),
        (0.80, 0.062),
        (0.88, 0.055),
        (0.885, 0.068),
        (1, 0.066),
    ),
    "jar": (
        (0, 0.31),
        (0.04, 0.345),
        (0.70, 0.345),
        (0.77, 0.31),
        (0.79, 0.305),
        (0.795, 0.33),
        (0.985, 0.33),
        (1, 0.32),
    ),
    "mug": ((0, 0.36), (0.05, 0.415), (0.95, 0.42), (1, 0.425)),
}
_LABEL_ROWS: Final[dict[str, tuple[float, float]]] = {
    "can": (0.055, 0.915), "bottle": (0.08, 0.60), "jar": (0.10, 0.70), "mug": (0.10, 0.93),
}  # fmt: skip
_BOX_SIZES: Final[dict[str, tuple[float, float, float]]] = {
    "box": (0.68, 1.0, 0.25),
    "carton": (0.44, 0.74, 0.40),
}


def render_sprite(product: RenderedProduct, pose: Pose, height: int) -> UInt8:
    """Draw one product, cut out.

    :param height: pixels the product is tall before its roll, >= 8; soft things seen askew a tenth less.
    :returns: uint8 (h, w, 4) RGBA with straight alpha, tight around the product.
    :raises ValueError: ``height`` < 8.
    """
    if height < 8:
        raise ValueError(f"height must be at least 8 pixels, got {height}")
    if product.type in _PROFILES:
        shape = _shape(product)
        sprite = render_revolved(_skin(product), shape, pose, height)
        if product.type == "mug":
            sprite = _with_handle(sprite, design_of(product).main, pose)
    elif product.type in _BOX_SIZES:
        sprite = render_faces(_faces(product), pose, height)
    else:
        sprite = tilt_flat(_flat(product, abs((pose.yaw + 180) % 360 - 180) > 90), pose, height)
    return trimmed(_rolled(sprite, pose.roll) if pose.roll else sprite)


def over(under: UInt8, upper: UInt8) -> UInt8:
    """Lay one RGBA picture over another of the same size (h, w, 4)."""
    alpha = upper[..., 3].astype(np.float32) / 255
    ground = under[..., :3].copy()
    bare = under[..., 3] == 0
    ground[bare] = upper[..., :3][bare]
    weights = cv2.merge((alpha, alpha, alpha))
    blended = ground + weights * (upper[..., :3].astype(np.float32) - ground) + 0.5
    return np.dstack((blended.astype(np.uint8), np.maximum(under[..., 3], upper[..., 3])))


def trimmed(sprite: UInt8) -> UInt8:
    """Cut away the empty margin."""
    x, y, width, height = cv2.boundingRect(np.ascontiguousarray(sprite[..., 3]))
    return sprite[y : y + max(1, height), x : x + max(1, width)]


def _rolled(sprite: UInt8, degrees: float) -> UInt8:
    height, width = sprite.shape[:2]
    angle = radians(degrees)
    new_width = int(abs(width * cos(angle)) + abs(height * sin(angle))) + 2
    new_height = int(abs(width * sin(angle)) + abs(height * cos(angle))) + 2
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 1.0)
    matrix[:, 2] += ((new_width - width) / 2, (new_height - height) / 2)
    turned = cv2.warpAffine(sprite, matrix, (new_width, new_height), flags=cv2.INTER_LINEAR)
    return np.asarray(turned, dtype=np.uint8)


@lru_cache(maxsize=64)
def _flat(product: RenderedProduct, back: bool) -> UInt8:
    return np.ascontiguousarray(trimmed(flat_front(product, back)))


def _shape(product: RenderedProduct) -> Revolved:
    design = design_of(product)
    top, gloss = {
        "can": (_METAL, 0.34),
        "bottle": (design.accent, 0.40),
        "jar": (design.accent, 0.32),
        "mug": (design.main, 0.28),
    }[product.type]
    return Revolved(_PROFILES[product.type], top, gloss, open=product.type == "mug")


@lru_cache(maxsize=64)
def _skin(product: RenderedProduct) -> UInt8:
    """The texture around a revolved body: base bands, then the label with its front in the middle."""
    design = design_of(product)
    low, high = _LABEL_ROWS[product.type]
    skin = solid(SKIN_HEIGHT, SKIN_WIDTH, {"can": _METAL}.get(product.type, design.main))
    row = {share: round((1 - share) * SKIN_HEIGHT) for share in (0.94, 0.885, 0.79, 0.70, low, high)}
    if product.type == "bottle":
        skin[row[high] :] = mix(design.main, (255, 255, 255), 0.10)
        _ribbed(skin, 0, row[0.885], design.accent)
    elif product.type == "jar":
        skin[row[high] :] = mix(design.fruit, (20, 10, 10), 0.12)
        skin[row[0.79] : row[high]] = mix(design.fruit, (255, 255, 255), 0.35)
        _ribbed(skin, 0, row[0.79], design.accent)
    label = _wrap(product, row[low] - row[high])
    skin[row[high] : row[low]] = label
    if product.type in ("bottle", "jar"):
        for edge in (row[high], row[low] - 2):
            skin[edge : edge + 2] = mix(design.main, (0, 0, 0), 0.35)
    return skin


def _ribbed(skin: UInt8, start: int, stop: int, colour: RGB) -> None:
    ribs = 1 - 0.16 * (np.arange(SKIN_WIDTH) % 16 < 6)
    skin[start:stop] = np.clip(np.asarray(colour) * ribs[:, None], 0, 255).astype(np.uint8)
    skin[stop - 3 : stop] = mix(colour, (0, 0, 0), 0.4)


def _wrap(product: RenderedProduct, height: int) -> UInt8:
    """Label around the whole body (height, SKIN_WIDTH, 3); the drawn width follows the real girth."""
    low, high = _LABEL_ROWS[product.type]
    radius = max(r for _, r in _PROFILES[product.type])
    girth_px = 2 * pi * radius / (high - low) * height
    front_width = round(girth_px * 0.40)
    front, back = front_label(product, front_width, height), back_label(product, front_width, height)
    to_skin = SKIN_WIDTH / girth_px
    front, back = (resize(art, round(front_width * to_skin), height) for art in (front, back))
    label = solid(height, SKIN_WIDTH, design_of(product).main)
    start = (SKIN_WIDTH - front.shape[1]) // 2
    label[:, start : start + front.shape[1]] = front
    half = back.shape[1] // 2
    label[:, :half], label[:, -half:] = back[:, half : 2 * half], back[:, :half]
    return label


def _with_handle(sprite: UInt8, colour: RGB, pose: Pose) -> UInt8:
    """A mug's handle at its right; it turns with the mug and hides behind it."""
    height, width = sprite.shape[:2]
    angle = radians(90 - pose.yaw)
    reach, margin = sin(angle), round(width * 0.36)
    canvas = np.zeros((height, width + 2 * margin, 4), dtype=np.uint8)
    canvas[:, margin : margin + width] = sprite
    if abs(reach) < 0.12:
        return canvas
    colours = solid(canvas.shape[0], canvas.shape[1], mix(colour, (20, 20, 24), 0.3))
    outline = np.zeros(canvas.shape[:2], dtype=np.uint8)
    x = margin + width / 2 + reach * width * 0.49
    y = height * (0.5 + 0.05 * sin(radians(pose.pitch)))
    axes, thick = (abs(reach) * width * 0.25, height * 0.25), width * 0.085
    ellipse(outline, (x, y), axes, 255, thick)
    for shade, share in ((0.12, 0.72), (0.0, 0.4)):
        lift = thick * (1 - share) * 0.3
        ellipse(colours, (x - lift, y - lift), axes, mix(colour, (20, 20, 24), shade), thick * share)
    handle = np.dstack((colours, outline))
    return over(handle, canvas) if cos(angle) < 0.35 else over(canvas, handle)


@lru_cache(maxsize=64)
def _faces(product: RenderedProduct) -> list[Face]:
    design = design_of(product)
    width, height, depth = _BOX_SIZES[product.type]
    pixels = 440 / height
    front = front_label(product, round(width * pixels), 440)
    side = back_label(product, round(depth * pixels), 440)
    lid = solid(round(depth * pixels), round(width * pixels), design.main)
    mid = lid.shape[0] // 2
    line(lid, [(0, mid), (lid.shape[1], mid)], mix(design.main, (0, 0, 0), 0.45), 2)
    back = _with_edges(back_label(product, round(width * pixels), 440))
    front, side = _with_edges(front), _with_edges(side)
    textures = {"front": front, "back": back, "left": side, "right": side, "top": lid}
    faces = box_faces((width, height, depth), textures)
    return faces if product.type == "box" else faces[:4] + _gable(product)


def _with_edges(texture: UInt8) -> UInt8:
    """Darken a printed board's edges a little, where it is folded."""
    height, width = texture.shape[:2]
    mask = np.full((height, width), 255, dtype=np.uint8)
    mask[2:-2, 2:-2] = 0
    soft = blur(mask, 2.0)[..., None].astype(np.float32) / 255
    return (texture * (1 - 0.35 * soft)).astype(np.uint8)


def _gable(product: RenderedProduct) -> list[Face]:
    """The sloping top of a milk carton, its side triangles and the sealed fin."""
    design = design_of(product)
    width, base, depth = _BOX_SIZES["carton"]
    w, d, ridge, fin = width / 2, depth / 2, 0.91, 1.0
    slope = solid(90, 200, design.accent if luminance(design.accent) > 60 else design.tint)
    ellipse(slope, (100, 48), (26, 26), _WHITE)
    ellipse(slope, (100, 48), (26, 26), (150, 150, 150), 2)
    plain = solid(60, 200, design.tint)
    quads = (
        ([(-w, ridge, 0), (w, ridge, 0), (w, base, d), (-w, base, d)], slope),
        ([(w, ridge, 0), (-w, ridge, 0), (-w, base, -d), (w, base, -d)], slope),
        ([(w, ridge, 0.004), (w, ridge, -0.004), (w, base, -d), (w, base, d)], plain),
        ([(-w, ridge, -0.004), (-w, ridge, 0.004), (-w, base, d), (-w, base, -d)], plain),
        ([(-w, fin, 0.012), (w, fin, 0.012), (w, ridge, 0.012), (-w, ridge, 0.012)], plain),
        ([(w, fin, -0.012), (-w, fin, -0.012), (-w, ridge, -0.012), (w, ridge, -0.012)], plain),
    )
    return [Face(np.asarray(points, dtype=np.float64), texture) for points, texture in quads]
