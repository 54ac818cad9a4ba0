"""The dashboard as a whole: its sections, and its menu."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from flask import Flask, request

from app.web.admin import (
    care,
    catalogue,
    catalogue_product,
    gate,
    imports,
    jobs,
    login,
    review,
    service,
    start,
    texts,
    versions,
    versions_pictures,
    words,
)
from app.web.site import site_of
from app.web.site import translate as _

SECTIONS: Final = (
    login,
    start,
    catalogue,
    catalogue_product,
    imports,
    jobs,
    versions,
    versions_pictures,
    review,
    care,
    texts,
    service,
)
"""Modules with ``pages``, one a group of pages."""


@dataclass(frozen=True, slots=True)
class MenuItem:
    """A place of the menu.

    section: the module it leads to; those whose names begin so belong to it too. endpoint: its first page. name: in
    the page's language.
    """

    section: str
    endpoint: str
    name: Callable[[], str]

    @property
    def is_here(self) -> bool:
        """Whether this request is for a page of that section."""
        return (request.blueprint or "").startswith(f"admin_{self.section}")


MENU: Final = (
    MenuItem("start", "admin_start.page", lambda: _("Overview")),
    MenuItem("catalogue", "admin_catalogue.page", lambda: _("Catalogue")),
    MenuItem("imports", "admin_imports.page", lambda: _("Import")),
    MenuItem("jobs", "admin_jobs.page", lambda: _("Jobs")),
    MenuItem("versions", "admin_versions.listing", lambda: _("Models")),
    MenuItem("review", "admin_review.listing", lambda: _("Review")),
    MenuItem("care", "admin_care.page", lambda: _("Data care")),
    MenuItem("texts", "admin_texts.page", lambda: _("Words")),
    MenuItem("service", "admin_service.page", lambda: _("Service")),
)


def init_app(app: Flask) -> None:
    """Serve the dashboard's pages. After ``app.web.site``, whose templates and languages they use."""
    words.init_app(app)
    gate.init_app(app)
    app.jinja_env.globals.update(admin_menu=MENU)
    site_of(app).catch_alls.add("admin_start.nothing")
    for module in SECTIONS:
        app.register_blueprint(module.pages)
