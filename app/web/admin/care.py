"""Data care: what the last training found wrong with the catalogue's photos, and what is kept for how long."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask import render_template

from app.api.context import container
from app.services.retention import Retention
from app.services.versions import ModelVersion
from app.web.admin import gate

pages = gate.section("care")


@pages.get("/care")
def page() -> str:
    """The findings of the served model's training, with their photos."""
    parts = container()
    champion = parts.versions.champion()
    care, review = _findings(champion)
    hashes, labels = _named(care, review)
    return render_template(
        "admin/care.html",
        champion=champion,
        care=care,
        review=review,
        places=parts.album.photos(hashes),
        shown=parts.album.labels(labels),
        due=Retention.of(parts.settings, parts.engine).due(),
        settings=parts.settings,
    )


def _findings(champion: ModelVersion | None) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """(``data_care``, ``review``) of its metrics; empty where it has none."""
    metrics = {} if champion is None else champion.metrics
    return metrics.get("data_care") or {}, metrics.get("review") or {}


def _named(care: Mapping[str, Any], review: Mapping[str, Any]) -> tuple[set[str], set[str]]:
    """The content hashes and the labels that the findings name."""
    hashes, labels = set[str](), set[str]()
    for item in care.get("mislabels", {}).get("photos", ()):
        hashes.add(item["photo"])
        labels.update((item["label"], item["suggested"]))
    for pair in care.get("confusable", {}).get("pairs", ()):
        hashes.update((*pair["first_examples"][:1], *pair["second_examples"][:1]))
        labels.update((pair["first"], pair["second"]))
    for pair in care.get("twins", {}).get("pairs", ()):
        hashes.update(pair["photos"])
        labels.update(pair["labels"])
    for pair in review.get("near_duplicates", {}).get("pairs", ()):
        hashes.update(pair["photos"])
        labels.add(pair["label"])
    labels.update(item["label"] for item in review.get("too_few", {}).get("labels", ()))
    for name in ("one_scene", "studio_only"):
        labels.update(review.get(name, {}).get("labels", ()))
    return hashes, labels
