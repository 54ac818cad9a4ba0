"""A space: the vector world one backbone makes, and the fingerprint that names it.

Vectors of two spaces never mix: training, the k-NN memory and serving compare identifiers and refuse.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Final

from models.errors import BackboneError

IDENTIFIER_LENGTH: Final = 16
"""Hex digits of an identifier: 64 bits, ample for the handful of spaces a shop ever has."""

FLOAT32: Final = "float32"


@dataclass(frozen=True, slots=True)
class Space:
    """What the vectors depend on, and what is worth knowing beside it.

    weights_sha256: SHA-256 of the weight values (not of the file they came in), 64 hex digits.
    preprocessing: ``models.backbone.preprocessing.PREPROCESSING`` when it was made.
    projection_sha256: SHA-256 of the projection matrix's values.
    layer: the layer whose output is the bottleneck.
    input_size: edge of the square input, pixels.
    precision: arithmetic of the network: ``float32``, or ``int8:`` with a digest of the quantised network, since
        what it was calibrated on changes the vectors, too.
    weights: where the weights came from, for people (``embedded``, ``imagenet``, ``file:NAME``,
        ``random``, with ``+int8`` behind it for 8 bits); not part of the identifier: the same values from another
        file make the same vectors.
    versions: library versions that made the network's files; not part of the identifier.
    """

    weights_sha256: str
    preprocessing: str
    projection_sha256: str
    layer: str = "pool_3"
    input_size: int = 299
    precision: str = FLOAT32
    weights: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)

    @property
    def in_eight_bits(self) -> bool:
        """Whether the network computes with 8-bit numbers, which OpenVINO alone does."""
        return self.precision != FLOAT32

    @property
    def identifier(self) -> str:
        """The first 16 hex digits of the SHA-256 of everything the vectors depend on."""
        essence = {name: value for name, value in asdict(self).items() if name not in ("weights", "versions")}
        canonical = json.dumps(essence, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()[:IDENTIFIER_LENGTH]

    def to_json(self) -> str:
        """All fields and the identifier as indented JSON, keys sorted."""
        values = {**asdict(self), "versions": dict(self.versions), "identifier": self.identifier}
        return json.dumps(values, indent=2, sort_keys=True) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Space:
        """The space ``to_json`` wrote.

        :raise BackboneError: not JSON, unknown or missing keys, or an identifier that does not follow
            from the rest (somebody edited the file).
        """
        try:
            values: dict[str, Any] = json.loads(text)
            stored = values.pop("identifier")
            space = cls(**values)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            names = ", ".join(item.name for item in fields(cls))
            raise BackboneError(f"a space description is unreadable ({error}); expected JSON with {names}") from error
        if stored != space.identifier:
            raise BackboneError(
                f"a space description names itself {stored}, but its content is {space.identifier}: "
                "it was changed; prepare the backbone again with `make train-bottlenecks`"
            )
        return space
