"""Photos added and removed over HTTP: recognised, or forgotten, by every process when the answer comes."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from io import BytesIO
from pathlib import Path

import pytest
from sqlalchemy import text

from app.services.catalogue import live_photos
from app.store.database import transaction
from app.store.media import content_hash
from app.store.vectors import put_vectors
from models.backbone.preprocessing import fit_input
from models.photo import read_photo
from tests.app.api.admin_world import (
    TwoProcesses,
    another_admin,
    post_photos,
    publish,
    put,
    scene,
    search,
    two_processes,
    write_model,
)
from tests.app.api.conftest import problem_of
from tests.app.api.world import projection
from tests.contracts.fake_backbone import FakeBackbone


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, database_url: str) -> Iterator[TwoProcesses]:
    """Two processes of one service."""
    with two_processes(tmp_path_factory.mktemp("photos-home"), database_url) as service:
        yield service


def counts(service: TwoProcesses, sku: str) -> tuple[int, int, int]:
    """(image rows, reference vectors, looks) of a product."""
    query = """
        SELECT (SELECT count(*) FROM images WHERE product_id = p.id),
               (SELECT count(*) FROM reference_vectors WHERE product_id = p.id),
               (SELECT count(*) FROM product_looks WHERE product_id = p.id)
        FROM products AS p WHERE sku = :sku
    """
    with service.engine.connect() as connection:
        row = connection.execute(text(query), {"sku": sku}).one()
    return row[0], row[1], row[2]


def test_a_new_product_is_found_by_other_photos_in_every_process_right_after_the_answer(service: TwoProcesses) -> None:
    for number in range(5):
        sku, adding, searching = f"live-{number}", service.both[number % 2], service.both[(number + 1) % 2]
        assert put(adding.admin, sku, {"name": "Just listed"}).status_code == 201
        answer = post_photos(adding.admin, sku, scene(number), scene(number, 6))
        assert answer.status_code == 201, answer.text
        assert answer.json["recognisable"] is True and answer.json["note"] is None
        assert answer.json["known_since"]["fcn"] is None and answer.json["known_since"]["knn"] is not None
        for process in (searching, adding):
            found = search(process.shopper, scene(number, 3))[sku]
            assert found["votes"]["knn"]["rank"] == 1
            assert found["votes"]["fcn"]["state"] == found["votes"]["svm"]["state"] == "label_unknown"
            assert found["known_since"]["fcn"] is None
            assert found["known_since"]["knn"] == answer.json["known_since"]["knn"]
            assert found["product"]["image_url"] == answer.json["photos"][0]["image_url"]


def test_what_is_stored_is_what_an_import_and_the_bottlenecks_would_store(service: TwoProcesses) -> None:
    put(service.first.admin, "same", {"name": "x"})
    photo = scene(20)
    answer = post_photos(service.first.admin, "same", photo)
    [shown] = answer.json["photos"]
    assert shown["content_hash"] == content_hash(photo) and shown["source_name"] == "0.jpg"
    assert (shown["width"], shown["height"], shown["format"], shown["size_bytes"]) == (320, 320, "jpeg", len(photo))
    assert service.first.shopper.get(shown["image_url"]).status_code == 200
    assert answer.json["predicted"]["colour"]["value"] and answer.json["predicted"]["type"]["value"] == "box"
    assert counts(service, "same") == (1, 1, 1)
    expected = FakeBackbone().extract([fit_input(read_photo(photo).pixels)])[0]
    with service.engine.connect() as connection:
        raw = connection.exec_driver_sql(
            "SELECT raw::vector::text FROM reference_vectors JOIN products ON products.id = product_id "
            "WHERE sku = 'same'"
        ).scalar_one()
    stored = [float(value) for value in raw.strip("[]").split(",")]
    assert stored == pytest.approx(expected.tolist(), abs=2e-4)


def test_a_photo_is_kept_once_however_often_it_comes_and_the_network_is_asked_once(service: TwoProcesses) -> None:
    put(service.first.admin, "again", {"name": "x"})
    before = service.first.backbone.images
    first = post_photos(service.first.admin, "again", scene(30), scene(30), scene(31))
    assert first.status_code == 201 and len(first.json["added"]) == 2
    second = post_photos(service.first.admin, "again", scene(31), scene(30))
    assert second.status_code == 200 and second.json["added"] == []
    assert second.headers["ETag"] == first.headers["ETag"]
    assert [p["content_hash"] for p in second.json["photos"]] == [p["content_hash"] for p in first.json["photos"]]
    assert service.first.backbone.images == before + 2
    assert counts(service, "again") == (2, 2, 1)


def test_a_removed_photo_is_forgotten_by_every_process(service: TwoProcesses) -> None:
    put(service.first.admin, "partly", {"name": "x"})
    post_photos(service.first.admin, "partly", scene(40), scene(41))
    etag = service.first.admin.get("/v1/admin/products/partly").headers["ETag"]
    path = f"/v1/admin/products/partly/images/{content_hash(scene(40))}"
    assert service.second.admin.delete(path).status_code == 204
    assert problem_of(service.second.admin.delete(path))["code"] == "media_not_found"
    assert service.first.admin.get("/v1/admin/products/partly").headers["ETag"] != etag
    assert counts(service, "partly") == (1, 1, 1)
    rest = service.second.admin.delete(f"/v1/admin/products/partly/images/{content_hash(scene(41))}")
    assert rest.status_code == 204 and counts(service, "partly") == (0, 0, 0)
    for process in service.both:
        assert "partly" not in search(process.shopper, scene(40), top_k="20")
    shown = service.first.admin.get("/v1/admin/products/partly").json
    assert shown["recognisable"] is False and shown["predicted"] == {"type": None, "colour": None}


def test_lost_photos_can_be_deleted_one_by_one(service: TwoProcesses) -> None:
    put(service.first.admin, "lossy", {"name": "x"})
    photos = [scene(number) for number in (42, 43, 44)]
    post_photos(service.first.admin, "lossy", *photos)
    folders = [service.home / "media" / content_hash(photo)[:2] / content_hash(photo) for photo in photos]
    (folders[0] / "800.webp").unlink()
    (folders[1] / "800.webp").write_bytes(b"damaged")
    for photo, left in zip(photos, (2, 1, 0), strict=True):
        path = f"/v1/admin/products/lossy/images/{content_hash(photo)}"
        assert service.second.admin.delete(path).status_code == 204
        assert counts(service, "lossy") == (left, left, min(left, 1))
        predicted = service.first.admin.get("/v1/admin/products/lossy").json["predicted"]
        assert (predicted["colour"] is not None) is (left > 0), "what is left can be read"


def test_a_deleted_product_is_forgotten_with_its_photos(service: TwoProcesses) -> None:
    put(service.first.admin, "short", {"name": "x"})
    post_photos(service.first.admin, "short", scene(50))
    url = service.first.admin.get("/v1/admin/products/short").json["photos"][0]["image_url"]
    assert "short" in search(service.second.shopper, scene(50, 2))
    assert service.first.admin.delete("/v1/admin/products/short").status_code == 204
    for process in service.both:
        assert "short" not in search(process.shopper, scene(50), top_k="20")
        assert process.shopper.get(url).status_code == 404


def test_one_bad_photo_refuses_them_all_and_each_is_listed(service: TwoProcesses) -> None:
    put(service.first.admin, "strict", {"name": "x"})
    answer = post_photos(service.first.admin, "strict", scene(60), b"no photo", scene(61)[:2000])
    assert answer.status_code == 422
    problem = problem_of(answer)
    assert problem["code"] == "request_invalid"
    assert [(item["field"], item["value"]) for item in problem["problems"]] == [
        ("photo.1", "1.jpg"),
        ("photo.2", "2.jpg"),
    ]
    assert "[photo_format_unsupported]" in problem["problems"][0]["reason"]
    assert counts(service, "strict") == (0, 0, 0)


def test_photos_need_a_product_and_a_request_needs_photos(service: TwoProcesses) -> None:
    assert problem_of(post_photos(service.first.admin, "nobody", scene(1)))["code"] == "product_not_found"
    assert problem_of(post_photos(service.first.admin, "milk-1"))["code"] == "request_invalid"


def test_adding_photos_takes_a_place_among_the_searches(service: TwoProcesses) -> None:
    with ExitStack() as places:
        for _ in range(service.first.container.admission.places):
            places.enter_context(service.first.container.admission.enter())
        assert problem_of(post_photos(service.first.admin, "milk-1", scene(1)))["code"] == "overloaded"


def test_after_a_failure_in_the_middle_nothing_is_half_there_and_the_next_attempt_succeeds(
    service: TwoProcesses, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(service.first.admin, "failing", {"name": "x"})
    photo = scene(70)

    def fail_after_writing(*arguments: object) -> None:
        put_vectors(*arguments)  # type: ignore[arg-type]
        raise RuntimeError("the power went")

    with monkeypatch.context() as patch:
        patch.setattr(live_photos, "put_vectors", fail_after_writing)
        assert post_photos(service.first.admin, "failing", photo).status_code == 500
    assert counts(service, "failing") == (0, 0, 0)
    assert "failing" not in search(service.second.shopper, photo)
    assert post_photos(service.second.admin, "failing", photo).status_code == 201
    assert counts(service, "failing") == (1, 1, 1)


def test_writers_of_one_product_do_not_lose_each_others_photos(service: TwoProcesses) -> None:
    put(service.first.admin, "crowded", {"name": "x"})

    clients = [another_admin(service.both[number % 2], service.shop) for number in range(4)]

    def add(number: int) -> int:
        # Two of the same, and one of its own.
        status: int = post_photos(clients[number], "crowded", scene(80), scene(81 + number)).status_code
        return status

    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(add, range(4))) == {201}
    assert counts(service, "crowded") == (5, 5, 1)
    with service.engine.connect() as connection:
        positions = connection.scalars(
            text("SELECT position FROM images JOIN products p ON p.id = product_id WHERE sku = 'crowded'")
        ).all()
    assert sorted(positions) == [0, 1, 2, 3, 4]


def test_vectors_of_a_photo_deleted_meanwhile_are_passed_over_and_labels_are_todays(service: TwoProcesses) -> None:
    put(service.first.admin, "slow", {"name": "x"})
    post_photos(service.first.admin, "slow", scene(95), scene(96))
    with service.engine.connect() as connection:
        rows = connection.execute(
            text("SELECT i.id, p.id FROM images i JOIN products p ON p.id = product_id WHERE sku = 'slow'")
        ).all()
    gone = content_hash(scene(95))
    assert service.first.admin.delete(f"/v1/admin/products/slow/images/{gone}").status_code == 204
    vector = FakeBackbone().extract([fit_input(read_photo(scene(95)).pixels)])[0]
    with transaction(service.engine) as session:
        late = [(image_id, product_id, "a former label", vector) for image_id, product_id in rows]
        assert put_vectors(session, service.shop.space_id, late, projection().apply) == 1
    assert counts(service, "slow")[:2] == (1, 1)
    found = search(service.second.shopper, scene(95))
    assert found["slow"]["votes"]["knn"]["rank"] == 1 and "a former label" not in found


def test_without_a_model_photos_are_stored_and_the_answer_says_what_is_missing(
    tmp_path: Path, database_url: str
) -> None:
    with two_processes(tmp_path, database_url, model=False) as service:
        put(service.first.admin, "early", {"name": "x"})
        answer = post_photos(service.first.admin, "early", scene(1))
        assert answer.status_code == 201
        assert "python -m app bottlenecks" in answer.json["note"]
        assert answer.json["model_version"] is None and answer.json["recognisable"] is False
        assert answer.json["photos"][0]["recognisable"] is False
        assert counts(service, "early") == (1, 0, 0)
        # Once there is one, sending the photo again is enough.
        publish(service.engine, service.home, "v1", service.shop.space_id, write_model(service.home, "v1"))
        service.first.container.model._interval_s = 0.0
        again = post_photos(service.first.admin, "early", scene(1))
        assert again.status_code == 200
        assert again.json["photos"][0]["recognisable"] is True and counts(service, "early") == (1, 1, 1)


def test_the_file_name_is_for_people_and_harmless(service: TwoProcesses) -> None:
    put(service.first.admin, "named", {"name": "x"})
    data = {"photo": (BytesIO(scene(99)), "../../me\u202e/front\u200b view.jpg")}
    answer = service.first.admin.post("/v1/admin/products/named/images", data=data)
    assert answer.json["photos"][0]["source_name"] == "front view.jpg"
