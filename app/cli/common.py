"""What several commands share: printing one JSON object, and reading the settings."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import click

json_option: Callable[[Any], Any] = click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON object and nothing else on stdout."
)


def emit(result: object, as_json: bool, lines: Callable[[], str] | None = None) -> None:
    """Print ``result`` as one JSON object, or ``lines()`` for people."""
    if as_json or lines is None:
        click.echo(json.dumps(result, ensure_ascii=False, default=str))
    else:
        click.echo(lines())


def say(line: str) -> None:
    """Tell a person what happens next, on stderr, so that ``--json`` output stays one object."""
    click.echo(line, err=True)
