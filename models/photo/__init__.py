"""Photo intake: bytes of any kind in, an upright sRGB ``Photo`` with advice out, or a clear error."""

from models.photo.reading import DEFAULT_LIMITS, PhotoLimits, open_upright, read_photo

__all__ = ["DEFAULT_LIMITS", "PhotoLimits", "open_upright", "read_photo"]
