"""A database of its own for the service's tests: they commit, as the service does."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import Engine, create_engine, make_url, text

from app.config import Settings
from app.factory import create_app
from app.store.database import make_engine, upgrade
from app.store.media import MediaStore
from app.wiring import Container, assemble
from tests.app.api.world import KnnLoader, Shop, build_shop

DATABASE = "pickture_service_test"


@pytest.fixture(scope="session")
def service_database_url(database_url: str) -> Iterator[str]:
    """URL of a migrated database beside the other tests' one, dropped in the end."""
    with migrated_database(database_url, DATABASE) as url:
        yield url


@contextmanager
def migrated_database(database_url: str, name: str) -> Iterator[str]:
    """URL of a migrated database of this name on the same server, dropped in the end."""
    admin = create_engine(make_url(database_url).set(drivername="postgresql+psycopg2"), isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)"))
        connection.execute(text(f"CREATE DATABASE {name} TEMPLATE template0"))
    url = make_url(database_url).set(database=name)
    engine = make_engine(url)
    upgrade(engine)
    engine.dispose()
    yield url.render_as_string(hide_password=False)
    with admin.connect() as connection:
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    admin.dispose()


@pytest.fixture(scope="session")
def service_engine(service_database_url: str) -> Iterator[Engine]:
    """An engine on that database."""
    engine = make_engine(service_database_url)
    yield engine
    engine.dispose()


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The state folder of the service's tests."""
    return tmp_path_factory.mktemp("service-home")


@pytest.fixture(scope="session")
def media(home: Path) -> MediaStore:
    """The image store of the service's tests, where ``assemble`` looks for it."""
    return MediaStore(home / "media")


@pytest.fixture(scope="session")
def shop(service_engine: Engine, media: MediaStore) -> Shop:
    """The shop, built once; tests leave its catalogue as it is."""
    return build_shop(service_engine, media)


@pytest.fixture
def loader(service_engine: Engine, shop: Shop) -> KnnLoader:
    """Where the models of this test come from."""
    return KnnLoader(service_engine, shop.space_id)


@pytest.fixture
def settings(home: Path) -> Settings:
    """Settings of the service's tests."""
    return Settings(home=home, max_upload_bytes=2 * 2**20)  # type: ignore[call-arg]


@pytest.fixture
def container(settings: Settings, service_engine: Engine, loader: KnnLoader) -> Container:
    """The parts, around the shop's database."""
    return assemble(settings, service_engine, loader)


@pytest.fixture
def application(container: Container) -> Flask:
    """The application, as a worker makes it."""
    return create_app(container)


@pytest.fixture
def anyone(application: Flask) -> FlaskClient:
    """A client without a token."""
    return application.test_client()


@pytest.fixture
def client(application: Flask, shop: Shop) -> FlaskClient:
    """A client with a session of its own."""
    return signed_in(application, shop)


def signed_in(application: Flask, shop: Shop) -> FlaskClient:
    """A client that has opened a session."""
    made = application.test_client()
    answer = made.post("/v1/sessions", json={"app_key": shop.app_key})
    made.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {answer.json['token']}"
    return made


def problem_of(answer: Any) -> dict[str, Any]:
    """The problem an answer carries, after checking its shape."""
    assert answer.mimetype == "application/problem+json"
    body: dict[str, Any] = answer.json
    assert {"type", "title", "status", "code", "instance"} <= body.keys()
    assert body["status"] == answer.status_code
    assert body["instance"] == f"urn:uuid:{answer.headers['X-Request-Id']}"
    return body
