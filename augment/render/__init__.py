"""Products and photos drawn by us: for demonstrations, for tests, for making weights.

``make_catalogue`` invents the products of a family, ``render_view`` photographs one in a studio,
``render_phone_photo`` as a shopper would, and ``render_foreign`` shows what is no product. Arrays are
uint8 (height, width, 3), RGB; everything is deterministic by its arguments. Families, backgrounds and
cameras are disjoint by purpose, so that what is shown is never what was learned from.
"""

from augment.render.backdrops import BACKGROUNDS, BackgroundStyle
from augment.render.cameras import CAMERAS, CameraStyle
from augment.render.families import RenderedProduct, make_catalogue
from augment.render.foreign import FOREIGN_KINDS, render_foreign
from augment.render.phone import PhonePhoto, render_phone_photo, render_phone_scene
from augment.render.scenes import FailureKind
from augment.render.views import VIEW_COUNT, VIEW_NAMES, render_view
from augment.render.worlds import COLOUR_NAMES, FAMILIES, TYPES, WORLDS

__all__ = [
    "BACKGROUNDS",
    "CAMERAS",
    "COLOUR_NAMES",
    "FAMILIES",
    "FOREIGN_KINDS",
    "TYPES",
    "VIEW_COUNT",
    "VIEW_NAMES",
    "WORLDS",
    "BackgroundStyle",
    "CameraStyle",
    "FailureKind",
    "PhonePhoto",
    "RenderedProduct",
    "make_catalogue",
    "render_foreign",
    "render_phone_photo",
    "render_phone_scene",
    "render_view",
]
