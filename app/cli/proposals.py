"""``python -m app proposals ...``: what the text model would fill in, for an administrator to accept or not."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any, get_args

import click

from app.cli.common import emit, json_option, say
from app.config import Settings
from app.store.proposals import ProposalFilters, State
from models.errors import BundleError, BundleNotFound

if TYPE_CHECKING:
    from app.services.proposals import ProposalAction, ShownProposal
    from app.services.proposing import Proposed
    from app.wiring import Container


def _container() -> Container:
    """The parts of this installation; commands that only tell of proposals start quicker without."""
    from app.wiring import build_container

    return build_container(Settings.from_env())


_ids = click.argument("ids", type=int, nargs=-1, required=True)


@click.group()
def command() -> None:
    """Types, categories, colours and seasons proposed for products whose rows lack them."""


@command.command()
@json_option
def make(as_json: bool) -> None:
    """Ask the text model about every product that lacks something. An import does so too."""
    container = _container()
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
    container = _container()
    try:
        found = container.proposals.page(ProposalFilters(state), limit).items
    finally:
        container.close()
    plain = [_plain(item) for item in found]
    emit({"proposals": plain}, as_json, lambda: "\n".join(map(_line, plain)) or "none")


@command.command()
@_ids
@json_option
def accept(ids: tuple[int, ...], as_json: bool) -> None:
    """Write proposals into their products."""
    _decide(ids, "accept", as_json)


@command.command()
@_ids
@json_option
def reject(ids: tuple[int, ...], as_json: bool) -> None:
    """Have proposals never made again."""
    _decide(ids, "reject", as_json)


def made_line(made: Proposed) -> str:
    """For people."""
    told = f"{made.proposals} proposals for {made.products} products that lack something (`proposals list`)"
    return told + (f"; {made.withdrawn} withdrawn" if made.withdrawn else "")


def say_proposed(container: Container) -> None:
    """Propose after something else was done, and say what came of it. A text model that is damaged undoes nothing."""
    try:
        made = container.proposals.propose()
    except BundleError as error:
        say(f"nothing is proposed: {error}")
    else:
        if made is not None:
            say(made_line(made))


def _decide(ids: tuple[int, ...], action: ProposalAction, as_json: bool) -> None:
    container = _container()
    try:
        outcomes = container.proposals.decide_many(ids, action)
    finally:
        container.close()
    told = [
        {"id": one.id, "done": one.error is None, "problem": None if one.error is None else str(one.error)}
        for one in outcomes
    ]
    done = sum(one.error is None for one in outcomes)
    lines = [
        f"{done} of {len(outcomes)} done",
        *(f"{one.id}: {one.error}" for one in outcomes if one.error is not None),
    ]
    emit({"decided": done, "results": told}, as_json, lambda: "\n".join(lines))


def _plain(item: ShownProposal) -> dict[str, Any]:
    proposal = item.proposal
    return {
        "id": proposal.id,
        "sku": item.product.sku,
        "name": item.product.name,
        "field": proposal.field,
        "value": proposal.value,
        "confidence": proposal.confidence,
        "state": proposal.state,
        "model_version": proposal.model_version,
    }


def _line(item: dict[str, Any]) -> str:
    named = item["name"] or "(no name)"
    return f"{item['id']:>8}  {item['confidence']:6.1%}  {item['field']:8}  {item['value']}  <- {named} [{item['sku']}]"
