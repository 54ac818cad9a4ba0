"""The service as gunicorn runs it, except that a quick recognizer answers."""

from __future__ import annotations

import os

from flask import Flask

from app.api import audit
from app.config import Settings
from app.factory import create_app
from app.store.database import open_database
from app.wiring import assemble
from tests.app.api.world import KnnLoader

SPACE_SETTING = "TEST_SPACE_ID"


def make() -> Flask:
    """What a worker makes."""
    audit.to_standard_error()
    settings = Settings.from_env()
    engine = open_database(settings)
    return create_app(assemble(settings, engine, KnnLoader(engine, int(os.environ[SPACE_SETTING])), serving=True))
