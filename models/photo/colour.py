"""Any pixel mode a decoder may give -> 8-bit opaque sRGB."""

from __future__ import annotations

from io import BytesIO

import numpy as np
from PIL import Image, ImageCms

_WHITE = (255, 255, 255)


def to_srgb(image: Image.Image, *, reduce_by: int = 1) -> Image.Image:
    """RGB on white, in sRGB.

    image: fully loaded, of any mode; left as it is.
    reduce_by: whole factor by which both edges shrink (mean of each block), before the costly
        conversion of the profile and after transparency is gone.
    Returns an RGB image, which may be ``image`` itself. Without a usable profile the pixels are taken for sRGB, CMYK by
    Pillow's plain formula.
    """
    flat = _opaque(image)
    if reduce_by > 1:
        flat = flat.reduce(reduce_by)
    profile = image.info.get("icc_profile")
    converted = _from_profile(flat, profile) if profile else None
    if converted is not None:
        return converted
    return flat if flat.mode == "RGB" else flat.convert("RGB")  # which would copy it


def _opaque(image: Image.Image) -> Image.Image:
    """The same picture as 8-bit L, RGB or CMYK, transparency laid over white."""
    if image.mode.startswith("I"):
        return _eight_bit(image)
    if image.has_transparency_data:
        coloured = image.convert("RGBA")
        background = Image.new("RGB", image.size, _WHITE)
        background.paste(coloured, mask=coloured.getchannel("A"))
        return background
    if image.mode in ("L", "RGB", "CMYK"):
        return image
    return image.convert("L" if image.mode == "1" else "RGB")


def _eight_bit(image: Image.Image) -> Image.Image:
    """16-bit grey scaled, not clipped: Pillow's own conversion turns all above 255 white."""
    deep = np.asarray(image).astype(np.uint32)
    grey = (np.clip(deep, 0, 65535) * 255 + 32767) // 65535
    clear = image.info.get("transparency")
    if isinstance(clear, int):
        grey[deep == clear] = 255
    return Image.fromarray(grey.astype(np.uint8))


def _from_profile(image: Image.Image, profile: bytes) -> Image.Image | None:
    """Converted to sRGB, or None where the profile is broken or does not fit the picture's mode."""
    try:
        source = ImageCms.ImageCmsProfile(BytesIO(profile))
        target = ImageCms.createProfile("sRGB")
        return ImageCms.profileToProfile(image, source, target, outputMode="RGB")
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return None
