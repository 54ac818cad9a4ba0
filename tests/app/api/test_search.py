"""POST /v1/search, over HTTP against a real database."""

from __future__ import annotations

from contextlib import ExitStack
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from flask.testing import FlaskClient
from PIL import Image as PilImage
from sqlalchemy import Engine, text

from app.services.intake import Crop
from app.services.search import SearchRequest
from app.store.media import MediaStore, content_hash
from app.wiring import Container
from models.photo import PhotoLimits, read_photo
from models.recognizer import Withdrawn
from tests.app.api.conftest import problem_of
from tests.app.api.world import TRAINED, VERSION, KnnLoader, Shop, draw


def search(client: FlaskClient, photo: bytes | None, **fields: Any) -> Any:
    """Send a photo and form fields as a phone does."""
    data: dict[str, Any] = dict(fields)
    if photo is not None:
        data["photo"] = (BytesIO(photo), "IMG_0001.jpg")
    return client.post("/v1/search", data=data, content_type="multipart/form-data")


def skus(answer: Any) -> list[str]:
    """The candidates' products, best first."""
    assert answer.status_code == 200, answer.text
    return [candidate["product"]["sku"] for candidate in answer.json["candidates"]]


def test_a_reference_photo_finds_its_product_with_everything_the_contract_names(
    client: FlaskClient, shop: Shop
) -> None:
    answer = search(client, shop.photos["milk-2"])
    assert answer.status_code == 200
    body = answer.json
    assert set(body) == {
        "query_id", "verdict", "calibrated", "advice", "suggested_crops", "candidates", "model_version",
        "weights", "timings_ms",
    }  # fmt: skip
    assert body["verdict"] == "known" and body["calibrated"] is False
    assert body["model_version"] == VERSION and body["weights"] == "fake"
    assert set(body["timings_ms"]) == {"decode", "network", "classify", "total"}
    assert body["timings_ms"]["total"] >= body["timings_ms"]["decode"] > 0
    assert len(body["candidates"]) == 5
    assert [c["rank"] for c in body["candidates"]] == [1, 2, 3, 4, 5]
    assert len({c["label"] for c in body["candidates"]}) == 5
    first = body["candidates"][0]
    assert set(first) == {"rank", "score", "label", "product", "other_skus", "votes", "known_since", "heat_map"}
    assert set(first["product"]) >= {
        "sku", "name", "brand", "category", "type", "colour", "price", "currency", "available", "image_url",
    }  # fmt: skip
    assert first["product"] | {"image_url": None} == {
        "sku": "milk-2",
        "name": "The milk-2",
        "brand": "Alpina",
        "category": "Grocery > Dairy > Milk",
        "type": "milk",
        "colour": "blue",
        "predicted": {"type": None, "colour": None},
        "price": "1.50",
        "currency": "EUR",
        "available": True,
        "image_url": None,
    }
    assert client.get(first["product"]["image_url"]).status_code == 200
    assert first["votes"] == {
        "fcn": {"state": "label_unknown", "rank": None, "score": None},
        "knn": {"state": "ranked", "rank": 1, "score": pytest.approx(1.0, abs=1e-3)},
        "svm": {"state": "label_unknown", "rank": None, "score": None},
    }
    assert first["known_since"]["fcn"] is None and first["known_since"]["svm"] is None
    assert first["known_since"]["knn"] is not None


def test_an_explained_search_has_a_heat_map_of_each_candidate(client: FlaskClient, shop: Shop) -> None:
    plain = search(client, shop.photos["milk-2"]).json["candidates"]
    assert [candidate["heat_map"] for candidate in plain] == [None] * 5
    explained = search(client, shop.photos["milk-2"], explain="true").json["candidates"]
    for before, after in zip(plain, explained, strict=True):
        assert before | {"heat_map": None} == after | {"heat_map": None}
        heat = after["heat_map"]
        assert set(heat) == {"classifier", "x", "y", "w", "h", "values"} and heat["classifier"] == "knn"
        assert [len(row) for row in heat["values"]] == [8] * 8
        assert {min(map(min, heat["values"])), max(map(max, heat["values"]))} <= {0.0, 1.0}
    box = explained[0]["heat_map"]
    assert (box["x"], box["y"], box["w"], box["h"]) == (0.07191, 0.07191, 0.85619, 0.85619)
    assert max(map(max, box["values"])) == 1.0


def test_the_heat_map_of_a_crop_lies_within_the_crop(client: FlaskClient, shop: Shop) -> None:
    answer = search(client, shop.photos["milk-2"], explain="true", crop="0.2,0.4,0.5,0.4")
    heat = answer.json["candidates"][0]["heat_map"]
    assert (heat["x"], heat["y"]) == pytest.approx((0.2 + 0.5 * 21.5 / 299, 0.4 + 0.4 * 21.5 / 299), abs=1e-5)
    assert (heat["w"], heat["h"]) == pytest.approx((0.5 * 256 / 299, 0.4 * 256 / 299), abs=1e-5)


