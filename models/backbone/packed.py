"""Packed weights: everything one backbone is made of in one small file, numbers only.

An npz without pickle. Its members, all checked against what Inception-v3 needs before a byte of them is
unpacked:

    about                 JSON as bytes: format, encoding, card
    projection            (2048, 256), float16 where that loses nothing, else float32
    seen                  uint8 (n, 32), the SHA-256 of every photo the weights were trained on, sorted
    LAYER/0 ... LAYER/n   float32 arrays of a layer; with ``int8`` a convolution kernel is int8 instead,
    LAYER/scale           with float32 scales, one an output channel

What is read equals what was written, bit for bit, but for the kernels of ``int8``, which come back as scale
times an 8-bit number (``models.backbone.quantise``). Equal content makes equal bytes.
"""

from __future__ import annotations

import json
import math
import os
import re
import tempfile
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from models.backbone.network import LayerSpec
from models.backbone.quantise import dequantise_kernel, quantise_kernel
from models.backbone.weight_files import LayerArrays
from models.errors import UsageError, WeightsMismatch
from models.values import BOTTLENECK_SIZE, PROJECTED_SIZE, Float32, UInt8

Encoding = Literal["int8", "float32"]

PACKED_FORMAT: Final = 1
MAX_ABOUT_BYTES: Final = 1 << 20
MAX_SEEN: Final = 2_000_000
"""Photos a file may list: 64 MB unpacked."""

_ABOUT, _PROJECTION, _SEEN = "about", "projection", "seen"
_PROJECTION_SHAPE: Final = (BOTTLENECK_SIZE, PROJECTED_SIZE)
_HASH_BYTES: Final = 32
_HASH: Final = re.compile(r"[0-9a-f]{64}")
_HEADER_BYTES: Final = 1024
"""Ample for the header NumPy writes before an array (128 bytes)."""

_UNREADABLE: Final = (
    OSError,
    EOFError,
    ValueError,
    TypeError,
    KeyError,
    RuntimeError,  # zipfile's word for an encrypted member
    NotImplementedError,
    zipfile.BadZipFile,
    zlib.error,
)


@dataclass(frozen=True, slots=True, eq=False)
class PackedWeights:
    """One backbone.

    arrays: float32, one list a layer in the order of ``network.weighted_layers`` (convolution: kernel
        (height, width, in, out); batch norm: beta, moving mean, moving variance).
    projection: float32 (2048, 256); see ``models.backbone.projection``.
    seen: content hashes (SHA-256 of the photo files' bytes, 64 hex digits) the weights were trained on.
    card: plain data for people: ``name`` (required), recipe, seeds and so on.
    """

    arrays: LayerArrays
    projection: Float32
    seen: frozenset[str]
    card: Mapping[str, Any]


def write_packed(path: Path, weights: PackedWeights, specs: Sequence[LayerSpec], encoding: Encoding) -> None:
    """Write ``path`` whole or not at all (temporary name, fsync, rename).

    specs: the layers ``weights.arrays`` belong to, in network order. encoding: of convolution kernels.
    :raise UsageError: arrays, projection, hashes or card that ``read_packed`` would refuse, or another encoding.
    """
    if encoding not in get_args(Encoding):
        raise UsageError(f"encoding {encoding!r} came; expected {' or '.join(get_args(Encoding))}")
    members = {
        _ABOUT: _about(weights.card, encoding),
        _PROJECTION: _smallest(_projection(weights.projection)),
        _SEEN: _hash_rows(weights.seen),
    }
    for spec, values in zip(specs, _fitting(weights.arrays, specs), strict=True):
        for index, value in enumerate(values):
            if encoding == "int8" and _is_kernel(spec.shapes[index]):
                members[f"{spec.name}/{index}"], members[f"{spec.name}/scale"] = quantise_kernel(value)
            else:
                members[f"{spec.name}/{index}"] = np.ascontiguousarray(value, dtype=np.float32)
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}-", delete=False) as file:
        temporary = Path(file.name)
        try:
            np.savez_compressed(file, allow_pickle=False, **members)
            file.flush()
            os.fsync(file.fileno())
            temporary.chmod(0o644)  # a temporary file is private
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


