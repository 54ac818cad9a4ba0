"""``python -m app backup``: database, photos, models and weights together."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from app.cli.common import emit, json_option
from app.config import Settings
from app.store import database
from app.store.whole_backup import create_backup, restore_backup, verify_backup


@click.group()
def command() -> None:
    """Back up the whole shop into a folder, look whether a backup is whole, restore it onto an empty machine."""


@command.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@json_option
def create(folder: Path, as_json: bool) -> None:
    """Write a backup into FOLDER; a later one into the same folder copies only what is new."""
    settings = Settings.from_env()
    engine = database.open_database(settings)
    try:
        database.require_current(engine)
        report = create_backup(engine, settings.home, folder, media=settings.media_url is None)
    finally:
        engine.dispose()
    elsewhere = "" if report.media else "; PICKTURE_MEDIA_URL names another image store, which is NOT in it"
    emit(
        asdict(report),
        as_json,
        lambda: (
            f"{folder}: {report.files} files, {report.size_bytes / 1e6:.1f} MB, {report.copied} copied and "
            f"{report.removed} removed now{elsewhere}"
        ),
    )


@command.command()
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
@json_option
def verify(folder: Path, as_json: bool) -> None:
    """Read every file of the backup in FOLDER and compare it with what was written."""
    files = verify_backup(folder)
    size = sum(file.size_bytes for file in files.values())
    emit(
        {"files": len(files), "size_bytes": size},
        as_json,
        lambda: f"{folder} is whole: {len(files)} files, {size / 1e6:.1f} MB",
    )


@command.command()
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
@json_option
def restore(folder: Path, as_json: bool) -> None:
    """Fill an empty PICKTURE_HOME and an empty database from the backup in FOLDER."""
    settings = Settings.from_env()
    engine = database.open_database(settings)
    try:
        report = restore_backup(engine, settings.home, folder)
        state = database.check(engine)
    finally:
        engine.dispose()
    problems = list(state.problems)
    emit(
        {**asdict(report), "revision": state.revision, "problems": problems},
        as_json,
        lambda: "\n".join([f"restored {report.files} files, revision {state.revision}", *problems]),
    )
