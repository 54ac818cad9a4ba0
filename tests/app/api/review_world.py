"""A shop whose shoppers let it keep their photos: clients of any installation and address, and short words for what
they do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BytesIO
from itertools import count
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import Engine, text

from app.config import Settings
from app.factory import create_app
from app.store.database import make_engine, upgrade
from app.store.media import MediaStore
from app.wiring import Container, assemble
from tests.app.api.world import KnnLoader, Shop, build_shop, draw
from tests.app.store.world import new_database

CAP = (231, 221, 41)
MILK_2 = (41, 61, 221)
"""Colours near those of the products of these names: the model's first candidate."""


@dataclass
class ReviewWorld:
    """The shop, and one application of it a set of settings."""

    home: Path
    engine: Engine
    shop: Shop
    media: MediaStore
    _numbers: Iterator[int] = field(default_factory=lambda: count(1))

    def container(self, **settings: Any) -> Container:
        """The parts with these settings."""
        made = Settings(home=self.home, threads=16, **settings)  # type: ignore[call-arg]
        return assemble(made, self.engine, KnnLoader(self.engine, self.shop.space_id))

    def application(self, **settings: Any) -> Flask:
        """The service with these settings."""
        return create_app(self.container(**settings))

    def admin(self, application: Flask) -> FlaskClient:
        """A client with the admin key."""
        client = application.test_client()
        client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {self.shop.admin_key}"
        return client

    def shopper(
        self, application: Flask, address: str | None = None, installation: UUID | None = None, **headers: str
    ) -> FlaskClient:
        """A client with a session, by default of an installation and an address of its own."""
        number = next(self._numbers)
        client = application.test_client()
        client.environ_base["REMOTE_ADDR"] = address or f"10.0.{number // 250}.{number % 250}"
        body = {"app_key": self.shop.app_key, "installation_id": str(installation or uuid4())}
        token = client.post("/v1/sessions", json=body, headers=headers).json["token"]
        client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {token}"
        return client

    def photo(self, colour: tuple[int, int, int]) -> bytes:
        """A photo that nobody has sent before, of a product of this colour."""
        return draw(colour, size=(360 + next(self._numbers), 320))

    def count(self, table: str, query_id: str | None = None) -> int:
        """Rows of a table; query_id: of that query."""
        where = "" if query_id is None else " WHERE query_id = :query_id"
        with self.engine.connect() as connection:
            statement = text(f"SELECT count(*) FROM {table}{where}")
            return connection.execute(statement, {} if query_id is None else {"query_id": query_id}).scalar_one()


@contextmanager
def review_world(home: Path, database_url: str) -> Iterator[ReviewWorld]:
    """The shop in a database of its own."""
    with new_database(database_url) as url:
        engine = make_engine(url)
        upgrade(engine)
        media = MediaStore(home / "media")
        yield ReviewWorld(home, engine, build_shop(engine, media), media)
        engine.dispose()


def ask(client: FlaskClient, photo: bytes, *, keep: bool = True, **fields: str) -> str:
    """Search; the query's id."""
    data = {"photo": (BytesIO(photo), "a.jpg"), "keep_photo": "true" if keep else "false", **fields}
    answer = client.post("/v1/search", data=data)
    assert answer.status_code == 200, answer.text
    return str(answer.json["query_id"])


def say(client: FlaskClient, query_id: str, sku: str | None) -> None:
    """Pick a product, or none of the candidates."""
    pick = {"outcome": "none_of_these"} if sku is None else {"outcome": "picked", "sku": sku}
    answer = client.post("/v1/feedback", json={"query_id": query_id, **pick})
    assert answer.status_code == 200, answer.text


def picked(client: FlaskClient, photo: bytes, sku: str | None, **fields: str) -> str:
    """Search with consent, and pick; the query's id."""
    query_id = ask(client, photo, **fields)
    say(client, query_id, sku)
    return query_id


def picked_oddly(client: FlaskClient, photo: bytes) -> str:
    """Search among the groceries, and pick a shoe, which is then no candidate; the query's id."""
    return picked(client, photo, "shoe", category="Grocery")


def show(admin: FlaskClient, query_id: str) -> dict[str, Any]:
    """One review item."""
    answer = admin.get(f"/v1/admin/review/{query_id}")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json
    return found


def codes(item: Mapping[str, Any]) -> list[str]:
    """The codes of an item's flags."""
    return [flag["code"] for flag in item["flags"]]


def decide(admin: FlaskClient, query_id: str, action: str, etag: str | None = None, **more: str) -> Any:
    """Decide on an item."""
    headers = {} if etag is None else {"If-Match": f'"{etag}"'}
    return admin.post(f"/v1/admin/review/{query_id}", json={"action": action, **more}, headers=headers)


def decide_many(admin: FlaskClient, action: str, *query_ids: str) -> dict[str, str | None]:
    """Decide on many; id -> code of the refusal, None where it was done."""
    answer = admin.post("/v1/admin/review", json={"action": action, "ids": list(query_ids)})
    assert answer.status_code == 200, answer.text
    return {result["id"]: (result["problem"] or {}).get("code") for result in answer.json["results"]}
