"""What becomes of a reviewed photo when its query or its product is deleted, and which models it taught."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from flask.testing import FlaskClient
from sqlalchemy import delete, text

from app.store.database import transaction
from app.store.media import MediaStore, content_hash
from app.store.tables import Bundle
from app.store.vectors import put_reviewed_vectors
from models.backbone.preprocessing import fit_input
from models.photo import read_photo
from tests.app.api.conftest import problem_of
from tests.app.api.review_world import CAP, ReviewWorld, ask, decide, picked, review_world, show
from tests.app.api.world import projection
from tests.contracts.fake_backbone import FakeBackbone


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, database_url: str) -> Iterator[ReviewWorld]:
    with review_world(tmp_path_factory.mktemp("deletion-home"), database_url) as made:
        yield made


@pytest.fixture
def admin(world: ReviewWorld) -> FlaskClient:
    return world.admin(world.application())


@pytest.fixture
def shopper(world: ReviewWorld) -> FlaskClient:
    return world.shopper(world.application())


def remember(world: ReviewWorld, query_id: str, data: bytes) -> None:
    """Write the reviewed photo's vector, as the next filling of the bottlenecks does."""
    [vector] = FakeBackbone().extract([fit_input(read_photo(data).pixels)])
    with transaction(world.engine) as session:
        found = session.execute(
            text("SELECT id, product_id FROM reviewed_photos WHERE query_id = :id"), {"id": query_id}
        ).one()
        rows = [(found.id, found.product_id, "", np.asarray(vector))]
        assert put_reviewed_vectors(session, world.shop.space_id, rows, projection().apply) == 1


def add_model(world: ReviewWorld, version: str, photos: dict[str, str] | None) -> None:
    """A version that says it used these photos (content hash -> role); None: its folder is gone."""
    with transaction(world.engine) as session:
        session.add(
            Bundle(
                version=version,
                space_id=world.shop.space_id,
                state="retired",
                manifest_sha256="0" * 64,
                metrics={},
            )
        )
    if photos is not None:
        folder = world.home / "bundles" / version
        folder.mkdir(parents=True)
        places = {name: [role, 0, 1] for name, role in photos.items()}
        (folder / "split.json").write_text(json.dumps({"format": 1, "folds": 5, "photos": places}))


@pytest.fixture
def models(world: ReviewWorld) -> Iterator[None]:
    """No version is left over for the next test."""
    yield
    with transaction(world.engine) as session:
        session.execute(delete(Bundle))


def test_deleting_a_query_takes_everything_that_came_of_its_photo_at_once(
    world: ReviewWorld, admin: FlaskClient, shopper: FlaskClient
) -> None:
    photo = world.photo((150, 90, 40))
    query_id = picked(shopper, photo, "shirt-m")
    decide(admin, query_id, "accept")
    remember(world, query_id, photo)
    again = ask(shopper, photo, keep=False)
    with world.engine.connect() as connection:
        candidates = connection.execute(
            text("SELECT candidates FROM queries WHERE id = :id"), {"id": again}
        ).scalar_one()
    assert candidates[0]["label"] == "shirt", "k-NN has learned it from the reviewed photo"
    assert candidates[0]["votes"]["knn"]["score"] == pytest.approx(1.0, abs=1e-3)
    deleted = shopper.delete(f"/v1/queries/{query_id}")
    assert (deleted.status_code, deleted.data) == (204, b"")
    for table in ("picks", "review_items", "reviewed_photos"):
        assert world.count(table, query_id) == 0
    assert world.count("reviewed_vectors") == 0
    assert not world.media.exists(content_hash(photo))
    assert problem_of(admin.get(f"/v1/admin/review/{query_id}"))["code"] == "review_item_not_found"


@pytest.mark.usefixtures("models")
def test_the_answer_names_the_models_that_used_the_photo(
    world: ReviewWorld, admin: FlaskClient, shopper: FlaskClient
) -> None:
    photo = world.photo(CAP)
    name = content_hash(photo)
    add_model(world, "before", {name: "train"})
    query_id = picked(shopper, photo, "cap")
    decide(admin, query_id, "accept")
    add_model(world, "trained", {name: "validation", "a" * 64: "train"})
    add_model(world, "without", {"a" * 64: "train"})
    add_model(world, "measured", {name: "hold_out"})
    add_model(world, "lost", None)
    answer = shopper.delete(f"/v1/queries/{query_id}")
    assert answer.status_code == 200
    assert answer.json["query_id"] == query_id and answer.json["photo_deleted"] is True
    told = {(model["version"], model["state"], model["use"]) for model in answer.json["models"]}
    assert told == {
        ("trained", "retired", "trained"),
        ("measured", "retired", "held_out"),
        ("lost", "retired", "not_known"),
    }
    assert not world.media.exists(name)


