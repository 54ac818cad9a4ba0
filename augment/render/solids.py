"""Bodies in space: surfaces of revolution and boxes, seen by a camera that turns and looks down.

Revolved bodies use parallel projection. With yaw a, downward pitch p and radius r(t) at height t, the
surface point at angle q lies at x = r sin q and y = t cos p - r cos q sin p, so each picture column
inverts y(t) on its own. Boxes are projected with a mild perspective, face by face.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import cos, radians, sin
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from augment.render.raster import RGB, Float, UInt8, ellipse, fill_poly, mix, shaded

SKIN_WIDTH: Final = 1024
"""Pixels of a revolved body's texture around its whole circumference."""

SKIN_HEIGHT: Final = 448
_PROFILE_SAMPLES: Final = 320
_CAMERA_DISTANCE: Final = 5.0
_LIGHT_ANGLE: Final = -0.55
_LIGHT_STEPS: Final = 512


@dataclass(frozen=True, slots=True)
class Pose:
    """How a product stands before the camera, degrees: yaw turns it (positive shows its right side's
    print move left), pitch is how far the camera looks down (0 level, 0-60), roll tilts the picture."""

    yaw: float = 0.0
    pitch: float = 0.0
    roll: float = 0.0


@dataclass(frozen=True, slots=True)
class Revolved:
    """A surface of revolution. profile: (height share, radius in heights), bottom to top.
    top: colour of the lid seen from above. gloss: strength of its reflections. open: a vessel."""

    profile: tuple[tuple[float, float], ...]
    top: RGB
    gloss: float
    open: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Face:
    """A quadrilateral of a box: corners (4, 3) in order top left, top right, bottom right, bottom left."""

    corners: NDArray[np.float64]
    texture: UInt8


def render_revolved(skin: UInt8, shape: Revolved, pose: Pose, height: int) -> UInt8:
    """Draw a revolved body.

    :param skin: uint8 (SKIN_HEIGHT, SKIN_WIDTH, 3), top row first, the front at the middle column.
    :param height: pixels of the drawn body.
    :returns: uint8 (h, w, 4) RGBA, straight alpha, about tight around the body.
    """
    pitch = radians(pose.pitch)
    t = np.linspace(0, 1, _PROFILE_SAMPLES)
    heights, radii = zip(*shape.profile, strict=True)
    r = np.interp(t, heights, radii)
    scale = height / (cos(pitch) + (r[0] + r[-1]) * sin(pitch))
    half = int(np.ceil(r.max() * scale)) + 2
    xs = np.arange(-half, half + 1) / scale
    pad = 3 / scale
    ys = np.arange(cos(pitch) + r[-1] * sin(pitch) + pad, -r[0] * sin(pitch) - pad, -1 / scale)
    t_map = _height_map(xs, ys, t, r, pitch)
    u = np.clip(xs[None, :] / np.interp(t_map, t, r), -1, 1).astype(np.float32)
    map_x = ((np.arcsin(u) + np.float32(radians(pose.yaw))) / np.float32(2 * np.pi) + 0.5) % 1.0 * SKIN_WIDTH
    map_y = (1 - np.clip(t_map, 0, 1)) * (SKIN_HEIGHT - 1)
    colour = cv2.remap(
        skin, map_x.astype(np.float32), map_y.astype(np.float32), cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP
    )
    light, gloss = _lighting(u, shape.gloss)
    body = shaded(np.asarray(colour, dtype=np.uint8), light, gloss)
    alpha = np.where(t_map >= 0, 255, 0).astype(np.uint8)
    centre_y = (ys[0] - cos(pitch)) * scale
    _draw_top(body, alpha, shape, (half, centre_y), (r[-1] * scale, r[-1] * scale * sin(pitch)))
    alpha = np.asarray(cv2.GaussianBlur(alpha, (3, 3), 0.7), dtype=np.uint8)
    return np.dstack((body, alpha))


def _height_map(
    xs: NDArray[np.float64],
    ys: NDArray[np.float64],
    t: NDArray[np.float64],
    r: NDArray[np.float64],
    pitch: float,
) -> Float:
    """Height on the body seen at each pixel (len(ys), len(xs)); -1 where the body is not."""
    depth = np.sqrt(np.maximum(r[None, :] ** 2 - xs[:, None] ** 2, 0))
    inside = r[None, :] > np.abs(xs)[:, None]
    seen = t[None, :] * cos(pitch) - depth * sin(pitch)
    result = np.full((len(ys), len(xs)), -1.0, dtype=np.float32)
    for column in np.flatnonzero(inside.sum(axis=1) >= 2):
        rows = inside[column]
        rising = np.minimum.accumulate(seen[column, rows][::-1])[::-1]  # what overhangs hides what is below
        result[:, column] = np.interp(ys, rising, t[rows], left=-1, right=-1)
    return result


def _lighting(u: Float, gloss: float) -> tuple[Float, Float]:
    """Light and reflection at each pixel, by its place u (-1 left edge, 1 right) across the body.

    Taken from a table of ``_LIGHT_STEPS`` steps: exponentials for every pixel take three times as long.
    """
    steps = np.linspace(-1, 1, _LIGHT_STEPS + 1, dtype=np.float32)
    light = 0.50 + 0.54 * np.maximum(0, np.cos(np.arcsin(steps) - _LIGHT_ANGLE)) - 0.10 * steps**6
    strip = np.exp(-(((steps + 0.52) / 0.09) ** 2)) + 0.45 * np.exp(-(((steps - 0.74) / 0.06) ** 2))
    index = ((u + 1) * (_LIGHT_STEPS / 2) + 0.5).astype(np.intp)
    return light.astype(np.float32)[index], (gloss * strip).astype(np.float32)[index]


