"""What stands behind products: studio sweeps for catalogue photos, tables and shelves for phone photos."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np

from augment.render.raster import RGB, UInt8, blur, fill_poly, mix, resize, shaded, smooth_noise, solid


@dataclass(frozen=True, slots=True)
class BackgroundStyle:
    """A place to photograph in.

    surface: ``wood``, ``stone``, ``weave``, ``tiles``, ``speckle`` or ``shelf``.
    light, dark: the surface's two colours. wall: what is behind the table or the shelf.
    scale: size of the texture's grain, 1 = usual.
    """

    name: str
    surface: str
    light: RGB
    dark: RGB
    wall: RGB
    scale: float = 1.0


BACKGROUNDS: Final[dict[str, tuple[BackgroundStyle, ...]]] = {
    "pretrain": (
        BackgroundStyle("oak_table", "wood", (196, 154, 104), (150, 108, 66), (206, 200, 190)),
        BackgroundStyle("white_marble", "stone", (228, 226, 222), (176, 174, 172), (190, 200, 206)),
        BackgroundStyle("red_cloth", "weave", (168, 52, 52), (120, 34, 38), (222, 214, 200)),
        BackgroundStyle("white_shelf", "shelf", (226, 226, 224), (150, 152, 156), (176, 180, 184)),
        BackgroundStyle("terracotta_floor", "tiles", (186, 112, 82), (138, 82, 60), (224, 206, 184)),
        BackgroundStyle("asphalt", "speckle", (104, 104, 106), (62, 62, 66), (128, 134, 138), 0.8),
    ),
    "training": (
        BackgroundStyle("walnut_desk", "wood", (118, 80, 54), (74, 48, 32), (164, 168, 160), 1.4),
        BackgroundStyle("green_marble", "stone", (92, 124, 108), (52, 78, 68), (210, 204, 190), 1.3),
        BackgroundStyle("metal_shelf", "shelf", (150, 156, 164), (86, 92, 100), (112, 116, 122)),
        BackgroundStyle("white_kitchen_tiles", "tiles", (224, 228, 228), (184, 188, 190), (214, 216, 210), 0.7),
        BackgroundStyle("grey_carpet", "weave", (140, 138, 136), (106, 104, 104), (196, 190, 184), 0.6),
    ),
    "demo": (
        BackgroundStyle("pine_table", "wood", (226, 190, 132), (196, 152, 92), (176, 186, 196), 0.8),
        BackgroundStyle("dark_granite", "speckle", (86, 82, 84), (34, 34, 38), (198, 190, 178), 1.3),
        BackgroundStyle("blue_gingham", "weave", (212, 222, 236), (86, 118, 176), (232, 226, 214), 2.2),
        BackgroundStyle("birch_shelf", "shelf", (222, 204, 172), (168, 146, 112), (146, 136, 124)),
        BackgroundStyle("sandstone", "stone", (214, 188, 148), (176, 146, 106), (160, 172, 166), 0.7),
    ),
}
"""Places by purpose; no place of one purpose occurs in another."""

_STUDIO: Final[tuple[tuple[RGB, RGB], ...]] = (
    ((250, 250, 250), (236, 236, 237)),
    ((224, 226, 229), (192, 194, 198)),
    ((240, 230, 214), (214, 199, 176)),
    ((206, 218, 232), (166, 182, 202)),
    ((252, 252, 251), (226, 228, 230)),
    ((244, 244, 242), (230, 230, 228)),
    ((222, 230, 214), (186, 200, 178)),
    ((232, 216, 216), (206, 182, 182)),
)


def studio_backdrop(view: int, size: int, rng: np.random.Generator) -> UInt8:
    """A seamless sweep (size, size, 3): wall above, floor below, a soft light from one side."""
    wall, floor = _STUDIO[view % len(_STUDIO)]
    y = np.linspace(0, 1, size, dtype=np.float32)[:, None, None]
    x = np.linspace(-0.5, 0.5, size, dtype=np.float32)[None, :, None]
    bend = 1 / (1 + np.exp(-(y - rng.uniform(0.6, 0.7)) * 14))
    sweep = np.asarray(wall, dtype=np.float32) * (1 - bend) + np.asarray(floor, dtype=np.float32) * bend
    glow = 1 + rng.uniform(-0.06, 0.06) * x - 0.04 * (y - 0.4) ** 2
    return np.clip(sweep * glow + 0.5, 0, 255).astype(np.uint8)


def background_named(name: str) -> BackgroundStyle:
    """A place by its own name. :raises ValueError: no such place."""
    for styles in BACKGROUNDS.values():
        for style in styles:
            if style.name == name:
                return style
    names = ", ".join((*BACKGROUNDS, *(style.name for styles in BACKGROUNDS.values() for style in styles)))
    raise ValueError(f"unknown background {name!r}; valid purposes and names are: {names}")


def draw_table(style: BackgroundStyle, width: int, height: int, horizon: float, rng: np.random.Generator) -> UInt8:
    """A surface that recedes to a wall, which fills the upper ``horizon`` (0-0.5) of (height, width, 3)."""
    half_width, half_height = width // 2, height // 2
    texture = _SURFACES[style.surface](style, half_width, half_height, rng)
    far = 0.35 + 0.5 * (0.5 - horizon)
    edge = half_width * 0.5 / far
    top = horizon * half_height
    source = np.asarray([(0, 0), (half_width, 0), (half_width, half_height), (0, half_height)], dtype=np.float32)
    middle = half_width / 2
    target = np.asarray(
        [
            (middle - edge, top),
            (middle + edge, top),
            (middle + edge / far, half_height),
            (middle - edge / far, half_height),
        ],
        dtype=np.float32,
    )
    matrix = cv2.getPerspectiveTransform(source, target)
    plane = cv2.warpPerspective(texture, matrix, (half_width, half_height), borderMode=cv2.BORDER_REFLECT_101)
    scene = np.array(plane, dtype=np.uint8)
    _draw_wall(scene, style, round(top), rng)
    return resize(scene, width, height)


def _draw_wall(scene: UInt8, style: BackgroundStyle, top: int, rng: np.random.Generator) -> None:
    """An out-of-focus room above the table's far edge."""
    if top < 4:
        return
    width = scene.shape[1]
    wall = solid(top, width, style.wall)
    for _ in range(int(rng.integers(2, 6))):
        x, w = rng.uniform(-0.1, 1) * width, rng.uniform(0.08, 0.35) * width
        y = rng.uniform(0, 0.6) * top
        shade = mix(style.wall, (int(rng.integers(30, 240)),) * 3, rng.uniform(0.15, 0.5))
        fill_poly(wall, [(x, y), (x + w, y), (x + w, top), (x, top)], shade)
    scene[:top] = blur(wall, width * 0.02)
    scene[top : top + 2] = (scene[top : top + 2] * 0.7).astype(np.uint8)