@pytest.mark.usefixtures("models")
def test_a_photo_that_was_never_accepted_taught_nothing(
    world: ReviewWorld, admin: FlaskClient, shopper: FlaskClient
) -> None:
    photo = world.photo(CAP)
    query_id = picked(shopper, photo, "cap")
    decide(admin, query_id, "discard")
    add_model(world, "innocent", {content_hash(photo): "train"})
    assert shopper.delete(f"/v1/queries/{query_id}").status_code == 204


@pytest.mark.usefixtures("models")
def test_a_photo_that_was_accepted_for_a_while_is_still_named(
    world: ReviewWorld, admin: FlaskClient, shopper: FlaskClient
) -> None:
    photo = world.photo(CAP)
    query_id = picked(shopper, photo, "cap")
    accepted = decide(admin, query_id, "accept").json
    add_model(world, "meanwhile", {content_hash(photo): "train"})
    assert decide(admin, query_id, "discard", accepted["etag"]).status_code == 200
    answer = admin.delete(f"/v1/admin/queries/{query_id}")
    assert [model["version"] for model in answer.json["models"]] == ["meanwhile"]


def test_an_administrator_deletes_any_query_by_either_path(
    world: ReviewWorld, admin: FlaskClient, shopper: FlaskClient
) -> None:
    for path in ("/v1/admin/queries", "/v1/queries"):
        query_id = picked(shopper, world.photo(CAP), "cap")
        assert admin.delete(f"{path}/{query_id}").status_code == 204
        assert problem_of(admin.delete(f"{path}/{query_id}"))["code"] == "query_not_found"
        assert world.count("review_items", query_id) == 0


def test_a_photo_that_another_query_keeps_stays_for_it(
    world: ReviewWorld, admin: FlaskClient, shopper: FlaskClient
) -> None:
    photo = world.photo(CAP)
    first, second = (picked(shopper, photo, "cap") for _ in range(2))
    decide(admin, first, "accept")
    shopper.delete(f"/v1/queries/{first}")
    assert world.media.exists(content_hash(photo))
    assert decide(admin, second, "accept").status_code == 200
    shopper.delete(f"/v1/queries/{second}")
    assert not world.media.exists(content_hash(photo))


def test_deleting_a_product_takes_its_reviewed_photos(
    world: ReviewWorld, admin: FlaskClient, shopper: FlaskClient
) -> None:
    admin.put("/v1/admin/products/seasonal", json={"name": "Seasonal"})
    photo, later = world.photo((90, 20, 140)), world.photo((90, 20, 140))
    query_id, waiting = picked(shopper, photo, "seasonal"), picked(shopper, later, "seasonal")
    decide(admin, query_id, "accept")
    remember(world, query_id, photo)
    assert admin.delete("/v1/admin/products/seasonal").status_code == 204
    assert world.count("reviewed_photos", query_id) == 0 and world.count("reviewed_vectors") == 0
    item = show(admin, query_id)
    assert (item["state"], item["in_training"]) == ("accepted", False)
    refused = decide(admin, waiting, "accept")
    assert refused.status_code == 422
    assert problem_of(refused)["problems"][0]["field"] == "sku"
    assert decide(admin, waiting, "relabel", sku="cap").status_code == 200


def test_where_a_product_has_come_back_accepting_again_brings_its_photo_back(
    world: ReviewWorld, admin: FlaskClient, shopper: FlaskClient
) -> None:
    admin.put("/v1/admin/products/returning", json={"name": "Returning"})
    query_id = picked(shopper, world.photo((90, 20, 140)), "returning")
    first = decide(admin, query_id, "accept").json
    assert admin.delete("/v1/admin/products/returning").status_code == 204
    assert decide(admin, query_id, "accept").status_code == 422
    admin.put("/v1/admin/products/returning", json={"name": "Returning"})
    assert show(admin, query_id)["in_training"] is False
    again = decide(admin, query_id, "accept").json
    assert (again["state"], again["in_training"]) == ("accepted", True)
    assert again["decision"]["decided_at"] > first["decision"]["decided_at"]
    assert decide(admin, query_id, "accept").json == again
    assert world.count("reviewed_photos", query_id) == 1


def test_the_file_goes_only_when_the_rows_do(
    world: ReviewWorld, admin: FlaskClient, shopper: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    photo = world.photo(CAP)
    query_id = picked(shopper, photo, "cap")
    decide(admin, query_id, "accept")

    def refuse(self: MediaStore, name: str) -> None:
        raise OSError("the store does not answer")

    with monkeypatch.context() as patch:
        patch.setattr(MediaStore, "delete", refuse)
        assert shopper.delete(f"/v1/queries/{query_id}").status_code == 500
    assert world.count("reviewed_photos", query_id) == 1 and world.media.exists(content_hash(photo))
    assert shopper.delete(f"/v1/queries/{query_id}").status_code == 204
    assert not Path(world.home / "media" / content_hash(photo)[:2] / content_hash(photo)).exists()
