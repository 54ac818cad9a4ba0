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


def init_app(app: Flask) -> None:
    """Teach the templates these filters, and ``names``: values of a choice with what they are called."""
    app.jinja_env.filters.update(
        moment=moment, number=number, percent=percent, size=size, state=state_name, kind=kind_name, price=price
    )
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


def _names(values: Iterable[str], of: Literal["state", "kind"]) -> list[tuple[str, str]]:
    called = state_name if of == "state" else kind_name
    return [(value, called(value)) for value in values]


def _locale() -> Locale:
    return Locale.parse(language().tag, sep="-")