def _draw_top(
    body: UInt8, alpha: UInt8, shape: Revolved, centre: tuple[float, float], axes: tuple[float, float]
) -> None:
    if axes[1] < 1.5:
        return
    ellipse(alpha, centre, axes, 255)
    ellipse(body, centre, axes, mix(shape.top, (255, 255, 255), 0.35))
    inner = (axes[0] * 0.93, axes[1] * 0.9)
    if shape.open:
        ellipse(body, centre, inner, mix(shape.top, (20, 18, 16), 0.55))
        ellipse(body, (centre[0], centre[1] + axes[1] * 0.16), (inner[0] * 0.97, inner[1] * 0.8),
                mix(shape.top, (20, 18, 16), 0.32))  # fmt: skip
        return
    ellipse(body, centre, inner, mix(shape.top, (30, 30, 34), 0.22))
    ellipse(body, (centre[0], centre[1] + axes[1] * 0.05), (axes[0] * 0.84, axes[1] * 0.8), shape.top)


def box_faces(size: tuple[float, float, float], textures: dict[str, UInt8]) -> list[Face]:
    """The six faces of an upright box of (width, height, depth), its base at height 0.

    textures: ``front``, ``back``, ``left``, ``right``, ``top``; ``bottom`` is the top again.
    """
    w, h, d = size[0] / 2, size[1], size[2] / 2
    corners = {
        "front": [(-w, h, d), (w, h, d), (w, 0, d), (-w, 0, d)],
        "right": [(w, h, d), (w, h, -d), (w, 0, -d), (w, 0, d)],
        "back": [(w, h, -d), (-w, h, -d), (-w, 0, -d), (w, 0, -d)],
        "left": [(-w, h, -d), (-w, h, d), (-w, 0, d), (-w, 0, -d)],
        "top": [(-w, h, -d), (w, h, -d), (w, h, d), (-w, h, d)],
    }
    return [Face(np.asarray(points, dtype=np.float64), textures[name]) for name, points in corners.items()]


def render_faces(faces: list[Face], pose: Pose, height: int) -> UInt8:
    """Draw a convex body of quadrilaterals (plus thin fins), far faces first.

    :returns: uint8 (h, w, 4) RGBA, the drawn body ``height`` pixels tall.
    """
    turned = [_turned(face.corners, pose) for face in faces]
    flat = [_projected(corners) for corners in turned]
    points = np.concatenate(flat)
    low, high = points.min(axis=0), points.max(axis=0)
    scale = height / (high[1] - low[1])
    width_px, height_px = (int(np.ceil(edge * scale)) + 6 for edge in high - low)
    colour = np.zeros((height_px, width_px, 3), dtype=np.uint8)
    alpha = np.zeros((height_px, width_px), dtype=np.uint8)
    for index in np.argsort([corners[:, 2].mean() for corners in turned]):
        target = np.column_stack(((flat[index][:, 0] - low[0]) * scale + 3, (high[1] - flat[index][:, 1]) * scale + 3))
        if _signed_area(target) > 1:
            _draw_face(colour, alpha, faces[index].texture, turned[index], target)
    return np.dstack((colour, alpha))


def _turned(corners: NDArray[np.float64], pose: Pose) -> NDArray[np.float64]:
    yaw, pitch = radians(-pose.yaw), radians(pose.pitch)
    x = corners[:, 0] * cos(yaw) + corners[:, 2] * sin(yaw)
    z = -corners[:, 0] * sin(yaw) + corners[:, 2] * cos(yaw)
    y = corners[:, 1] - 0.5
    return np.column_stack((x, y * cos(pitch) - z * sin(pitch), y * sin(pitch) + z * cos(pitch)))


def _projected(corners: NDArray[np.float64]) -> NDArray[np.float64]:
    return corners[:, :2] / (1 - corners[:, 2:] / _CAMERA_DISTANCE)


def _signed_area(points: NDArray[np.float64]) -> float:
    x, y = points.T
    return float(np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y) / 2)


def _draw_face(
    colour: UInt8, alpha: UInt8, texture: UInt8, corners: NDArray[np.float64], target: NDArray[np.float64]
) -> None:
    normal = np.cross(corners[3] - corners[0], corners[1] - corners[0])
    normal /= np.linalg.norm(normal) + 1e-9
    light = np.float32(0.66 + 0.40 * max(0.0, float(normal @ np.asarray((-0.42, 0.5, 0.76)))))
    left, top = (int(v) for v in np.floor(target.min(axis=0)) - 1)
    right, bottom = (int(v) for v in np.ceil(target.max(axis=0)) + 2)
    left, top = max(left, 0), max(top, 0)
    part, covered = colour[top:bottom, left:right], alpha[top:bottom, left:right]
    local = (target - (left, top)).astype(np.float32)
    h, w = texture.shape[:2]
    source = np.asarray([(0, 0), (w, 0), (w, h), (0, h)], dtype=np.float32)
    size = (part.shape[1], part.shape[0])
    matrix = cv2.getPerspectiveTransform(source, local)
    drawn = cv2.warpPerspective(texture, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    mask = np.zeros(covered.shape, dtype=np.uint8)
    fill_poly(mask, [(float(x), float(y)) for x, y in local], 255)
    rows = np.arange(top, top + size[1], dtype=np.float32)[:, None, None] / colour.shape[0]
    lit = np.minimum(np.asarray(drawn) * (light * (1.04 - 0.1 * rows)), 255)
    share = mask[..., None].astype(np.float32) / 255
    # Where nothing was drawn yet the edge keeps the face's own colour: its alpha alone softens it.
    ground = np.where(covered[..., None] > 0, part, lit)
    part[...] = ground + share * (lit - ground) + 0.5
    np.maximum(covered, mask, out=covered)
