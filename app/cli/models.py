"""``python -m app models``: list, promote and roll back model versions."""

from __future__ import annotations

from typing import Any

import click

from app.cli.common import emit, json_option
from app.config import Settings
from app.store.bundles import BundleStore
from app.store.database import open_database, require_current, transaction
from app.store.tables import Bundle


@click.group()
def command() -> None:
    """List, promote and roll back model versions."""


def _shown(bundle: Bundle) -> dict[str, Any]:
    return {
        "version": bundle.version,
        "state": bundle.state,
        "created_at": bundle.created_at.isoformat(),
        "promoted_at": bundle.promoted_at.isoformat() if bundle.promoted_at else None,
        "metrics": bundle.metrics,
    }


@command.command("list")
@json_option
def list_versions(as_json: bool) -> None:
    """Show every version, newest first."""
    settings = Settings.from_env()
    engine = open_database(settings)
    require_current(engine)
    with transaction(engine) as session:
        shown = [_shown(bundle) for bundle in BundleStore(settings.home).list_bundles(session)]
    lines = [f"{item['version']}  {item['state']:<10}  {item['created_at']}" for item in shown]
    emit({"versions": shown}, as_json, lambda: "\n".join(lines) or "no model version yet: run `make train`")


@command.command()
@click.argument("version")
@json_option
def promote(version: str, as_json: bool) -> None:
    """Serve VERSION from now on."""
    _change(version, as_json)


@command.command()
@json_option
def rollback(as_json: bool) -> None:
    """Serve again what was served before the current version was promoted."""
    _change(None, as_json)


def _change(version: str | None, as_json: bool) -> None:
    settings = Settings.from_env()
    engine = open_database(settings)
    require_current(engine)
    store = BundleStore(settings.home)
    with transaction(engine) as session:
        bundle = store.rollback(session) if version is None else store.promote(session, version)
        shown = _shown(bundle)
    emit(shown, as_json, lambda: f"serving {shown['version']}")
