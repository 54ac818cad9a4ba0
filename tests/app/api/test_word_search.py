"""POST /v1/search with words, over HTTP against a real database; places follow the products."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flask.testing import FlaskClient
from sqlalchemy import Engine, text

from app.jobs.shared import publish_shared
from app.services.catalogue.duplicates import find_alike
from app.services.catalogue.restricted import find_restricted
from app.services.words import FOLDER
from app.store.database import transaction
from app.store.shared_tables import SharedSpaceRow
from app.store.shared_vectors import nearest_labels
from app.store.spaces import remove_shared
from app.wiring import Container
from models.multimodal.shared_bundle import SharedBundle
from tests.app.api.conftest import problem_of
from tests.app.api.world import Shop, draw
from tests.contracts.fake_backbone import FakeBackbone
from tests.shared_world import made_bundle

WORDS = tuple(f"The {sku} {more}" for sku, more in (
    ("milk-1", "Dairyland white milk"), ("milk-2", "Alpina blue milk"), ("yoghurt", "Alpina green yoghurt"),
    ("shirt-m", "Weber red shirt"), ("shoe", "black shoe"), ("cap", ""),
))  # fmt: skip


@pytest.fixture
def untrained(service_engine: Engine, home: Path) -> Iterator[None]:
    """No shared space, now and after the test."""
    _clear(service_engine, home)
    yield
    _clear(service_engine, home)


def _clear(engine: Engine, home: Path) -> None:
    with transaction(engine) as session:
        for row in session.query(SharedSpaceRow).all():
            remove_shared(session, row)
    shutil.rmtree(home / FOLDER, ignore_errors=True)


@pytest.fixture
def bundle(untrained: None, service_engine: Engine, shop: Shop, home: Path) -> SharedBundle:
    """A version in service that reads the shop's space."""
    made = made_bundle(home / FOLDER, WORDS, "words-1", FakeBackbone.space)
    publish_shared(service_engine, home / FOLDER, made, shop.space_id)
    return made


def find(client: FlaskClient, photo: bytes | None = None, **fields: Any) -> Any:
    data: dict[str, Any] = dict(fields)
    if photo is not None:
        data["photo"] = (BytesIO(photo), "photo.jpg")
    return client.post("/v1/search", data=data, content_type="multipart/form-data")


def skus(answer: Any) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [candidate["product"]["sku"] for candidate in answer.json["candidates"]]


def test_words_find_products_with_the_shape_of_the_contract(
    client: FlaskClient, bundle: SharedBundle, service_engine: Engine
) -> None:
    answer = find(client, text="Alpina yoghurt, green")
    assert skus(answer)[0] == "yoghurt"
    body = answer.json
    assert body["verdict"] is None and body["calibrated"] is False and body["advice"] == []
    assert (body["model_version"], body["weights"]) == ("words-1", "fake")
    assert body["timings_ms"]["decode"] == body["timings_ms"]["network"] == 0
    assert body["timings_ms"]["total"] >= body["timings_ms"]["classify"] > 0
    first = body["candidates"][0]
    assert first["votes"] is None and first["known_since"] is None and first["rank"] == 1
    scores = [candidate["score"] for candidate in body["candidates"]]
    assert scores == sorted(scores, reverse=True) and all(0 <= score <= 1 for score in scores)
    assert len(body["candidates"]) == len({candidate["label"] for candidate in body["candidates"]}) == 5
    with service_engine.connect() as connection:
        row = connection.execute(text("SELECT * FROM queries WHERE id = :id"), {"id": body["query_id"]}).one()
    assert (row.verdict, row.model_version, row.photo_hash) == (None, "words-1", None)
    assert [found["sku"] for found in row.candidates] == skus(answer)


def test_a_group_is_one_candidate(client: FlaskClient, bundle: SharedBundle) -> None:
    answer = find(client, text="Weber red shirt", top_k="20")
    assert answer.json["candidates"][0]["label"] == "shirt"
    assert len(skus(answer)) == 6


@pytest.mark.parametrize(("category", "count"), [("Grocery > Dairy > Milk", 2), ("Fashion", 3)])
def test_the_category_bounds_the_candidates(
    client: FlaskClient, bundle: SharedBundle, category: str, count: int
) -> None:
    assert len(skus(find(client, text="red shirt", category=category))) == count
    assert problem_of(find(client, text="red", category="Toys"))["code"] == "category_not_found"


def test_words_refine_a_photo(client: FlaskClient, bundle: SharedBundle, shop: Shop) -> None:
    alone = find(client, shop.photos["milk-1"], text="milk")
    assert alone.json["timings_ms"]["decode"] > 0
    moved = find(client, shop.photos["milk-1"], text="Weber red shirt")
    assert skus(alone) != skus(moved)
    assert skus(moved).index("shirt-l") <= skus(alone).index("shirt-l")
    cropped = find(client, shop.photos["milk-1"], text="milk", crop="0,0,0.5,1")
    assert cropped.status_code == 200


def test_a_photo_alone_is_answered_as_ever(client: FlaskClient, bundle: SharedBundle, shop: Shop) -> None:
    body = find(client, shop.photos["milk-2"]).json
    assert body["verdict"] == "known" and body["candidates"][0]["votes"]["knn"]["state"] == "ranked"


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"text": "?!"}, "text"),
        ({"text": "red", "keep_photo": "true"}, "keep_photo"),
        ({"text": "red", "crop": "0,0,1,1"}, "crop"),
        ({"text": ""}, "text"),
        ({"text": "red", "top_k": "21"}, "top_k"),
        ({}, "photo"),
    ],
)
def test_a_field_that_does_not_go_with_words_is_named(
    client: FlaskClient, bundle: SharedBundle, fields: dict[str, Any], field: str
) -> None:
    answer = find(client, **fields)
    assert answer.status_code == 422
    assert problem_of(answer)["problems"][0]["field"] == field


