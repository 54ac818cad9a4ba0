"""``python -m app serve``: gunicorn, and a worker beside it."""

from __future__ import annotations

import io
import ipaddress
import os
import socket
import sys

import click
import segno

from app.cli.supervise import supervise
from app.config import Settings
from app.logs import to_standard_error
from app.store.database import open_database, require_current
from models.errors import UsageError

_EVERYWHERE = ("0.0.0.0", "::")  # noqa: S104  compared, not bound
_DOCUMENTATION_ADDRESS = ("192.0.2.1", 9)
"""TEST-NET-1 (RFC 5737): connecting a UDP socket to it asks the routing table and sends nothing."""


@click.command()
def command() -> None:
    """Serve the HTTP API on PICKTURE_HOST and PICKTURE_PORT, with a worker for jobs unless told otherwise."""
    settings = Settings.from_env()
    require_free(settings.host, settings.port)
    engine = open_database(settings)
    try:
        require_current(engine)
    finally:
        engine.dispose()
    lan = lan_address()
    click.echo(where_to_reach(settings.host, settings.port, lan))
    if settings.web:
        click.echo(where_the_page_is(settings.host, settings.port, lan))
    if settings.admin_web != "closed":
        alone = settings.admin_web == "local"
        click.echo(where_the_dashboard_is(settings.host, settings.port, lan, alone=alone))
    sys.stdout.flush()
    server = [sys.executable, "-m", "gunicorn", "--config", "python:app.gunicorn_conf"]
    if not settings.start_worker:
        os.execv(sys.executable, server)  # noqa: S606  fixed arguments
    to_standard_error(settings.log_level, settings.log_format)
    sys.exit(supervise(server, [sys.executable, "-m", "app", "worker", "--with-parent"]))


def require_free(host: str, port: int) -> None:
    """Refuse an address that cannot be listened on before gunicorn clears the folder of the service already there.

    :raise UsageError: the port is taken or needs more rights, or the host is no address of this machine.
    """
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        raise UsageError(
            f"cannot listen on {_bracketed(host)}:{port} ({error.strerror or error}); stop what uses it, or set "
            "PICKTURE_PORT or PICKTURE_HOST"
        ) from None


def lan_address() -> str | None:
    """This machine's address on its network, or None where it has none. Sends no packet."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(_DOCUMENTATION_ADDRESS)
        except OSError:
            return None
        address: str = probe.getsockname()[0]
    return None if ipaddress.ip_address(address).is_loopback else address


def where_the_page_is(host: str, port: int, lan: str | None) -> str:
    """What to tell of the shopper's page: its address, and as a QR code where a phone can reach it."""
    everywhere = host in _EVERYWHERE
    reachable = lan if everywhere else None if _is_loopback(host) else host
    if reachable is None:
        return f"The shopper's page: http://{_bracketed('127.0.0.1' if everywhere else host)}:{port}/"
    address = f"http://{_bracketed(reachable)}:{port}/"
    drawn = io.StringIO()
    segno.make(address, error="m", micro=False).terminal(drawn, compact=True, border=2)
    return f"The shopper's page: {address}\n{drawn.getvalue().rstrip()}"


def where_the_dashboard_is(host: str, port: int, lan: str | None, *, alone: bool) -> str:
    """What to tell of the dashboard. lan: this machine's address. alone: whether it answers this machine alone."""
    reachable = ("127.0.0.1" if alone or lan is None else lan) if host in _EVERYWHERE else host
    whom = " (from this machine alone)" if alone else ""
    return f"The dashboard{whom}: http://{_bracketed(reachable)}:{port}/admin"


def where_to_reach(host: str, port: int, lan: str | None) -> str:
    """What to tell the operator: the address for this machine, and for a phone beside it."""
    everywhere = host in _EVERYWHERE
    here = "127.0.0.1" if everywhere else host
    lines = [
        f"Pickture answers at http://{_bracketed(here)}:{port} (documentation: /docs, readiness: /readyz)",
    ]
    if everywhere and lan is not None:
        lines.append(f"From a phone on the same network: http://{_bracketed(lan)}:{port}")
    elif everywhere:
        lines.append("This machine has no network address now, so a phone cannot reach it.")
    elif _is_loopback(host):
        lines.append("Only this machine can reach it; for a phone on the same network set PICKTURE_HOST=0.0.0.0")
    return "\n".join(lines)


def _is_loopback(host: str) -> bool:
    return ipaddress.ip_address(host).is_loopback if _is_address(host) else host == "localhost"


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
