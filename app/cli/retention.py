"""``python -m app retention``: remove what shoppers sent, and old jobs, when their time is over."""

from __future__ import annotations

import logging
from dataclasses import asdict

import click

from app.cli.common import emit, json_option
from app.config import Settings
from app.services.retention import Retention
from app.store.database import open_database, require_current


@click.command()
@click.option("--dry-run", is_flag=True, help="Say how many searches are due; remove nothing.")
@json_option
def command(dry_run: bool, as_json: bool) -> None:
    """Remove searches older than PICKTURE_QUERY_DAYS with their picks and kept photos, accepted photos older than
    PICKTURE_REVIEWED_PHOTO_DAYS, and jobs that ended PICKTURE_JOB_DAYS ago or before. A worker does so every hour.
    """
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    settings = Settings.from_env()
    engine = open_database(settings)
    try:
        require_current(engine)
        retention = Retention.of(settings, engine)
        if dry_run:
            due = retention.due()
            emit({"due": due}, as_json, lambda: f"{due} searches are due; nothing was removed")
            return
        removed = asdict(retention.apply())
    finally:
        engine.dispose()
    lines = "removed " + ", ".join(f"{number} {name.replace('_', ' ')}" for name, number in removed.items())
    emit(removed, as_json, lambda: lines)
