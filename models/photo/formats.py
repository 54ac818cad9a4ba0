"""Which of the four formats came, its header, and its one decode; no failure but a ``PhotoError``.

Pillow's decoders are called by class, not through ``Image.open``: only these formats can be reached,
whatever other plugins a process has registered, and the process-wide ``Image.MAX_IMAGE_PIXELS``
neither warns nor needs changing (``models.photo`` checks the header against its own limit). HEIC is
decoded by pi-heif directly, without registering it in Pillow.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO
from typing import Protocol

from PIL import ExifTags, Image, ImageChops
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.WebPImagePlugin import WebPImageFile

from models.errors import PhotoDamaged, PhotoError, PhotoFormatUnsupported, PhotoTooLarge

_HEIC_BRANDS = frozenset((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"))
_AVIF_BRANDS = frozenset((b"avif", b"avis"))
_SWAPPING = frozenset((5, 6, 7, 8))

_OTHERS = (
    (b"GIF8", "GIF"),
    (b"BM", "BMP"),
    (b"II*\x00", "TIFF"),
    (b"MM\x00*", "TIFF"),
    (b"%PDF", "PDF"),
    (b"8BPS", "Photoshop"),
    (b"\x00\x00\x00\x0cJXL ", "JPEG XL"),
    (b"\xff\x0a", "JPEG XL"),
    (b"\x00\x00\x00\x0cjP  ", "JPEG 2000"),
    (b"<", "HTML, SVG or XML"),
)
"""First bytes of formats that are often sent by mistake, to name them in the refusal."""


class OpenedPhoto(Protocol):
    """A photo whose header has been read. ``load`` may be called once."""

    @property
    def format(self) -> str:
        """``jpeg``, ``png``, ``webp`` or ``heic``."""
        ...

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) of the header, before orientation."""
        ...

    @property
    def frames(self) -> int:
        """Frames or pictures in the file, at least 1."""
        ...

    @property
    def orientation(self) -> int:
        """EXIF orientation still to be applied, 1 to 8; known once loaded."""
        ...

    @property
    def swaps_edges(self) -> bool:
        """Whether that orientation exchanges width and height."""
        ...

    def load(self, factor: int) -> Image.Image:
        """Decode everything, at an edge reduced by up to ``factor`` where the format can."""
        ...


def sniff_format(data: bytes) -> str:
    """``jpeg``, ``png``, ``webp`` or ``heic``, by the first bytes alone.

    :raise PhotoFormatUnsupported: anything else, named where it is a well-known format.
    """
    if data.startswith(b"\xff\xd8\xff"):
        return "jpeg"
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "png"
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return "webp"
    found = "of an unknown format"
    if data[4:8] == b"ftyp":
        brands = _brands(data)
        if brands & _HEIC_BRANDS:
            return "heic"
        found = "AVIF" if brands & _AVIF_BRANDS else "a film or another ISO media file"
    for magic, name in _OTHERS:
        if data.startswith(magic):
            found = name
            break
    raise PhotoFormatUnsupported(
        f"The file is {found}; a photo must be JPEG, PNG, WebP or HEIC, whatever its name says. "
        "Convert it or take the photo again."
    )


def _brands(data: bytes) -> frozenset[bytes]:
    """Major and compatible brands of an ISO media file (ISO/IEC 14496-12, 4.3)."""
    box = data[: min(int.from_bytes(data[:4], "big"), 256)]
    return frozenset([data[8:12], *(box[at : at + 4] for at in range(16, len(box) - 3, 4))])


@contextmanager
def decoding(kind: str, size_bytes: int) -> Iterator[None]:
    """Whatever a decoder raises inside becomes a ``PhotoError``; its own text stays in ``__cause__``."""
    try:
        yield
    except PhotoError:
        raise
    except (MemoryError, Image.DecompressionBombError) as cause:
        raise PhotoTooLarge(
            f"The {kind.upper()} photo needs more memory than can be had. Send it at a smaller size."
        ) from cause
    except Exception as cause:
        # Decoders meet hostile bytes with every kind of exception, so no shorter list is safe.
        raise PhotoDamaged(
            f"The file starts as {kind.upper()}, but its {size_bytes:,} bytes cannot be decoded to the end: "
            "it was cut short or altered on the way. Send the original file or take the photo again."
        ) from cause


def open_header(data: bytes, kind: str) -> OpenedPhoto:
    """Read the header only. Call it inside ``decoding``: decoders' own exceptions come through."""
    opened: OpenedPhoto = _HeicPhoto(data) if kind == "heic" else _PillowPhoto(data, kind)
    width, height = opened.size
    if width < 1 or height < 1:
        raise PhotoDamaged(
            f"The header says {width} x {height} pixels; a photo has at least 1 x 1. Send the original file."
        )
    return opened


class _PillowPhoto:
    """JPEG, PNG or WebP."""

    def __init__(self, data: bytes, kind: str) -> None:
        self.format = kind
        self.orientation = 1
        # A multi-picture JPEG opens as a plain one: its first picture is the photo, and a damaged
        # index of the others (depth, gain map) costs nothing.
        self._image = _DECODERS[kind](BytesIO(data))
        self.size = self._image.size
        self.frames = int(getattr(self._image, "n_frames", 1))

    @property
    def swaps_edges(self) -> bool:
        return self.orientation in _SWAPPING

    def load(self, factor: int) -> Image.Image:
        image = self._image
        if isinstance(image, JpegImageFile) and factor > 1:
            width, height = self.size
            image.draft(None, (-(-width // factor), -(-height // factor)))
        image.load()
        self.orientation = _exif_orientation(image)
        if isinstance(image, JpegImageFile) and image.mode == "CMYK" and "adobe" not in image.info:
            # Pillow takes every CMYK JPEG for Adobe's, which store 255 - ink.
            inverted = ImageChops.invert(image)
            inverted.info = image.info
            return inverted
        return image


_DECODERS: dict[str, Callable[[BytesIO], JpegImageFile | PngImageFile | WebPImageFile]] = {
    "jpeg": JpegImageFile,
    "png": PngImageFile,
    "webp": WebPImageFile,
}


def _exif_orientation(image: Image.Image) -> int:
    """Orientation of EXIF (or XMP), 1 where there is none or it makes no sense."""
    try:
        value = image.getexif().get(ExifTags.Base.Orientation)
    except Exception:  # noqa: BLE001 - see below
        # Broken metadata, of any kind, says nothing of the pixels, which have just been decoded whole.
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


class _HeicPhoto:
    """HEIC. libheif applies the container's rotation and mirroring; EXIF only repeats them."""

    format = "heic"
    orientation = 1
    swaps_edges = False

    def __init__(self, data: bytes) -> None:
        import pi_heif  # here, so that its native library is loaded only where a HEIC comes

        self._file = pi_heif.HeifFile(data, convert_hdr_to_8bit=True)
        self.size: tuple[int, int] = self._file.size
        self.frames = len(self._file)

    def load(self, factor: int) -> Image.Image:
        image: Image.Image = self._file.to_pillow()
        image.info = {"icc_profile": self._file.info.get("icc_profile")}
        return image