def test_a_group_is_one_candidate_and_names_its_other_skus(client: FlaskClient, shop: Shop) -> None:
    first = search(client, shop.photos["shirt-m"]).json["candidates"][0]
    assert first["label"] == "shirt"
    assert first["product"]["sku"] == "shirt-l"
    assert first["other_skus"] == ["shirt-m"]
    assert first["product"]["image_url"] is None


def test_an_unavailable_product_is_not_the_one_shown(client: FlaskClient, shop: Shop, service_engine: Engine) -> None:
    with service_engine.begin() as connection:
        connection.execute(text("UPDATE products SET available = false WHERE sku = 'shirt-l'"))
    try:
        first = search(client, shop.photos["shirt-m"]).json["candidates"][0]
        assert (first["product"]["sku"], first["other_skus"]) == ("shirt-m", ["shirt-l"])
    finally:
        with service_engine.begin() as connection:
            connection.execute(text("UPDATE products SET available = true WHERE sku = 'shirt-l'"))


@pytest.mark.parametrize(
    ("category", "expected"),
    [
        ("Grocery > Dairy > Milk", {"milk-1", "milk-2"}),
        ("grocery >  DAIRY", {"milk-1", "milk-2", "yoghurt"}),
        ("Fashion", {"shirt-l", "shoe", "cap"}),
    ],
)
def test_the_category_bounds_the_candidates(client: FlaskClient, shop: Shop, category: str, expected: set[str]) -> None:
    assert set(skus(search(client, shop.photos["shoe"], category=category))) == expected


def test_a_small_crop_is_decoded_as_large_as_it_needs() -> None:
    limits = PhotoLimits()
    photo = read_photo(draw((9, 9, 9), size=(3000, 2000)), Crop(0.4, 0.4, 0.25, 0.25).sharpen(limits))
    assert Crop(0.4, 0.4, 0.25, 0.25).apply(photo).pixels.shape == (500, 750, 3)
    assert Crop(0, 0, 0.01, 0.01).sharpen(limits).decode_edge == 3840
    assert Crop(0, 0, 1, 1).sharpen(limits) == limits


def test_an_unknown_category_is_an_error_and_not_an_empty_answer(client: FlaskClient, shop: Shop) -> None:
    answer = search(client, shop.photos["shoe"], category="Grocery > Bread")
    assert answer.status_code == 404
    assert problem_of(answer)["code"] == "category_not_found"


def test_a_category_that_looks_like_a_number_stays_text(client: FlaskClient, shop: Shop) -> None:
    assert "'1e3'" in problem_of(search(client, shop.photos["shoe"], category="1e3"))["detail"]


@pytest.mark.parametrize(("top_k", "count"), [("1", 1), ("5", 5), ("20", 6)])
def test_top_k(client: FlaskClient, shop: Shop, top_k: str, count: int) -> None:
    assert len(skus(search(client, shop.photos["cap"], top_k=top_k))) == count


def test_a_crop_is_taken_after_orientation(client: FlaskClient, shop: Shop) -> None:
    blue = np.asarray(PilImage.open(BytesIO(shop.photos["milk-2"])))
    black = np.asarray(PilImage.open(BytesIO(shop.photos["shoe"])))
    upright = PilImage.fromarray(np.hstack([blue, black]))
    stored = upright.transpose(PilImage.Transpose.ROTATE_90)
    exif = PilImage.Exif()
    exif[0x0112] = 6
    out = BytesIO()
    stored.save(out, "JPEG", quality=90, exif=exif)
    assert skus(search(client, out.getvalue(), crop="0,0,0.5,1"))[0] == "milk-2"
    assert skus(search(client, out.getvalue(), crop="0.5, 0, 0.5, 1"))[0] == "shoe"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("crop", "0,0,1"),
        ("crop", "0,0,1,1,1"),
        ("crop", "0.5,0,0.6,1"),
        ("crop", "-0.1,0,0.5,0.5"),
        ("crop", "0,0,0,1"),
        ("crop", "nan,0,1,1"),
        ("crop", "0,0,inf,1"),
        ("crop", "0,0,0.01,0.01"),
        ("crop", "a,b,c,d"),
        ("top_k", "0"),
        ("top_k", "21"),
        ("top_k", "many"),
        ("keep_photo", "perhaps"),
        ("category", ""),
        ("category", "a\x00b"),
        ("colour", "red"),
    ],
)
def test_a_field_out_of_range_is_named(client: FlaskClient, shop: Shop, field: str, value: str) -> None:
    answer = search(client, shop.photos["cap"], **{field: value})
    assert answer.status_code == 422
    body = problem_of(answer)
    assert body["code"] == "request_invalid"
    assert body["problems"][0]["field"].split(".")[0] == field


