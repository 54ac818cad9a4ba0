"""Makes the small HEIC files beside it. Pickture itself only decodes HEIC, so this needs an encoder:

    python -m venv /tmp/encoder && /tmp/encoder/bin/pip install pillow-heif==1.8.1
    /tmp/encoder/bin/python tests/models/data/make_heic.py

pillow-heif (whose wheels bundle the GPL encoder x265) is used for this alone and is no dependency.
The picture is four flat quadrants, red green / blue yellow, so every turn and mirroring shows.
"""

from __future__ import annotations

from pathlib import Path

import pillow_heif
from PIL import Image

HERE = Path(__file__).parent
UPRIGHT = (96, 64)
ORIENTATION_TAG = 0x0112

# How a camera that stands like this stores the upright picture: the inverse of what EXIF asks for.
STORED_AS = {
    1: None,
    3: Image.Transpose.ROTATE_180,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    8: Image.Transpose.ROTATE_270,
}


def quadrants(mode: str = "RGB") -> Image.Image:
    width, height = UPRIGHT
    image = Image.new(mode, UPRIGHT)
    boxes = [(0, 0), (width // 2, 0), (0, height // 2), (width // 2, height // 2)]
    colours = [(220, 30, 30), (30, 180, 30), (30, 30, 220), (230, 220, 40)]
    for (x, y), colour in zip(boxes, colours, strict=True):
        fill = colour if mode == "RGB" else (*colour, 0 if (x, y) == (0, 0) else 255)
        image.paste(fill, (x, y, x + width // 2, y + height // 2))
    return image


def main() -> None:
    pillow_heif.register_heif_opener()
    for orientation, step in STORED_AS.items():
        stored = quadrants() if step is None else quadrants().transpose(step)
        exif = Image.Exif()
        exif[ORIENTATION_TAG] = orientation
        stored.save(HERE / f"orientation_{orientation}.heic", exif=exif.tobytes(), quality=90)
    quadrants("RGBA").save(HERE / "transparent.heic", quality=90)
    few = [quadrants().transpose(Image.Transpose.ROTATE_180) for _ in range(2)]
    quadrants().save(HERE / "three_pictures.heic", save_all=True, append_images=few, quality=90)


if __name__ == "__main__":
    main()