def draw_shelf(style: BackgroundStyle, width: int, height: int, boards: list[int], rng: np.random.Generator) -> UInt8:
    """A shop shelf: the back wall and boards whose upper edges lie at the given rows, with price tags."""
    scene = solid(height, width, mix(style.wall, (20, 20, 24), 0.25))
    thick = max(10, height // 34)
    for board in boards:
        for step in range(10):
            y0, y1 = board + step * height // 90, board + (step + 1) * height // 90
            scene[max(0, y0 + thick) : max(0, y1 + thick)] = mix(style.wall, (10, 10, 12), 0.72 - 0.05 * step)
        fill_poly(
            scene,
            [(0, board - thick), (width, board - thick), (width, board), (0, board)],
            mix(style.light, (0, 0, 0), 0.12),
        )
        fill_poly(scene, [(0, board), (width, board), (width, board + thick), (0, board + thick)], style.light)
        fill_poly(
            scene,
            [(0, board + thick), (width, board + thick), (width, board + thick + 3), (0, board + thick + 3)],
            style.dark,
        )
        x = float(rng.uniform(-0.1, 0.1)) * width
        while x < width:
            tag = width * float(rng.uniform(0.08, 0.13))
            top = board + 1
            fill_poly(scene, [(x, top), (x + tag, top), (x + tag, top + thick), (x, top + thick)], (244, 238, 196))
            for bar in range(3):
                y = top + thick * (0.3 + 0.22 * bar)
                fill_poly(
                    scene,
                    [(x + 4, y), (x + tag * (0.5 + 0.12 * bar), y), (x + tag * 0.6, y + 2), (x + 4, y + 2)],
                    (70, 66, 64),
                )
            x += tag + width * float(rng.uniform(0.05, 0.2))
    noise = 1 + 0.05 * smooth_noise(rng, height // 4, width // 4, 12)
    light = cv2.resize(noise.astype(np.float32), (width, height))
    return shaded(scene, np.asarray(light, dtype=np.float32))


def _blend(style: BackgroundStyle, share: np.ndarray) -> UInt8:
    """Between the style's dark (0) and light (1) colours."""
    light, dark = (np.asarray(c, dtype=np.float32) for c in (style.light, style.dark))
    mixed = dark + np.clip(share, -0.2, 1.2)[..., None].astype(np.float32) * (light - dark)
    return np.clip(mixed, 0, 255).astype(np.uint8)


def _wood(style: BackgroundStyle, width: int, height: int, rng: np.random.Generator) -> UInt8:
    planks = max(2, round(4 / style.scale))
    y = np.linspace(0, planks, height, dtype=np.float32)[:, None]
    tone = rng.uniform(0.45, 0.9, planks + 1)[np.floor(y).astype(int)]
    warp = smooth_noise(rng, height, width, 4)
    grain = np.sin((y * 18 + warp * 5) * 2.0) * 0.12 + np.sin((y * 47 + warp * 9) * 2.0) * 0.07
    texture = _blend(style, tone + grain + 0.12 * smooth_noise(rng, height, width, 30))
    texture[(y[:, 0] % 1.0) < 0.025] = mix(style.dark, (0, 0, 0), 0.45)
    return texture


def _stone(style: BackgroundStyle, width: int, height: int, rng: np.random.Generator) -> UInt8:
    cells = 5 / style.scale
    base = smooth_noise(rng, height, width, max(2, round(cells))) + 0.5 * smooth_noise(
        rng, height, width, round(cells * 3)
    )
    veins = np.exp(-((base / 0.07) ** 2))
    return _blend(style, 0.85 + 0.12 * base - 0.7 * veins + 0.05 * smooth_noise(rng, height, width, 60))


def _weave(style: BackgroundStyle, width: int, height: int, rng: np.random.Generator) -> UInt8:
    pitch = 17 * style.scale
    rows = (np.arange(height) % pitch < pitch / 2)[:, None].astype(np.float32)
    columns = (np.arange(width) % pitch < pitch / 2)[None, :].astype(np.float32)
    threads = 0.06 * np.sin(np.arange(height) * 1.9)[:, None] + 0.06 * np.sin(np.arange(width) * 1.9)[None, :]
    return _blend(style, 0.15 + 0.4 * (rows + columns) + threads + 0.14 * smooth_noise(rng, height, width, 6))


def _tiles(style: BackgroundStyle, width: int, height: int, rng: np.random.Generator) -> UInt8:
    pitch = 120 * style.scale
    row, column = (np.arange(n) / pitch for n in (height, width))
    tone = rng.uniform(0.7, 1.0, (int(row[-1]) + 1, int(column[-1]) + 1))
    share = tone[row.astype(int)[:, None], column.astype(int)[None, :]]
    texture = _blend(style, share + 0.08 * smooth_noise(rng, height, width, 20))
    joint = (row % 1 < 0.035)[:, None] | (column % 1 < 0.035)[None, :]
    texture[joint] = mix(style.dark, (90, 88, 84), 0.5)
    return texture


def _speckle(style: BackgroundStyle, width: int, height: int, rng: np.random.Generator) -> UInt8:
    grains = smooth_noise(rng, height, width, round(90 / style.scale)) + 0.6 * smooth_noise(
        rng, height, width, round(190 / style.scale)
    )
    return _blend(style, 0.4 + 0.5 * grains)


_SURFACES: Final[dict[str, Callable[[BackgroundStyle, int, int, np.random.Generator], UInt8]]] = {
    "wood": _wood, "stone": _stone, "weave": _weave, "tiles": _tiles, "speckle": _speckle,
}  # fmt: skip
