"""Numbers, times and names of the service in the language of the page, for the templates."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Final, Literal

from babel import Locale
from babel.dates import format_datetime
from babel.numbers import format_currency, format_decimal, format_percent
from flask import Flask
from markupsafe import Markup, escape

from app.web.site import language
from app.web.site import translate as _

_UNITS: Final = ("B", "kB", "MB", "GB", "TB")

_STATES: Final[dict[str, Callable[[], str]]] = {
    "queued": lambda: _("Waiting"),
    "running": lambda: _("Running"),
    "succeeded": lambda: _("Done"),
    "failed": lambda: _("Failed"),
    "cancelled": lambda: _("Cancelled"),
    "champion": lambda: _("Served"),
    "challenger": lambda: _("Challenger"),
    "refused": lambda: _("Refused"),
    "retired": lambda: _("Retired"),
}

_KINDS: Final[dict[str, Callable[[], str]]] = {
    "import": lambda: _("Import"),
    "bottlenecks": lambda: _("Bottlenecks"),
    "train": lambda: _("Training"),
    "retrain": lambda: _("Retraining"),
    "finetune": lambda: _("Fine-tuning"),
    "outbox": lambda: _("Filling of spaces"),
}


_JOB_ERRORS: Final[dict[str, Callable[[], str]]] = {
    "archive_refused": lambda: _("An archive is damaged, too large or not safe to unpack."),
    "catalogue_invalid": lambda: _("The files are no catalogue, or lack its table."),
    "catalogue_changed": lambda: _("Products of this import were changed while it read their photos. Import again."),
    "import_busy": lambda: _("Another import did not end. Import again when it has."),
    "not_enough_data": lambda: _("There are too few photos or products to learn from."),
    "storage_full": lambda: _("The disk of the service is full. Make room, then ask for the job again."),
    "backbone_not_ready": lambda: _("The network that recognises photos is not prepared on this machine."),
    "weights_not_found": lambda: _("The weights of the network are not there."),
    "job_abandoned": lambda: _("It was begun several times and broken off each time. Its log says more."),
}
"""Why jobs fail, by the codes of their errors; the other ones have only the service's own words."""


def init_app(app: Flask) -> None:
    """Teach the templates these filters, and ``names``: values of a choice with what they are called."""
    app.jinja_env.filters.update(
        moment=moment, number=number, percent=percent, size=size, state=state_name, kind=kind_name, price=price
    )
    app.jinja_env.filters["job_error"] = job_error
    app.jinja_env.globals.update(names=_names)


def moment(when: datetime | None) -> str:
    """A ``time`` element: UTC in the page's language, which a script turns into the reader's own time."""
    if when is None:
        return "–"
    utc = when.astimezone(UTC)
    text = format_datetime(utc, "medium", locale=_locale())
    return Markup('<time datetime="{}">{} UTC</time>').format(utc.isoformat(timespec="seconds"), escape(text))


def number(value: float | None, digits: int = 0) -> str:
    """A number with at most so many digits after the point; a dash where there is none."""
    if value is None:
        return "–"
    return str(format_decimal(round(value, digits), locale=_locale()))


def percent(share: float | None, digits: int = 1) -> str:
    """A share in 0..1 as a percentage."""
    if share is None:
        return "–"
    return str(format_percent(share, format=f"#,##0.{'#' * digits}%" if digits else "#,##0%", locale=_locale()))


def size(size_bytes: float) -> str:
    """Bytes, in the largest unit that leaves at least one."""
    unit = 0
    while size_bytes >= 1000 and unit < len(_UNITS) - 1:
        size_bytes /= 1000
        unit += 1
    return f"{number(size_bytes, 1 if unit > 2 else 0)} {_UNITS[unit]}"


def price(amount: Decimal | None, currency: str | None) -> str:
    """A price as the language writes it; a dash where there is none."""
    if amount is None or currency is None:
        return "–"
    return str(format_currency(amount, currency, locale=_locale()))


def state_name(state: str) -> str:
    """What the state of a job or a model version is called."""
    told = _STATES.get(state)
    return state if told is None else told()


def kind_name(kind: str) -> str:
    """What a kind of job is called."""
    told = _KINDS.get(kind)
    return kind if told is None else told()


def job_error(code: str) -> str | None:
    """Why a job failed, in a sentence; None where its own words have to do."""
    told = _JOB_ERRORS.get(code)
    return None if told is None else told()


def _names(values: Iterable[str], of: Literal["state", "kind"]) -> list[tuple[str, str]]:
    called = state_name if of == "state" else kind_name
    return [(value, called(value)) for value in values]


def _locale() -> Locale:
    return Locale.parse(language().tag, sep="-")
