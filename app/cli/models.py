"""``python -m app models``: list, promote and roll back model versions."""

from __future__ import annotations

from typing import Any

import click

from app.cli.common import emit, json_option, say
from app.config import Settings
from app.services.spaces import Spaces
from app.services.versions import ModelVersion, ModelVersions
from app.store.bundles import BundleStore
from app.store.database import open_database, require_current
from models.backbone.store import backbones_folder


@click.group()
def command() -> None:
    """List, promote and roll back model versions."""


def _versions(settings: Settings) -> ModelVersions:
    engine = open_database(settings)
    require_current(engine)
    return ModelVersions(engine, BundleStore(settings.home), Spaces(engine, settings.home))


def _shown(found: ModelVersion) -> dict[str, Any]:
    return {
        "version": found.version,
        "state": found.state,
        "weights": found.weights,
        "space": found.space,
        "fits": found.fits,
        "created_at": found.created_at.isoformat(),
        "promoted_at": found.promoted_at.isoformat() if found.promoted_at else None,
        "reason": found.reason,
        "gate": found.gate,
        "metrics": found.metrics,
    }


@command.command("list")
@json_option
def list_versions(as_json: bool) -> None:
    """Show every version, newest first."""
    shown = [_shown(found) for found in _versions(Settings.from_env()).all()]
    lines = [
        f"{item['version']:<32}  {item['state']:<10}  {item['created_at']}  {item['weights'] or '-'}"
        + (f"\n    {item['reason']}" if item["reason"] else "")
        for item in shown
    ]
    emit({"versions": shown}, as_json, lambda: "\n".join(lines) or "no model version yet: run `make train`")


@command.command()
@click.argument("version")
@json_option
def promote(version: str, as_json: bool) -> None:
    """Serve VERSION from now on; where its space is another one, only when that lacks no photo."""
    _change(version, as_json)


@command.command()
@json_option
def rollback(as_json: bool) -> None:
    """Serve again what was served before the current version was promoted."""
    _change(None, as_json)


def _change(version: str | None, as_json: bool) -> None:
    settings = Settings.from_env()
    versions = _versions(settings)
    found = versions.rollback() if version is None else versions.promote(version)
    if not (backbones_folder(settings.home) / found.space).is_dir():
        say(f"warning: the network of space {found.space} is not prepared here, so this machine cannot serve it yet")
    emit(_shown(found), as_json, lambda: f"serving {found.version}")