def read_packed(path: Path, specs: Sequence[LayerSpec]) -> PackedWeights:
    """The backbone in ``path``.

    specs: the layers expected, in network order.
    :raise WeightsMismatch: not a packed file, another format, members missing, too many, too large or of another
        shape or type, NaN or infinity; the message names the first.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            reader = _Reader(path, archive)
            encoding, card = reader.about()
            reader.expect_members(_expected(specs, encoding))
            arrays = [
                [reader.layer_array(spec, index, encoding) for index in range(len(spec.shapes))] for spec in specs
            ]
            projection = reader.array(_PROJECTION, _PROJECTION_SHAPE, (np.float16, np.float32))
            seen = reader.array(_SEEN, (None, _HASH_BYTES), (np.uint8,))
    except _UNREADABLE as error:
        raise WeightsMismatch(f"{path} is not a readable file of packed weights ({error})") from error
    return PackedWeights(arrays, projection.astype(np.float32), frozenset(bytes(row).hex() for row in seen), card)


class _Reader:
    """Members of an open archive, each checked before it is unpacked."""

    def __init__(self, path: Path, archive: zipfile.ZipFile) -> None:
        self._path = path
        self._archive = archive

    def expect_members(self, expected: set[str]) -> None:
        found = [name.removesuffix(".npy") for name in self._archive.namelist()]
        missing, extra = sorted(expected - set(found)), sorted(set(found) - expected)
        if missing:
            raise WeightsMismatch(f"{self._path} lacks {missing[0]} (of {len(expected)} members): is it Inception-v3?")
        if extra or len(found) != len(expected):
            raise WeightsMismatch(f"{self._path} holds {(extra or ['a member twice'])[0]}, which is not expected")

    def about(self) -> tuple[Encoding, Mapping[str, Any]]:
        """Encoding and card."""
        data = json.loads(self.array(_ABOUT, (None,), (np.uint8,), MAX_ABOUT_BYTES).tobytes())
        if not isinstance(data, dict) or data.get("format") != PACKED_FORMAT:
            found = data.get("format") if isinstance(data, dict) else None
            raise WeightsMismatch(
                f"{self._path} has format {found}, expected {PACKED_FORMAT}: written by another version"
            )
        encoding: Encoding | None = data.get("encoding")
        card = data.get("card")
        if (
            encoding is None
            or encoding not in get_args(Encoding)
            or not isinstance(card, dict)
            or not isinstance(card.get("name"), str)
        ):
            raise WeightsMismatch(f"{self._path}: encoding {encoding!r} or card is not what this version writes")
        return encoding, card

    def layer_array(self, spec: LayerSpec, index: int, encoding: Encoding) -> Float32:
        """One float32 array of a layer."""
        shape, name = spec.shapes[index], f"{spec.name}/{index}"
        if encoding == "int8" and _is_kernel(shape):
            scales = self.array(f"{spec.name}/scale", shape[-1:], (np.float32,))
            return dequantise_kernel(self.array(name, shape, (np.int8,)), scales)
        return self.array(name, shape, (np.float32,))

    def array(
        self,
        name: str,
        shape: tuple[int | None, ...],
        kinds: tuple[type[np.generic], ...],
        limit: int = MAX_SEEN * _HASH_BYTES,
    ) -> NDArray[Any]:
        """The array ``name``; None in ``shape`` stands for any length within ``limit`` bytes."""
        try:
            info = self._archive.getinfo(f"{name}.npy")
        except KeyError as error:
            raise WeightsMismatch(f"{self._path} lacks {name}: is it a file of packed weights?") from error
        if None not in shape:
            limit = math.prod(n or 0 for n in shape) * max(np.dtype(kind).itemsize for kind in kinds)
        if info.file_size > limit + _HEADER_BYTES:
            raise WeightsMismatch(
                f"{self._path}: {name} says it is {info.file_size} bytes, at most {limit + _HEADER_BYTES} expected"
            )
        with self._archive.open(info) as member:
            if np.lib.format.read_magic(member) != (1, 0):
                raise WeightsMismatch(f"{self._path}: {name} is not an array as this version writes them")
            found, fortran, dtype = np.lib.format.read_array_header_1_0(member, max_header_size=_HEADER_BYTES)
            fits = len(found) == len(shape) and all(n in (None, m) for n, m in zip(shape, found, strict=True))
            if not fits or fortran or dtype not in [np.dtype(kind) for kind in kinds]:
                wanted = " or ".join(np.dtype(kind).name for kind in kinds)
                text = str(shape).replace("None", "any")
                raise WeightsMismatch(f"{self._path}: {name} is {dtype} {found}, expected {wanted} {text}")
            # To the end of the member, at which zipfile compares the checksum; its size was limited above.
            array = np.frombuffer(member.read(), dtype).reshape(found)
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise WeightsMismatch(f"{self._path}: {name} holds NaN or infinity")
        return array


def _is_kernel(shape: tuple[int, ...]) -> bool:
    return len(shape) == 4


def _expected(specs: Sequence[LayerSpec], encoding: Encoding) -> set[str]:
    names = {_ABOUT, _PROJECTION, _SEEN}
    for spec in specs:
        names |= {f"{spec.name}/{index}" for index in range(len(spec.shapes))}
        if encoding == "int8" and any(_is_kernel(shape) for shape in spec.shapes):
            names.add(f"{spec.name}/scale")
    return names


def _about(card: Mapping[str, Any], encoding: Encoding) -> UInt8:
    if not isinstance(card.get("name"), str) or not card["name"]:
        raise UsageError(f"the card's name is {card.get('name')!r}; expected some text for people")
    about = {"format": PACKED_FORMAT, "encoding": encoding, "card": dict(card)}
    try:
        text = json.dumps(about, sort_keys=True, ensure_ascii=False, allow_nan=False).encode()
    except (TypeError, ValueError) as error:
        raise UsageError(f"the card is not plain data for JSON ({error})") from error
    if len(text) > MAX_ABOUT_BYTES:
        raise UsageError(f"the card is {len(text)} bytes of JSON, at most {MAX_ABOUT_BYTES} expected")
    return np.frombuffer(text, np.uint8)


def _projection(matrix: Float32) -> Float32:
    if matrix.shape != _PROJECTION_SHAPE or matrix.dtype != np.float32 or not np.isfinite(matrix).all():
        raise UsageError(
            f"the projection is {matrix.dtype} {matrix.shape}; expected finite float32 {_PROJECTION_SHAPE}"
        )
    return np.ascontiguousarray(matrix)


def _smallest(matrix: Float32) -> NDArray[Any]:
    """As float16 if every value survives it."""
    with np.errstate(over="ignore"):
        half = matrix.astype(np.float16)
    return half if np.array_equal(half.astype(np.float32), matrix) else matrix


def _hash_rows(seen: frozenset[str]) -> UInt8:
    wrong = sorted(text for text in seen if not _HASH.fullmatch(text))
    if wrong or len(seen) > MAX_SEEN:
        found = repr(wrong[0]) if wrong else f"{len(seen)} of them"
        raise UsageError(f"content hashes: {found} came; expected at most {MAX_SEEN}, 64 lower-case hex digits each")
    return np.frombuffer(bytes.fromhex("".join(sorted(seen))), np.uint8).reshape(-1, _HASH_BYTES)


def _fitting(arrays: LayerArrays, specs: Sequence[LayerSpec]) -> LayerArrays:
    if len(arrays) != len(specs):
        raise UsageError(f"{len(arrays)} layers of weights came; expected {len(specs)}")
    for spec, values in zip(specs, arrays, strict=True):
        shapes = tuple(tuple(value.shape) for value in values)
        if shapes != spec.shapes or not all(np.isfinite(value).all() for value in values):
            raise UsageError(f"layer {spec.name} has shapes {shapes}; expected finite values of {spec.shapes}")
    return arrays