def test_words_are_not_explained(client: FlaskClient, shop: Shop) -> None:
    answer = search(client, shop.photos["cap"], text="red", explain="true")
    assert answer.status_code == 422
    assert problem_of(answer)["code"] == "not_available"


def test_a_search_without_a_photo_is_refused(client: FlaskClient) -> None:
    answer = search(client, None, top_k="3")
    assert problem_of(answer)["problems"] == [
        {
            "field": "photo",
            "reason": "required where no text comes: the photo as a file part of a multipart/form-data body",
        }
    ]


@pytest.mark.parametrize(
    ("photo", "status", "code"),
    [
        (b"", 422, "photo_empty"),
        (b"GIF89a" + bytes(100), 415, "photo_format_unsupported"),
        (b"hello", 415, "photo_format_unsupported"),
        (draw((9, 9, 9))[:2000], 422, "photo_damaged"),
    ],
)
def test_a_bad_photo_costs_one_clear_error(client: FlaskClient, photo: bytes, status: int, code: str) -> None:
    answer = search(client, photo)
    assert answer.status_code == status
    assert problem_of(answer)["code"] == code


def test_a_body_over_the_limit_is_refused(client: FlaskClient, shop: Shop) -> None:
    answer = search(client, shop.photos["cap"] + bytes(3 * 2**20))
    assert answer.status_code == 413
    assert "2,097,152 bytes" in problem_of(answer)["detail"]


def test_advice_reaches_the_shopper(client: FlaskClient) -> None:
    answer = search(client, draw((6, 6, 6), size=(60, 60)))
    assert answer.status_code == 200
    assert {"small"} <= {hint["code"] for hint in answer.json["advice"]}
    assert all(hint["message"] for hint in answer.json["advice"])


def test_the_answer_is_remembered_and_the_photo_is_not(
    client: FlaskClient, shop: Shop, service_engine: Engine, media: MediaStore
) -> None:
    photo = draw((120, 10, 200))
    answer = search(client, photo, category="Fashion")
    with service_engine.connect() as connection:
        row = connection.execute(text("SELECT * FROM queries WHERE id = :id"), {"id": answer.json["query_id"]}).one()
    assert (row.model_version, row.verdict, row.category) == (VERSION, "known", "Fashion")
    assert row.photo_hash is None and row.session_id is not None
    assert row.candidates == [
        {"label": c["label"], "sku": c["product"]["sku"], "score": c["score"], "votes": c["votes"]}
        for c in answer.json["candidates"]
    ]
    assert not media.exists(content_hash(photo))


def test_with_consent_the_photo_is_kept_without_metadata(
    client: FlaskClient, shop: Shop, service_engine: Engine, media: MediaStore
) -> None:
    exif = PilImage.Exif()
    exif.get_ifd(0x8825)[1] = "N"
    out = BytesIO()
    PilImage.open(BytesIO(draw((10, 120, 200)))).save(out, "JPEG", exif=exif)
    answer = search(client, out.getvalue(), keep_photo="true")
    assert answer.status_code == 200
    stored = content_hash(out.getvalue())
    with service_engine.connect() as connection:
        kept = connection.scalar(text("SELECT photo_hash FROM queries WHERE id = :id"), {"id": answer.json["query_id"]})
    assert kept == stored
    assert not PilImage.open(BytesIO(media.open(stored))).getexif().get_ifd(0x8825)


def test_the_classifiers_are_told_which_labels_have_left_the_catalogue(container: Container, shop: Shop) -> None:
    told: list[frozenset[str]] = []
    recognizer = container.recognizer()
    original = recognizer.answer

    def noting(*seen: Any, withdrawn: Withdrawn, **further: Any) -> Any:
        told.append(withdrawn(frozenset()))
        return original(*seen, withdrawn=withdrawn, **further)

    recognizer.answer = noting  # type: ignore[method-assign]
    container.search.recognize(SearchRequest(shop.photos["cap"]))
    assert told == [TRAINED]


def test_nothing_published_is_not_ready_and_names_the_command(
    client: FlaskClient, shop: Shop, loader: KnnLoader
) -> None:
    loader.published = None
    answer = search(client, shop.photos["cap"])
    assert answer.status_code == 503
    assert int(answer.headers["Retry-After"]) > 0
    body = problem_of(answer)
    assert body["code"] == "bundle_not_found"
    assert "make train" in body["detail"]


def test_a_full_house_refuses_before_it_reads_the_body(client: FlaskClient, shop: Shop, container: Container) -> None:
    with ExitStack() as places:
        for _ in range(container.admission.places):
            places.enter_context(container.admission.enter())
        # Not even a form: a body that was read would be refused as one.
        answer = client.post("/v1/search", data=b"unread", content_type="text/plain")
        assert answer.status_code == 503
        assert problem_of(answer)["code"] == "overloaded"
        assert answer.headers["Retry-After"] == "1"
    assert search(client, shop.photos["cap"]).status_code == 200
