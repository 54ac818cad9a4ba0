"""The way from a view to the services: the container that the application was made with."""

from __future__ import annotations

from flask import current_app

from app.wiring import Container

EXTENSION = "pickture"


def container() -> Container:
    """The container of the application that handles this request."""
    known: Container = current_app.extensions[EXTENSION]
    return known
