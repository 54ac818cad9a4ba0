"""The fingerprint."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from models.backbone.space import Space
from models.backbone.store import require_space
from models.errors import BackboneError
from tests.contracts.fake_backbone import FakeBackbone

SPACE = Space("a" * 64, "squash|v1", "b" * 64, weights="embedded", versions={"keras": "3"})


def test_json_round_trip() -> None:
    assert Space.from_json(SPACE.to_json()) == SPACE


@pytest.mark.parametrize(
    "change",
    [
        {"weights_sha256": "c" * 64},
        {"preprocessing": "crop|v2"},
        {"projection_sha256": "c" * 64},
        {"layer": "mixed9"},
        {"input_size": 224},
        {"precision": "int8:0123456789abcdef"},
    ],
)
def test_everything_the_vectors_depend_on_changes_the_identifier(change: dict[str, object]) -> None:
    assert replace(SPACE, **change).identifier != SPACE.identifier  # type: ignore[arg-type]


def test_names_and_versions_do_not_change_the_identifier() -> None:
    assert replace(SPACE, weights="file:x.h5", versions={}).identifier == SPACE.identifier
    assert len(SPACE.identifier) == 16


def test_an_edited_description_is_refused() -> None:
    values = json.loads(SPACE.to_json())
    values["input_size"] = 224
    with pytest.raises(BackboneError, match="was changed"):
        Space.from_json(json.dumps(values))


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"identifier": "x", "colour": 1}'])
def test_other_json_is_refused(text: str) -> None:
    with pytest.raises(BackboneError, match="unreadable"):
        Space.from_json(text)


def test_a_backbone_of_another_space_is_refused() -> None:
    require_space(FakeBackbone(), "fake-space")
    with pytest.raises(BackboneError, match="trained with"):
        require_space(FakeBackbone(), SPACE.identifier)