def test_without_training_the_answer_says_how_to_train(client: FlaskClient, untrained: None, shop: Shop) -> None:
    for photo in (None, shop.photos["cap"]):
        answer = find(client, photo, text="red shirt")
        assert answer.status_code == 409
        body = problem_of(answer)
        assert body["code"] == "text_not_trained" and "python -m app text train" in body["detail"]


def test_a_photo_of_another_network_is_refused_and_words_alone_go_on(
    client: FlaskClient, untrained: None, service_engine: Engine, shop: Shop, home: Path
) -> None:
    made = made_bundle(home / FOLDER, WORDS, "words-2", "another-space")
    publish_shared(service_engine, home / FOLDER, made, shop.space_id)
    assert find(client, text="red shirt").status_code == 200
    body = problem_of(find(client, shop.photos["cap"], text="red shirt"))
    assert body["code"] == "text_not_trained" and "another-space" in body["detail"]


def test_a_changed_version_is_not_served(client: FlaskClient, bundle: SharedBundle, home: Path) -> None:
    (home / FOLDER / "words-1" / "metrics.json").write_text("[]")
    answer = find(client, text="red shirt")
    assert answer.status_code == 503 and problem_of(answer)["code"] == "bundle_damaged"


def test_another_version_takes_over_and_the_oldest_goes(
    container: Container, bundle: SharedBundle, service_engine: Engine, shop: Shop, home: Path
) -> None:
    folder = home / FOLDER
    for name in ("words-2", "words-3"):
        placed = publish_shared(
            service_engine, folder, made_bundle(folder, WORDS, name, FakeBackbone.space), shop.space_id
        )
        assert placed == 7
    assert container.words.current().bundle.version == "words-3"
    assert sorted(path.name for path in folder.iterdir()) == ["words-2", "words-3"]


def test_places_follow_a_product_and_its_photos(
    container: Container, bundle: SharedBundle, service_engine: Engine
) -> None:
    from app.services.catalogue.live_photos import Upload
    from app.services.catalogue.preconditions import Expected

    words = container.words.current()
    query = bundle.shared.query("Zebra lamp Q8123")
    photo = draw((200, 100, 10))

    def likeness() -> float | None:
        with transaction(service_engine) as session:
            return dict(nearest_labels(session, words.id, query, 20)).get("lamp")

    assert likeness() is None
    try:
        container.product_editor.put("lamp", b'{"name": "Zebra lamp Q8123"}', Expected())
        named = likeness()
        assert named == pytest.approx(1.0, abs=1e-3)
        container.photo_editor.add("lamp", [Upload("a.jpg", photo)])
        seen = likeness()
        assert seen is not None and seen < 0.99
        record = container.product_editor.get("lamp")
        container.product_editor.put("lamp", b'{"name": "Quite other words"}', Expected(frozenset({record.etag})))
        renamed = likeness()
        assert renamed is not None and renamed < seen
    finally:
        container.product_editor.delete("lamp", Expected(anything=True))
    assert likeness() is None


def test_the_index_and_the_whole_table_agree(
    bundle: SharedBundle, container: Container, service_engine: Engine
) -> None:
    words = container.words.current()
    for said in WORDS:
        query = bundle.shared.query(said)
        with transaction(service_engine) as session:
            through_index = nearest_labels(session, words.id, query, 3)
            everything = frozenset({"milk-1", "milk-2", "yoghurt", "shirt", "shoe", "cap"})
            exactly = nearest_labels(session, words.id, query, 3, everything)
        assert _same(through_index, exactly)


def _same(one: list[tuple[str, float]], other: list[tuple[str, float]]) -> bool:
    return [label for label, _ in one] == [label for label, _ in other] and np.allclose(
        [likeness for _, likeness in one], [likeness for _, likeness in other], atol=1e-3
    )


def test_listings_of_one_product_are_found_and_clustered(
    container: Container, bundle: SharedBundle, service_engine: Engine
) -> None:
    from app.services.catalogue.preconditions import Expected

    skus = ("twin-1", "twin-2")
    try:
        for sku in skus:
            container.product_editor.put(sku, b'{"name": "Zebra lamp Q8123"}', Expected())
        with transaction(service_engine) as session:
            report = find_alike(session, container.words.current())
    finally:
        for sku in skus:
            container.product_editor.delete(sku, Expected(anything=True))
    assert report.state == "run" and report.products == 9
    [twins] = [cluster for cluster in report.clusters if "twin-1" in cluster.skus]
    assert twins.skus == skus and twins.evidence == ("name",) and not twins.same_label
    assert twins.probability > 0.9
    with transaction(service_engine) as session:
        assert find_alike(session, None).state.startswith("not run")
        nothing = replace(container.words.current(), bundle=replace(bundle, match=None))
        assert find_alike(session, nothing).state.startswith("not run")


def test_what_looks_restricted_is_flagged(container: Container, bundle: SharedBundle, service_engine: Engine) -> None:
    with transaction(service_engine) as session:
        words = container.words.current()
        report = find_restricted(session, words, 0.95)
        assert report.state == "run" and report.unmarked == 7
        assert find_restricted(session, None, 0.95).state.startswith("not run")
        assert find_restricted(session, replace(words, bundle=replace(bundle, restricted=None)), 0.95).flagged == ()
