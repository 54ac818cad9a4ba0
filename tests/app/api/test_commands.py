"""``keys``, ``recognize`` and what ``serve`` tells the operator."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from sqlalchemy import Engine, text

from app.cli import keys, recognize
from app.cli.serve import lan_address, where_the_dashboard_is, where_the_page_is, where_to_reach
from app.errors import KeyNotFound
from app.services.access import AccessService
from models.errors import BundleNotFound
from tests.app.api.world import Shop


@pytest.fixture
def runner(service_database_url: str, tmp_path: Path) -> CliRunner:
    """Runs commands against the shop's database."""
    return CliRunner(env={"PICKTURE_DATABASE_URL": service_database_url, "PICKTURE_HOME": str(tmp_path)})


def test_keys_from_creation_to_revocation(runner: CliRunner, service_engine: Engine, shop: Shop) -> None:
    created = runner.invoke(keys.command, ["create", "--role", "app", "--name", "the app", "--json"])
    made = json.loads(created.stdout)
    assert set(made) >= {"id", "role", "name", "key"}
    access = AccessService(service_engine, 5)
    token = access.open_session(made["key"], None).token
    listed = runner.invoke(keys.command, ["list"]).stdout
    assert "the app" in listed and made["key"] not in listed
    assert made["prefix"] in listed
    [known] = [k for k in json.loads(runner.invoke(keys.command, ["list", "--json"]).stdout)["keys"]
               if k["id"] == made["id"]]  # fmt: skip
    assert known["revoked_at"] is None and known["last_used_at"] is not None
    assert runner.invoke(keys.command, ["revoke", str(made["id"])]).exit_code == 0
    with service_engine.connect() as connection:
        left = connection.scalar(text("SELECT count(*) FROM sessions WHERE key_id = :id"), {"id": made["id"]})
    assert left == 0 and token
    assert isinstance(runner.invoke(keys.command, ["revoke", "2000000"]).exception, KeyNotFound)
    assert runner.invoke(keys.command, ["create", "--role", "root"]).exit_code == 2


@pytest.fixture
def photo(shop: Shop, tmp_path: Path) -> Iterator[Path]:
    """A photo in a file."""
    path = tmp_path / "photo.jpg"
    path.write_bytes(shop.photos["cap"])
    yield path


def test_recognize_without_a_model_says_what_to_run(runner: CliRunner, photo: Path) -> None:
    failed = runner.invoke(recognize.command, [str(photo)])
    assert isinstance(failed.exception, BundleNotFound)
    assert "make train" in str(failed.exception)


def test_where_to_reach_the_service() -> None:
    assert "http://127.0.0.1:8000 " in where_to_reach("127.0.0.1", 8000, "10.0.0.7")
    assert "PICKTURE_HOST=0.0.0.0" in where_to_reach("localhost", 8000, "10.0.0.7")
    told = where_to_reach("0.0.0.0", 80, "10.0.0.7")
    assert "http://127.0.0.1:80 " in told and "phone on the same network: http://10.0.0.7:80" in told
    assert "no network address" in where_to_reach("0.0.0.0", 80, None)
    assert "http://[2001:db8::1]:80 " in where_to_reach("2001:db8::1", 80, None)


def test_where_the_dashboard_is() -> None:
    alone = where_the_dashboard_is("0.0.0.0", 8000, "10.0.0.7", alone=True)
    assert alone == "The dashboard (from this machine alone): http://127.0.0.1:8000/admin"
    assert where_the_dashboard_is("0.0.0.0", 8000, "10.0.0.7", alone=False).endswith(" http://10.0.0.7:8000/admin")
    assert where_the_dashboard_is("::", 8000, None, alone=False).endswith(" http://127.0.0.1:8000/admin")
    assert where_the_dashboard_is("fd00::7", 8000, None, alone=False).endswith(" http://[fd00::7]:8000/admin")


def test_where_the_page_is_with_a_code_that_a_phone_can_read() -> None:
    told, *drawn = where_the_page_is("0.0.0.0", 8000, "10.0.0.7").splitlines()
    assert told.endswith(" http://10.0.0.7:8000/")
    assert len(drawn) > 10 and len(set(map(len, drawn))) == 1
    assert set("".join(drawn)) <= set("█▀▄ ")
    assert drawn == where_the_page_is("10.0.0.7", 8000, None).splitlines()[1:]
    for host in ("127.0.0.1", "localhost", "::1"):
        assert len(where_the_page_is(host, 8000, "10.0.0.7").splitlines()) == 1
    assert where_the_page_is("0.0.0.0", 8000, None).endswith(" http://127.0.0.1:8000/")


def test_the_lan_address_is_one_of_this_machines_and_not_the_loopback() -> None:
    found = lan_address()
    if found is None:
        pytest.skip("this machine has no network address")
    assert not found.startswith("127.") and found != "0.0.0.0"
