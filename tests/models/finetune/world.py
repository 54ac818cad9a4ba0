"""A small world to fine-tune in: striped photos of a few labels, and a network of three blocks named as Inception's."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from models.backbone.network import load_keras
from models.backbone.weight_files import write_weights
from models.training.finetune.settings import FinetuneSettings
from models.training.finetune.start import StartWeights
from models.training.splits import PhotoPlace, Split

LABELS = ("apple", "bread", "cocoa", "dates")
ROLES = ("train", "train", "train", "train", "validation", "calibration", "test", "hold_out")

QUICK = FinetuneSettings(epochs=2, views=2, input_size=80, batch_size=8, learning_rate=0.003)
"""Two epochs of two steps on small views."""


@dataclass(frozen=True)
class PaintedPhoto:
    """A photo that shows its label as a texture."""

    content_hash: str
    label: str
    data: bytes

    def load(self) -> bytes:
        return self.data


@dataclass(frozen=True)
class UnreadablePhoto:
    """A photo whose bytes nobody may ask for."""

    content_hash: str
    label: str

    def load(self) -> bytes:
        raise FileNotFoundError(f"{self.content_hash} was asked for")


def painted(label: int, seed: int) -> bytes:
    """A PNG whose stripes' width says the label; colours and noise say nothing."""
    rng = np.random.default_rng([label, seed])
    width = 3 * 2**label
    stripes = (np.arange(96) // width + rng.integers(2)) % 2
    colours = rng.integers(0, 256, (2, 3))
    pixels = np.broadcast_to(colours[stripes][None], (96, 96, 3)) + rng.integers(-20, 21, (96, 96, 3))
    out = BytesIO()
    Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(out, "PNG")
    return out.getvalue()


def world(roles: Sequence[str] = ROLES) -> tuple[list[PaintedPhoto], Split]:
    """One photo a label and role, each a scene of its own."""
    photos, places = [], {}
    for code, label in enumerate(LABELS):
        for seed, role in enumerate(roles):
            data = painted(code, seed)
            photo = PaintedPhoto(hashlib.sha256(data).hexdigest(), label, data)
            photos.append(photo)
            places[photo.content_hash] = PhotoPlace(role, 0, len(places))
    return photos, Split(places, 2)


def build_toy() -> Any:
    """Three convolutions where Inception-v3 has its last blocks: any input size -> 2,048 values."""
    _, keras = load_keras()
    keras.utils.set_random_seed(3)
    layers = keras.layers
    pixels = keras.Input((None, None, 3))
    maps = pixels
    for block, shape in {"mixed8": (8, 5, 4), "mixed9": (16, 3, 3), "mixed10": (2048, 1, 3)}.items():
        filters, kernel, stride = shape
        maps = layers.Conv2D(filters, kernel, stride, use_bias=False)(maps)
        maps = layers.BatchNormalization(scale=False)(maps)
        maps = layers.Activation("relu", name=block)(maps)
    return keras.Model(pixels, layers.GlobalAveragePooling2D()(maps))


def toy_start(folder: Path, seen: frozenset[str] = frozenset()) -> StartWeights:
    """The toy network's weights as a start."""
    path = folder / "toy.weights.h5"
    write_weights(build_toy(), path)
    return StartWeights("toy", "toy", "toyspace", hashlib.sha256(b"toy").hexdigest(), seen, path)
