"""The phones: how a scene becomes a photo (light, colour, blur, noise, compression)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from augment.render.raster import Float, UInt8
from augment.render.seeding import rng_for


@dataclass(frozen=True, slots=True)
class CameraStyle:
    """One phone's habits.

    gains: factors on red, green, blue (its white balance's error). saturation: 1 = true.
    gamma: > 1 lifts the shadows. noise: standard deviation in grey levels. softness_px: blur of a
    960-pixel-wide photo. sharpen: strength of its edge halo. vignette: loss of light in the corners, 0-1.
    jpeg_quality: range drawn from, 1-100.
    """

    name: str
    gains: tuple[float, float, float]
    saturation: float
    gamma: float
    noise: float
    softness_px: float
    sharpen: float
    vignette: float
    jpeg_quality: tuple[int, int]


CAMERAS: Final[dict[str, tuple[CameraStyle, ...]]] = {
    "pretrain": (
        CameraStyle("arno_2", (1.04, 1.00, 0.94), 1.10, 1.05, 3.0, 0.6, 0.4, 0.15, (78, 92)),
        CameraStyle("bex_lite", (0.95, 1.00, 1.06), 0.85, 0.95, 6.5, 1.1, 0.0, 0.30, (55, 75)),
        CameraStyle("corto_max", (1.00, 1.01, 0.99), 1.25, 1.12, 2.0, 0.4, 0.9, 0.08, (84, 95)),
        CameraStyle("dune_s", (1.07, 0.99, 0.88), 0.95, 1.00, 4.5, 0.8, 0.2, 0.22, (65, 85)),
    ),
    "training": (
        CameraStyle("echo_7", (0.98, 1.02, 1.00), 1.05, 1.08, 3.5, 0.7, 0.5, 0.18, (74, 90)),
        CameraStyle("fjord_one", (1.03, 0.98, 1.02), 0.90, 0.98, 5.5, 1.0, 0.1, 0.26, (60, 80)),
        CameraStyle("gaia_x", (0.96, 1.00, 1.03), 1.18, 1.02, 2.6, 0.5, 0.7, 0.12, (80, 94)),
    ),
    "demo": (
        CameraStyle("halo_3", (1.02, 1.00, 0.97), 1.14, 1.10, 2.4, 0.55, 0.6, 0.14, (80, 93)),
        CameraStyle("iris_mini", (0.97, 1.01, 1.05), 0.92, 1.00, 4.8, 0.9, 0.2, 0.24, (64, 82)),
        CameraStyle("juno_pro", (1.05, 1.00, 0.92), 1.02, 1.06, 3.2, 0.65, 0.45, 0.18, (72, 88)),
    ),
}
"""Phones by purpose; no phone of one purpose occurs in another."""

_TILE: Final = 512


def camera_named(name: str) -> CameraStyle:
    """A phone by its own name. :raises ValueError: no such phone."""
    for styles in CAMERAS.values():
        for style in styles:
            if style.name == name:
                return style
    names = ", ".join((*CAMERAS, *(style.name for styles in CAMERAS.values() for style in styles)))
    raise ValueError(f"unknown camera {name!r}; valid purposes and names are: {names}")


def develop(
    scene: UInt8, camera: CameraStyle, rng: np.random.Generator, exposure: float = 1.0, blur_px: float = 0.0
) -> UInt8:
    """Photograph a scene.

    :param scene: uint8 (h, w, 3). exposure: factor on the light, 1 = well lit (a dark photo is noisier too).
    :param blur_px: extra blur of a shaken or unfocused shot, for a 960-pixel-wide photo; half of such
        shots are shaken along one direction.
    :returns: uint8 (h, w, 3), after compression and decompression as JPEG.
    """
    scale = scene.shape[1] / 960
    photo = _unsharp(scene, camera.softness_px * scale, blur_px * scale, rng)
    photo = np.asarray(cv2.transform(photo, _colour_matrix(camera)), dtype=np.uint8)
    light = _light_field(scene.shape[0], scene.shape[1], camera.vignette, rng) * exposure
    lit = np.asarray(cv2.multiply(photo, cv2.merge((light, light, light)), dtype=cv2.CV_8U), dtype=np.uint8)
    noise = camera.noise * (1.0 if exposure > 0.6 else 1.6)
    grained = cv2.add(lit, _noise(scene.shape[0], scene.shape[1], noise, rng), dtype=cv2.CV_8U)
    levels = 255 * (np.arange(256) / 255) ** (1 / camera.gamma)
    photo = np.asarray(cv2.LUT(grained, np.round(levels).astype(np.uint8)), dtype=np.uint8)
    if camera.sharpen and not blur_px:
        soft = cv2.GaussianBlur(photo, (0, 0), 1.4 * max(scale, 0.5))
        photo = np.asarray(cv2.addWeighted(photo, 1 + camera.sharpen, soft, -camera.sharpen, 0), dtype=np.uint8)
    return _compressed(photo, int(rng.integers(camera.jpeg_quality[0], camera.jpeg_quality[1] + 1)))


def _unsharp(scene: UInt8, softness: float, blur_px: float, rng: np.random.Generator) -> UInt8:
    sigma = float(np.hypot(softness, blur_px))
    shaken = blur_px > 0 and rng.random() < 0.5
    if shaken:
        length = max(3, round(blur_px * 3.5))
        kernel = np.zeros((length, length), dtype=np.float32)
        angle, middle = rng.uniform(0, np.pi), (length - 1) / 2
        reach = middle * np.asarray((np.cos(angle), np.sin(angle)))
        ends = np.round(np.asarray((middle - reach, middle + reach))).astype(int)
        cv2.line(kernel, tuple(ends[0].tolist()), tuple(ends[1].tolist()), 1.0, 1)
        scene = np.asarray(cv2.filter2D(scene, -1, kernel / kernel.sum()), dtype=np.uint8)
        sigma = max(softness, blur_px * 0.45)
    if sigma > 4:
        # A wide blur is the same at half the resolution and four times cheaper.
        small = cv2.resize(scene, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
        wide = cv2.GaussianBlur(small, (0, 0), sigma / 2)
        return np.asarray(cv2.resize(wide, (scene.shape[1], scene.shape[0])), dtype=np.uint8)
    return np.asarray(cv2.GaussianBlur(scene, (0, 0), sigma), dtype=np.uint8) if sigma > 0.3 else scene


def _colour_matrix(camera: CameraStyle) -> NDArray[np.float32]:
    """Saturation about Rec. 601 luma, then the gains."""
    luma = np.asarray((0.299, 0.587, 0.114))
    matrix = camera.saturation * np.eye(3) + (1 - camera.saturation) * np.ones((3, 1)) * luma
    return (np.asarray(camera.gains)[:, None] * matrix).astype(np.float32)


def _light_field(height: int, width: int, vignette: float, rng: np.random.Generator) -> Float:
    """Light over the frame: a gradient, a lamp's pool, darker corners, perhaps a shadow's edge."""
    y, x = np.mgrid[-1:1:48j, -1:1:36j].astype(np.float32)
    angle, slope = rng.uniform(0, 2 * np.pi), rng.uniform(0.03, 0.2)
    light = 1 + slope * (x * np.cos(angle) + y * np.sin(angle))
    light -= vignette * 0.5 * (x**2 + y**2)
    pool = np.exp(-((x - rng.uniform(-0.8, 0.8)) ** 2 + (y - rng.uniform(-0.8, 0.8)) ** 2) / 0.5)
    light += rng.uniform(0, 0.16) * pool
    if rng.random() < 0.3:
        turn = rng.uniform(0, 2 * np.pi)
        edge = x * np.cos(turn) + y * np.sin(turn) - rng.uniform(0.2, 0.7)
        light *= 1 - rng.uniform(0.12, 0.3) / (1 + np.exp(-edge * 12))
    return np.asarray(cv2.resize(light, (width, height), interpolation=cv2.INTER_LINEAR), dtype=np.float32)


@lru_cache(maxsize=1)
def _noise_tile() -> Float:
    """Sensor noise of unit spread: mostly luminance, a little blotchy colour."""
    rng = rng_for("sensor noise")
    grey = rng.standard_normal((_TILE, _TILE, 1), dtype=np.float32)
    colour = cv2.GaussianBlur(rng.standard_normal((_TILE, _TILE, 3), dtype=np.float32), (0, 0), 1.2) * 3.0
    return np.asarray(0.85 * grey + 0.5 * np.asarray(colour), dtype=np.float32)


def _noise(height: int, width: int, sigma: float, rng: np.random.Generator) -> NDArray[np.int16]:
    """The tile, shifted and mirrored by ``rng``, repeated over the frame: drawing it afresh costs 40 ms."""
    tile = np.round(_noise_tile() * sigma).astype(np.int16)
    tile = np.roll(tile, rng.integers(_TILE, size=2), axis=(0, 1))[:: rng.choice((-1, 1)), :: rng.choice((-1, 1))]
    return np.ascontiguousarray(np.tile(tile, (-(-height // _TILE), -(-width // _TILE), 1))[:height, :width])


def _compressed(photo: UInt8, quality: int) -> UInt8:
    _, data = cv2.imencode(".jpg", photo[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    decoded = cv2.imdecode(data, cv2.IMREAD_COLOR)
    return np.ascontiguousarray(np.asarray(decoded, dtype=np.uint8)[..., ::-1])
