"""PUT, GET and DELETE of single products, over HTTP against a real database, by two processes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import text

from app.services.catalogue import importing, planning
from tests.app.api.admin_world import TwoProcesses, another_admin, put, scene, search, two_processes
from tests.app.api.conftest import problem_of

COLUMNS = {
    "name": "Oat  Drink",
    "brand": "Haferl",
    "category": "Grocery > Drinks",
    "type": "carton",
    "colour": "beige",
    "price": "2.49",
    "currency": "EUR",
    "description": "One litre.\nShake.",
    "source": "supplier",
    "gtin": "4006381333931",
    "url": "https://shop.example/oat",
    "available": False,
    "mall_category": "Vegan",
    "listed_at": "2024-05-31",
    "catalogue_id": "c-7",
    "restricted": False,
    "season": "Summer",
}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, database_url: str) -> Iterator[TwoProcesses]:
    """Two processes of one service."""
    with two_processes(tmp_path_factory.mktemp("admin-home"), database_url) as service:
        yield service


@pytest.fixture
def admin(service: TwoProcesses) -> FlaskClient:
    return service.first.admin


def get(client: FlaskClient, sku: str) -> Any:
    return client.get(f"/v1/admin/products/{sku}")


def test_a_product_is_created_as_an_import_would_and_shown_in_every_process(service: TwoProcesses) -> None:
    answer = put(service.first.admin, "oat", COLUMNS)
    assert answer.status_code == 201, answer.text
    expected = {**COLUMNS, "sku": "oat", "name": "Oat Drink", "listed_at": "2024-05-31T00:00:00Z", "group": None}
    assert answer.json["product"] == expected
    assert answer.json["doubts"] == []
    assert answer.json["label"] == "oat" and answer.json["photos"] == []
    assert answer.json["recognisable"] is False
    assert answer.json["known_since"] == {"fcn": None, "knn": None, "svm": None}
    assert answer.headers["ETag"] == f'"{answer.json["etag"]}"'
    there = get(service.second.admin, "oat")
    assert there.json["product"] == expected and there.headers["ETag"] == answer.headers["ETag"]
    assert service.second.shopper.get("/v1/products/oat").json["brand"] == "Haferl"


def test_what_get_shows_can_be_put_back_and_changes_nothing(service: TwoProcesses, admin: FlaskClient) -> None:
    put(admin, "round", COLUMNS)
    before = get(admin, "round")
    with service.engine.connect() as connection:
        stamp = connection.scalar(text("SELECT updated_at FROM products WHERE sku = 'round'"))
        answer = put(admin, "round", before.json["product"], if_match=before.headers["ETag"])
        assert answer.status_code == 200
        assert answer.json["product"] == before.json["product"]
        assert answer.headers["ETag"] == before.headers["ETag"]
        connection.rollback()
        assert connection.scalar(text("SELECT updated_at FROM products WHERE sku = 'round'")) == stamp


def test_replacing_needs_the_etag_and_what_is_left_out_becomes_unknown(admin: FlaskClient) -> None:
    etag = put(admin, "twice", COLUMNS).headers["ETag"]
    refused = put(admin, "twice", {"name": "New"})
    assert refused.status_code == 428
    assert problem_of(refused)["code"] == "precondition_required"
    answer = put(admin, "twice", {"name": "New", "price": 3.5}, if_match=etag)
    assert answer.status_code == 200
    product = answer.json["product"]
    assert (product["name"], product["price"], product["currency"]) == ("New", "3.50", "EUR")
    assert (product["brand"], product["available"], product["restricted"]) == (None, True, None)
    stale = put(admin, "twice", {"name": "Newer"}, if_match=etag)
    assert stale.status_code == 412
    assert problem_of(stale)["code"] == "precondition_failed"
    assert answer.json["etag"] in problem_of(stale)["detail"]
    assert get(admin, "twice").json["product"]["name"] == "New"


@pytest.mark.parametrize(
    ("sku", "headers", "status"),
    [
        ("milk-1", {"if_none_match": "*"}, 412),
        ("milk-1", {"if_match": 'W/"weak"'}, 428),
        ("fresh", {"if_match": '"anything"'}, 412),
        ("fresh", {"if_match": "*"}, 412),
        ("fresh", {"if_none_match": '"etag"'}, 422),
    ],
)
def test_preconditions_that_do_not_hold(admin: FlaskClient, sku: str, headers: dict[str, str], status: int) -> None:
    assert put(admin, sku, {"name": "x"}, **headers).status_code == status
    assert get(admin, "fresh").status_code == 404


def test_if_none_match_creates(admin: FlaskClient) -> None:
    assert put(admin, "only-new", {"name": "x"}, if_none_match="*").status_code == 201
    assert put(admin, "only-new", {"name": "y"}, if_none_match="*").status_code == 412


def test_of_many_who_hold_the_same_etag_one_wins(service: TwoProcesses) -> None:
    etag = put(service.first.admin, "contested", {"name": "start"}).headers["ETag"]

    clients = [another_admin(service.both[number % 2], service.shop) for number in range(6)]

    def write(number: int) -> int:
        status: int = put(clients[number], "contested", {"name": f"writer {number}"}, if_match=etag).status_code
        return status

    with ThreadPoolExecutor(6) as pool:
        assert sorted(pool.map(write, range(6))) == [200, 412, 412, 412, 412, 412]


def test_of_many_who_create_the_same_sku_one_does(service: TwoProcesses) -> None:
    clients = [another_admin(service.both[number % 2], service.shop) for number in range(6)]

    def create(number: int) -> int:
        status: int = put(clients[number], "raced", {"name": f"n{number}", "brand": "Same"}).status_code
        return status

    with ThreadPoolExecutor(6) as pool:
        assert sorted(pool.map(create, range(6))) == [201, 428, 428, 428, 428, 428]


def test_everything_that_is_wrong_is_listed_with_its_value_and_reason(admin: FlaskClient) -> None:
    answer = put(admin, "bad", {"price": "1,50", "url": "ftp://x", "color": "red", "sku": "other", "name": [1]})
    assert answer.status_code == 422
    problem = problem_of(answer)
    assert problem["code"] == "request_invalid"
    found = {item["field"]: item for item in problem["problems"]}
    assert found["price"] == {"field": "price", "value": "1,50", "reason": "has a decimal comma; write 1.50"}
    assert found["url"]["value"] == "ftp://x"
    assert "did you mean colour" in found["color"]["reason"]
    assert found["sku"]["value"] == "other" and "bad" in found["sku"]["reason"]
    assert found["name"]["value"] == "[1]"
    assert get(admin, "bad").status_code == 404


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{", b'{"name": "a", "name": "b"}', b'{"price": NaN}', b'{"name": "\xff"}']
)
def test_a_body_that_is_no_product_is_refused(admin: FlaskClient, body: bytes) -> None:
    answer = admin.put("/v1/admin/products/nothing", data=body, content_type="application/json")
    assert answer.status_code == 422
    assert problem_of(answer)["code"] == "request_invalid"


def test_the_longest_description_passes_and_a_larger_body_does_not(admin: FlaskClient) -> None:
    answer = put(admin, "long", {"description": "설" * 20_000})  # the client escapes it: six bytes a character
    assert answer.status_code == 201 and len(answer.json["product"]["description"]) == 20_000
    assert put(admin, "long", {"description": "x" * 300_000}, if_match="*").status_code == 413
    assert put(admin, "long", {"description": "x" * 20_001}, if_match="*").status_code == 422


def test_a_doubtful_gtin_is_taken_and_told(admin: FlaskClient) -> None:
    answer = put(admin, "doubt", {"gtin": "4006381333930"})
    assert answer.status_code == 201
    [doubt] = answer.json["doubts"]
    assert (doubt["field"], doubt["value"]) == ("gtin", "4006381333930")


def test_a_sku_that_names_no_folder_is_refused_and_any_other_alphabet_is_fine(admin: FlaskClient) -> None:
    assert put(admin, "a:b", {"name": "x"}).status_code == 422
    assert put(admin, ".hidden", {"name": "x"}).status_code == 422
    assert put(admin, "우유 1+1 50%", {"name": "우유"}).status_code == 201
    assert get(admin, "우유 1+1 50%").json["product"]["name"] == "우유"


def test_a_deleted_product_is_nobodys_candidate_in_any_process_and_comes_back_when_added_again(
    service: TwoProcesses,
) -> None:
    photo = service.shop.photos["cap"]
    for process in service.both:
        found = search(process.shopper, photo)
        # FCN and SVM name every photo so: their first label is the cap.
        assert found["cap"]["votes"]["fcn"]["rank"] == 1
        assert found["cap"]["known_since"]["fcn"] == "2026-02-03T04:05:06Z"
    columns = get(service.first.admin, "cap").json["product"]
    assert service.first.admin.delete("/v1/admin/products/cap").status_code == 204
    for process in service.both:
        found = search(process.shopper, photo)
        assert "cap" not in found and len(found) == 5
        assert sum(c["votes"]["fcn"]["state"] == "ranked" for c in found.values()) == 5
        first = next(c for c in found.values() if c["votes"]["fcn"].get("rank") == 1)
        assert first["label"] == "milk-1", "masked before the classifier's own five, not cut out after them"
        assert "cap" not in search(process.shopper, photo, category="Fashion")
        assert process.shopper.get("/v1/products/cap").status_code == 404
    assert service.second.admin.delete("/v1/admin/products/cap").status_code == 404
    assert put(service.second.admin, "cap", columns).status_code == 201
    for process in service.both:
        process.container.model.current().withdrawn._recheck_s = 0.0  # not to wait for a second to pass
        search(process.shopper, photo)
        found = search(process.shopper, photo)
        assert found["cap"]["votes"]["fcn"]["rank"] == 1
        # Its photos went with it: k-NN cannot name it, and says so.
        assert found["cap"]["votes"]["knn"] == {"state": "label_unknown", "rank": None, "score": None}
        assert found["cap"]["known_since"]["knn"] is None


def test_delete_obeys_if_match(admin: FlaskClient) -> None:
    etag = put(admin, "guarded", {"name": "x"}).headers["ETag"]
    refused = admin.delete("/v1/admin/products/guarded", headers={"If-Match": '"other"'})
    assert problem_of(refused)["code"] == "precondition_failed"
    assert admin.delete("/v1/admin/products/guarded", headers={"If-Match": etag}).status_code == 204


def test_a_new_group_takes_the_k_nn_memory_along(service: TwoProcesses) -> None:
    photo = service.shop.photos["yoghurt"]
    answer = get(service.first.admin, "yoghurt")
    columns = answer.json["product"] | {"group": "curd"}
    changed = put(service.first.admin, "yoghurt", columns, if_match=answer.headers["ETag"])
    assert changed.json["label"] == "curd"
    assert changed.json["known_since"]["knn"] is not None and changed.json["known_since"]["fcn"] is None
    found = search(service.second.shopper, photo)
    assert found["curd"]["votes"]["knn"]["rank"] == 1
    assert found["curd"]["votes"]["svm"]["state"] == "label_unknown"
    assert "yoghurt" not in found, "the label that FCN and SVM learned has no product any more"
    back = put(service.first.admin, "yoghurt", columns | {"group": None}, if_match=changed.headers["ETag"])
    assert back.json["label"] == "yoghurt"


def test_a_colour_and_a_type_that_are_no_longer_given_are_recognised_from_the_photos(service: TwoProcesses) -> None:
    answer = get(service.first.admin, "milk-2")
    assert answer.json["predicted"] == {"type": None, "colour": None}
    columns = answer.json["product"] | {"colour": None, "type": None}
    changed = put(service.first.admin, "milk-2", columns, if_match=answer.headers["ETag"])
    assert changed.json["predicted"]["colour"]["value"] == "blue"
    assert changed.json["predicted"]["type"]["value"] == "box"
    given = put(service.first.admin, "milk-2", columns | {"colour": "navy"}, if_match=changed.headers["ETag"])
    assert given.json["predicted"]["colour"] is None


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/admin/products/milk-1"),
        ("PUT", "/v1/admin/products/milk-1"),
        ("DELETE", "/v1/admin/products/milk-1"),
        ("POST", "/v1/admin/products/milk-1/images"),
        ("DELETE", f"/v1/admin/products/milk-1/images/{'0' * 64}"),
        ("GET", "/v1/admin/models"),
        ("POST", "/v1/admin/models/rollback"),
    ],
)
def test_only_an_admin_key_reaches_these_routes(service: TwoProcesses, method: str, path: str) -> None:
    assert problem_of(service.first.shopper.open(path, method=method, json={}))["code"] == "forbidden"
    anyone = service.first.shopper.application.test_client()
    assert problem_of(anyone.open(path, method=method, json={}))["code"] == "unauthorized"


def test_every_change_and_every_refusal_is_in_the_audit_log(
    service: TwoProcesses, caplog: pytest.LogCaptureFixture
) -> None:
    admin = service.first.admin
    with caplog.at_level("INFO", logger="pickture.audit"):
        put(admin, "audited", {"name": "secret text"})
        put(admin, "audited", {"name": "again"})
        get(admin, "audited")
        service.first.shopper.delete("/v1/admin/products/audited")
        service.first.shopper.application.test_client().get("/v1/admin/models")
        last = admin.delete("/v1/admin/products/audited")
    lines = [json.loads(record.getMessage()) for record in caplog.records if record.name == "pickture.audit"]
    told = [(line["action"].split()[0], line["status"], line["code"], line["role"]) for line in lines]
    assert told == [
        ("PUT", 201, None, "admin"),
        ("PUT", 428, "precondition_required", "admin"),
        ("DELETE", 403, "forbidden", "app"),
        ("GET", 401, "unauthorized", None),
        ("DELETE", 204, None, "admin"),
    ]
    assert lines[0]["action"] == "PUT /v1/admin/products/<sku>" and lines[0]["target"] == {"sku": "audited"}
    assert lines[0]["key_id"] is not None and lines[3]["key_id"] is None
    assert lines[-1]["request_id"] == last.headers["X-Request-Id"]
    assert "secret text" not in caplog.text and service.shop.admin_key not in caplog.text


def test_an_import_that_was_overtaken_compares_again(
    service: TwoProcesses, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "catalogue"
    (folder / "images" / "overtaken").mkdir(parents=True)
    (folder / "images" / "overtaken" / "1.jpg").write_bytes(scene(77))
    (folder / "products.csv").write_text("sku,name\novertaken,From the import\n")
    decoded: list[int] = []
    original = planning.decode_photos

    def while_decoding(files: Any, *arguments: Any, **further: Any) -> Any:
        decoded.append(len(files))
        if len(decoded) == 1:
            put(service.first.admin, "overtaken", {"name": "By hand", "brand": "Other"})
        return original(files, *arguments, **further)

    monkeypatch.setattr(planning, "decode_photos", while_decoding)
    report = importing.import_catalogue(service.engine, service.first.container.media, folder)
    assert (report.applied, report.added, report.changed, report.images_added) == (True, 0, 1, 1)
    assert decoded == [1, 0], "a photo is decoded once"
    assert get(service.first.admin, "overtaken").json["product"]["name"] == "From the import"
