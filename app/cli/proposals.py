"""``python -m app proposals ...``: what the text model would fill in, for an administrator to accept or not."""

from __future__ import annotations

from dataclasses import asdict
from typing import get_args

import click

from app.cli.common import emit, json_option
from app.config import Settings
from app.services.proposals import ListedProposal, Proposed, State
from app.wiring import build_container
from models.errors import BundleNotFound

_ids = click.argument("ids", type=int, nargs=-1, required=True)


@click.group()
def command() -> None:
    """Types, categories, colours and seasons proposed for products whose rows lack them."""


@command.command()
@json_option
def make(as_json: bool) -> None:
    """Ask the text model about every product that lacks something. An import does so too."""
    container = build_container(Settings.from_env())
    try:
        made = container.proposals.propose()
    finally:
        container.close()
    if made is None:
        raise BundleNotFound("no text model has been trained yet; run `python -m app text train`")
    emit(asdict(made), as_json, lambda: made_line(made))


@command.command(name="list")
@click.option("--state", type=click.Choice(get_args(State)), default="undecided", show_default=True)
@click.option("--limit", type=click.IntRange(1, 1000), default=100, show_default=True)
@json_option
def list_(state: State, limit: int, as_json: bool) -> None:
    """Proposals, the surest first."""
    container = build_container(Settings.from_env())
    try:
        found = container.proposals.listed(state, limit)
    finally:
        container.close()
    emit({"proposals": [asdict(item) for item in found]}, as_json, lambda: "\n".join(map(_line, found)) or "none")


@command.command()
@_ids
@json_option
def accept(ids: tuple[int, ...], as_json: bool) -> None:
    """Write proposals into their products."""
    _decide(ids, True, as_json)


@command.command()
@_ids
@json_option
def reject(ids: tuple[int, ...], as_json: bool) -> None:
    """Have proposals never made again."""
    _decide(ids, False, as_json)


def made_line(made: Proposed) -> str:
    """For people."""
    return f"{made.proposals} proposals for {made.products} products that lack something (`proposals list`)"


def _decide(ids: tuple[int, ...], accept: bool, as_json: bool) -> None:
    container = build_container(Settings.from_env())
    try:
        count = container.proposals.decide(ids, accept=accept)
    finally:
        container.close()
    emit({"decided": count}, as_json, lambda: f"{count} of {len(ids)} proposals were undecided")


def _line(item: ListedProposal) -> str:
    named = item.name or "(no name)"
    return f"{item.id:>8}  {item.confidence:6.1%}  {item.field:8}  {item.value}  <- {named} [{item.sku}]"
