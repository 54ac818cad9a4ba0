"""``python -m app spaces``: list, fill and drop spaces."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import click

from app.cli.common import emit, json_option, say
from app.config import Settings
from app.services.spaces import SpaceInfo, Spaces
from app.store.database import open_database, require_current


@click.group()
def command() -> None:
    """List, fill and drop spaces: one vector world a weight source."""


def _spaces(settings: Settings) -> Spaces:
    engine = open_database(settings)
    require_current(engine)
    return Spaces(engine, settings.home)


@command.command("list")
@json_option
def list_spaces(as_json: bool) -> None:
    """Show every space, newest first, what it lacks, and which are used by nobody."""
    found = _spaces(Settings.from_env()).all()
    shown = [_plain(space) for space in found]
    unused = [space.identifier for space in found if space.state == "unused"]
    emit({"spaces": shown, "unused": unused}, as_json, lambda: "\n".join(map(_lines, found)) or "no space yet")


def _plain(space: SpaceInfo) -> dict[str, Any]:
    values = asdict(space)
    for moment in ("created_at", "dropped_at"):
        values[moment] = values[moment] and values[moment].isoformat()
    return {"space": values.pop("identifier"), **values}


def _lines(space: SpaceInfo) -> str:
    head = f"{space.identifier}  {space.state:<9}  {space.weights or '-'}  {space.vectors} photos"
    if space.lacking is not None and space.lacking.photos:
        head += f", lacks {space.lacking.photos}"
    if space.state == "unused":
        head += f"  ({space.size_bytes / 2**20:.0f} MB; `spaces drop {space.identifier}` frees them)"
    if space.state != "dropped" and not space.prepared:
        head += "  (its network is not prepared here)"
    photos = [f"    {photo.sku} {photo.content_hash[:12]}: {photo.reason}" for photo in space.unreadable]
    return "\n".join([head, *photos])


@command.command()
@click.argument("space")
@json_option
def fill(space: str, as_json: bool) -> None:
    """Give SPACE the photos that it lacks, and keep it complete from now on; a worker does the same by itself."""
    from app.jobs.outbox import fill_one_space
    from app.wiring import build_container

    container = build_container(Settings.from_env())
    try:
        filled = fill_one_space(container.settings, container.engine, container.media, space, say)
    finally:
        container.close()
    for content_hash, reason in filled.unreadable.items():
        say(f"warning: photo {content_hash}: {reason}")
    emit(filled.to_json(), as_json, lambda: f"{filled.written} photos added to space {filled.space}")


@command.command()
@click.argument("space")
@json_option
def drop(space: str, as_json: bool) -> None:
    """Remove SPACE's vectors and prepared network; refused where it is served, or would be after a rollback."""
    _spaces(Settings.from_env()).drop(space)
    emit({"dropped": space}, as_json, lambda: f"dropped space {space}")
