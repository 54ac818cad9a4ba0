"""``python -m app models``: list, promote and roll back model versions."""

from __future__ import annotations

from functools import partial
from typing import Any

import click

from app.cli.common import emit, json_option, say
from app.config import Settings
from app.services.versions import ModelVersion, ModelVersions
from app.store.bundles import BundleStore
from app.store.database import open_database, require_current
from app.wiring import prepared_space


@click.group()
def command() -> None:
    """List, promote and roll back model versions."""


def _versions(settings: Settings) -> ModelVersions:
    engine = open_database(settings)
    require_current(engine)
    return ModelVersions(engine, BundleStore(settings.home), partial(prepared_space, settings), settings.weights)


def _shown(found: ModelVersion) -> dict[str, Any]:
    return {
        "version": found.version,
        "state": found.state,
        "weights": found.weights,
        "space": found.space,
        "fits": found.fits,
        "created_at": found.created_at.isoformat(),
        "promoted_at": found.promoted_at.isoformat() if found.promoted_at else None,
        "metrics": found.metrics,
    }


@command.command("list")
@json_option
def list_versions(as_json: bool) -> None:
    """Show every version, newest first."""
    shown = [_shown(found) for found in _versions(Settings.from_env()).all()]
    lines = [
        f"{item['version']}  {item['state']:<10}  {item['created_at']}  {item['weights'] or '-'}" for item in shown
    ]
    emit({"versions": shown}, as_json, lambda: "\n".join(lines) or "no model version yet: run `make train`")


@command.command()
@click.argument("version")
@json_option
def promote(version: str, as_json: bool) -> None:
    """Serve VERSION from now on; refused where it needs other weights than PICKTURE_WEIGHTS names."""
    _change(version, as_json)


@command.command()
@json_option
def rollback(as_json: bool) -> None:
    """Serve again what was served before the current version was promoted."""
    _change(None, as_json)


def _change(version: str | None, as_json: bool) -> None:
    versions = _versions(Settings.from_env())
    found = versions.rollback() if version is None else versions.promote(version)
    if found.fits is None:
        say("warning: the weights that PICKTURE_WEIGHTS names are not prepared here, so nothing can be served yet")
    emit(_shown(found), as_json, lambda: f"serving {found.version}")
