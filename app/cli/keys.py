"""``python -m app keys``: create, list and revoke access keys."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict

import click

from app.cli.common import emit, json_option
from app.config import Settings
from app.services.access import ROLES, AccessService, KeyInfo
from app.store.database import open_database, require_current


@click.group()
def command() -> None:
    """Create, list and revoke access keys."""


@command.command()
@click.option("--role", type=click.Choice(ROLES), required=True, help="app: public, ships in the app. admin: secret.")
@click.option("--name", help="A note for people, e.g. where the key is used.")
@json_option
def create(role: str, name: str | None, as_json: bool) -> None:
    """Create a key and print it. It is shown this once: only its SHA-256 is stored."""
    with _access() as access:
        made = access.create_key(role, name)
    emit(
        {**asdict(made.info), "key": made.key},
        as_json,
        lambda: f"{made.key}\n(key {made.info.id}; not shown again)",
    )


@command.command("list")
@json_option
def list_keys(as_json: bool) -> None:
    """List all keys, revoked ones too."""
    with _access() as access:
        keys = access.list_keys()
    emit({"keys": [asdict(key) for key in keys]}, as_json, lambda: "\n".join(map(_line, keys)) or "no keys yet")


@command.command()
@click.argument("key_id", metavar="ID", type=int)
@json_option
def revoke(key_id: int, as_json: bool) -> None:
    """Revoke a key and end its sessions at once."""
    with _access() as access:
        access.revoke_key(key_id)
    emit({"revoked": key_id}, as_json, lambda: f"key {key_id} is revoked")


@contextmanager
def _access() -> Iterator[AccessService]:
    settings = Settings.from_env()
    engine = open_database(settings)
    try:
        require_current(engine)
        yield AccessService(engine, settings.session_minutes)
    finally:
        engine.dispose()


def _line(key: KeyInfo) -> str:
    state = f"revoked {key.revoked_at:%Y-%m-%d %H:%M}" if key.revoked_at else "live"
    return f"{key.id:>4}  {key.role:<5}  {key.prefix}...  {state:<24}  {key.name or ''}".rstrip()
