"""Review items over HTTP: made from picks with consent, shown to administrators alone, decided on, deleted."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import pytest
from flask.testing import FlaskClient

from app.store.media import content_hash
from tests.app.api.conftest import problem_of
from tests.app.api.review_world import (
    CAP,
    MILK_2,
    ReviewWorld,
    ask,
    codes,
    decide,
    decide_many,
    picked,
    picked_oddly,
    review_world,
    say,
    show,
)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, database_url: str) -> Iterator[ReviewWorld]:
    with review_world(tmp_path_factory.mktemp("review-home"), database_url) as made:
        yield made


@pytest.fixture
def admin(world: ReviewWorld) -> FlaskClient:
    return world.admin(world.application())


@pytest.fixture
def shopper(world: ReviewWorld) -> FlaskClient:
    return world.shopper(world.application())


# Items


def test_without_consent_a_pick_makes_no_item_and_keeps_no_photo(
    world: ReviewWorld, admin: FlaskClient, shopper: FlaskClient
) -> None:
    photo = world.photo(CAP)
    query_id = ask(shopper, photo, keep=False)
    say(shopper, query_id, "cap")
    assert world.count("picks", query_id) == 1 and world.count("review_items", query_id) == 0
    assert problem_of(admin.get(f"/v1/admin/review/{query_id}"))["code"] == "review_item_not_found"
    assert problem_of(decide(admin, query_id, "accept"))["code"] == "review_item_not_found"
    assert not world.media.exists(content_hash(photo))


def test_with_consent_alone_and_no_pick_there_is_no_item(world: ReviewWorld, shopper: FlaskClient) -> None:
    assert world.count("review_items", ask(shopper, world.photo(CAP))) == 0


def test_an_item_shows_the_pick_the_models_opinion_and_where_it_came_from(
    world: ReviewWorld, admin: FlaskClient, shopper: FlaskClient
) -> None:
    query_id = picked(shopper, world.photo(CAP), "cap")
    item = show(admin, query_id)
    assert (item["id"], item["state"], item["decision"], item["in_training"]) == (query_id, "undecided", None, False)
    assert item["pick"] == {"outcome": "picked", "sku": "cap", "label": "cap"}
    assert item["model"]["verdict"] == "known" and item["model"]["version"]
    first = item["model"]["candidates"][0]
    assert (first["label"], first["votes"]["knn"]["rank"]) == ("cap", 1)
    assert first["votes"]["fcn"] == {"state": "label_unknown", "rank": None, "score": None}
    assert item["origin"]["installation"] and item["origin"]["items"] == 1
    assert item["flags"] == []
    [listed] = [found for found in admin.get("/v1/admin/review").json["items"] if found["id"] == query_id]
    assert listed == item


def test_an_undecided_item_follows_the_pick_and_goes_with_it(
    world: ReviewWorld, admin: FlaskClient, shopper: FlaskClient
) -> None:
    query_id = picked(shopper, world.photo(CAP), "cap")
    etag = show(admin, query_id)["etag"]
    say(shopper, query_id, "shirt-l")
    changed = show(admin, query_id)
    assert changed["pick"] == {"outcome": "picked", "sku": "shirt-l", "label": "shirt"}
    assert changed["etag"] != etag
    assert problem_of(decide(admin, query_id, "accept", etag))["code"] == "precondition_failed"
    say(shopper, query_id, None)
    assert show(admin, query_id)["pick"] == {"outcome": "none_of_these", "sku": None, "label": None}
    assert shopper.delete(f"/v1/feedback/{query_id}").status_code == 204
    assert world.count("review_items", query_id) == world.count("picks", query_id) == 0
    assert shopper.delete(f"/v1/feedback/{query_id}").status_code == 204, "again changes nothing"
    say(shopper, query_id, "cap")
    assert show(admin, query_id)["pick"]["sku"] == "cap"


def test_a_decided_item_stays_as_it_was_decided_on(
    world: ReviewWorld, admin: FlaskClient, shopper: FlaskClient
) -> None:
    query_id = picked(shopper, world.photo(CAP), "cap")
    decided = decide(admin, query_id, "accept").json
    say(shopper, query_id, "shoe")
    assert show(admin, query_id) == decided
    shopper.delete(f"/v1/feedback/{query_id}")
    assert show(admin, query_id) == decided


def test_a_stranger_cannot_withdraw_a_pick(world: ReviewWorld, shopper: FlaskClient) -> None:
    query_id = picked(shopper, world.photo(CAP), "cap")
    stranger = world.shopper(world.application())
    assert problem_of(stranger.delete(f"/v1/feedback/{query_id}"))["code"] == "query_not_found"
    assert world.count("review_items", query_id) == 1


def test_pages_and_filters(world: ReviewWorld, admin: FlaskClient) -> None:
    made = [picked(world.shopper(world.application()), world.photo(MILK_2), sku) for sku in ("milk-2", "milk-2", None)]
    made.append(picked_oddly(world.shopper(world.application()), world.photo(MILK_2)))
    decide(admin, made[0], "accept")
    everything = admin.get("/v1/admin/review?limit=100").json
    assert [item["id"] for item in everything["items"]][:4] == made[::-1], "newest first"
    waiting = [item for item in everything["items"] if item["state"] == "undecided"]
    assert everything["undecided"] == len(waiting)
    seen: list[str] = []
    cursor = ""
    while cursor is not None:
        address = "/v1/admin/review?state=undecided&limit=2" + (f"&cursor={cursor}" if cursor else "")
        page = admin.get(address).json
        seen += [item["id"] for item in page["items"]]
        cursor = page["next_cursor"]
    assert seen == [item["id"] for item in waiting]
    flagged = admin.get("/v1/admin/review?flagged=true&limit=100").json["items"]
    plain = admin.get("/v1/admin/review?flagged=false&limit=100").json["items"]
    assert all(item["flags"] for item in flagged) and not any(item["flags"] for item in plain)
    assert len(flagged) + len(plain) == len(everything["items"])
    assert made[3] in {item["id"] for item in admin.get("/v1/admin/review?flag=not_a_candidate").json["items"]}
    wrong = admin.get(f"/v1/admin/review?state=accepted&cursor={_some_cursor(admin)}")
    assert problem_of(wrong)["code"] == "cursor_invalid"
    assert problem_of(admin.get("/v1/admin/review?flag=strange"))["code"] == "request_invalid"


def _some_cursor(admin: FlaskClient) -> str:
    return str(admin.get("/v1/admin/review?limit=1").json["next_cursor"])


# Decisions


def test_accepting_makes_a_reviewed_photo_once(world: ReviewWorld, admin: FlaskClient, shopper: FlaskClient) -> None:
    query_id = picked(shopper, world.photo(CAP), "cap")
    first, second = decide(admin, query_id, "accept"), decide(admin, query_id, "accept", sku="cap")
    assert first.status_code == second.status_code == 200
    assert first.json == second.json
    assert first.json["state"] == "accepted" and first.json["in_training"] is True
    assert first.json["decision"]["sku"] == "cap" and first.json["decision"]["decided_by"] is not None
    assert first.headers["ETag"] == f'"{first.json["etag"]}"'
    assert world.count("reviewed_photos", query_id) == 1


def test_another_decision_is_refused_unless_the_etag_shows_what_it_replaces(
    world: ReviewWorld, admin: FlaskClient, shopper: FlaskClient
) -> None:
    query_id = picked(shopper, world.photo(CAP), "cap")
    accepted = decide(admin, query_id, "accept").json
    for action, more in (("discard", {}), ("relabel", {"sku": "shoe"})):
        refused = decide(admin, query_id, action, **more)
        assert refused.status_code == 409
        assert problem_of(refused)["code"] == "review_decided"
    assert show(admin, query_id) == accepted
    relabelled = decide(admin, query_id, "relabel", accepted["etag"], sku="shoe")
    assert (relabelled.json["state"], relabelled.json["decision"]["sku"]) == ("relabelled", "shoe")
    assert relabelled.json["pick"]["sku"] == "cap", "what the shopper said stays"
    assert world.count("reviewed_photos", query_id) == 1
    assert problem_of(decide(admin, query_id, "discard", accepted["etag"]))["code"] == "precondition_failed"
    discarded = decide(admin, query_id, "discard", relabelled.json["etag"]).json
    assert (discarded["state"], discarded["in_training"], discarded["decision"]["sku"]) == ("discarded", False, None)
    assert world.count("reviewed_photos", query_id) == 0
    assert decide(admin, query_id, "discard").json == discarded


@pytest.mark.parametrize(
    ("pick", "action", "more", "field"),
    [
        ("cap", "relabel", {}, "sku"),
        ("cap", "relabel", {"sku": "no-such"}, "sku"),
        ("cap", "discard", {"sku": "cap"}, "sku"),
        ("cap", "accept", {"sku": "shoe"}, "sku"),
        ("cap", "publish", {}, "action"),
        (None, "accept", {}, "action"),
    ],
)
def test_a_decision_that_does_not_fit_names_the_field(
    world: ReviewWorld,
    admin: FlaskClient,
    shopper: FlaskClient,
    pick: str | None,
    action: str,
    more: dict[str, str],
    field: str,
) -> None:
    query_id = picked(shopper, world.photo(CAP), pick)
    refused = decide(admin, query_id, action, **more)
    assert refused.status_code == 422
    assert problem_of(refused)["problems"][0]["field"] == field
    assert show(admin, query_id)["state"] == "undecided"


def test_none_of_these_becomes_a_label_by_relabelling(
    world: ReviewWorld, admin: FlaskClient, shopper: FlaskClient
) -> None:
    query_id = picked(shopper, world.photo(CAP), None)
    assert decide(admin, query_id, "relabel", sku="milk-1").json["state"] == "relabelled"
    assert world.count("reviewed_photos", query_id) == 1


def test_relabelling_to_what_was_picked_is_accepting(
    world: ReviewWorld, admin: FlaskClient, shopper: FlaskClient
) -> None:
    query_id = picked(shopper, world.photo(CAP), "cap")
    assert decide(admin, query_id, "relabel", sku="cap").json["state"] == "accepted"


def test_two_administrators_at_once_make_one_decision(world: ReviewWorld, shopper: FlaskClient) -> None:
    query_id = picked(shopper, world.photo(CAP), "cap")
    with ThreadPoolExecutor(4) as pool:
        admins = [world.admin(world.application()) for _ in range(4)]
        actions = ("accept", "discard", "accept", "discard")
        answers = list(pool.map(lambda pair: decide(pair[0], query_id, pair[1]), zip(admins, actions, strict=True)))
    assert sorted(answer.status_code for answer in answers) == [200, 200, 409, 409]
    state = show(admins[0], query_id)["state"]
    assert world.count("reviewed_photos", query_id) == (1 if state == "accepted" else 0)


def test_only_administrators_may_review(world: ReviewWorld, shopper: FlaskClient) -> None:
    query_id = picked(shopper, world.photo(CAP), "cap")
    anyone = world.application().test_client()
    for client, status in ((shopper, 403), (anyone, 401)):
        for answer in (
            client.get("/v1/admin/review"),
            client.get(f"/v1/admin/review/{query_id}"),
            client.get(f"/v1/admin/review/{query_id}/photo"),
            client.post("/v1/admin/review", json={"action": "accept", "ids": [query_id]}),
            decide(client, query_id, "accept"),
            client.delete(f"/v1/admin/queries/{query_id}"),
        ):
            assert answer.status_code == status
    assert world.count("reviewed_photos", query_id) == 0


def test_decisions_are_in_the_audit_log(
    world: ReviewWorld, admin: FlaskClient, shopper: FlaskClient, caplog: pytest.LogCaptureFixture
) -> None:
    query_id = picked(shopper, world.photo(CAP), "cap")
    with caplog.at_level("INFO", logger="pickture.audit"):
        decide(admin, query_id, "accept")
        decide(admin, query_id, "discard")
        decide_many(admin, "discard", query_id)
        admin.delete(f"/v1/admin/queries/{query_id}")
    lines = [json.loads(record.getMessage()) for record in caplog.records if record.name == "pickture.audit"]
    assert [(line["action"], line["status"], line["code"]) for line in lines] == [
        ("POST /v1/admin/review/<query_id>", 200, None),
        ("POST /v1/admin/review/<query_id>", 409, "review_decided"),
        ("POST /v1/admin/review", 200, None),
        ("DELETE /v1/admin/queries/<query_id>", 204, None),
    ]
    assert lines[0]["target"] == {"query_id": query_id}


# The photo


def test_a_shoppers_photo_is_shown_to_administrators_and_has_no_public_address(
    world: ReviewWorld, admin: FlaskClient, shopper: FlaskClient
) -> None:
    photo = world.photo(CAP)
    before = shopper.get("/v1/products/cap").json
    images = world.count("images")
    query_id = picked(shopper, photo, "cap")
    item = decide(admin, query_id, "accept").json
    for size in ("", "?size=200"):
        shown = admin.get(item["photo_url"] + size)
        assert (shown.status_code, shown.mimetype) == (200, "image/webp")
        assert shown.headers["Cache-Control"] == "no-store"
        assert shown.data == world.media.open(content_hash(photo), "200" if size else "800")
    assert world.count("images") == images, "no row that a token could lead to it by"
    assert shopper.get("/v1/products/cap").json == before
    assert query_id not in admin.get("/v1/admin/products/cap").text
    assert content_hash(photo) not in admin.get("/v1/admin/products/cap").text
    found = shopper.post("/v1/recommendations", json={"sku": "shoe"}).text + shopper.get("/v1/products").text
    assert content_hash(photo) not in found
    anyone = world.application().test_client()
    for address in (content_hash(photo), content_hash(photo)[:32], query_id, item["origin"]["installation"]):
        for size in ("200", "800"):
            assert anyone.get(f"/media/{address}/{size}.webp").status_code == 404, address
    assert problem_of(admin.get(f"/v1/admin/review/{uuid4()}/photo"))["code"] == "review_item_not_found"


def test_a_lost_photo_is_not_accepted(world: ReviewWorld, admin: FlaskClient, shopper: FlaskClient) -> None:
    photo = world.photo(CAP)
    query_id = picked(shopper, photo, "cap")
    world.media.delete(content_hash(photo))
    assert problem_of(admin.get(f"/v1/admin/review/{query_id}/photo"))["code"] == "media_not_found"
    assert problem_of(decide(admin, query_id, "accept"))["code"] == "media_not_found"
    assert decide(admin, query_id, "discard").status_code == 200


# Many at once


def test_in_bulk_only_what_has_no_flag_is_accepted(world: ReviewWorld, admin: FlaskClient) -> None:
    plain, none = (picked(world.shopper(world.application()), world.photo(MILK_2), sku) for sku in ("milk-2", None))
    flagged = picked_oddly(world.shopper(world.application()), world.photo(MILK_2))
    assert codes(show(admin, plain)) == [] and codes(show(admin, flagged)) == ["not_a_candidate"]
    unknown = str(uuid4())
    told = decide_many(admin, "accept", plain, flagged, none, unknown, plain)
    assert told == {
        plain: None,
        flagged: "review_flagged",
        none: "request_invalid",
        unknown: "review_item_not_found",
    }
    assert show(admin, flagged)["state"] == "undecided"
    assert decide_many(admin, "accept", plain) == {plain: None}
    assert decide_many(admin, "discard", plain, flagged) == {plain: "review_decided", flagged: None}
    by_itself = picked_oddly(world.shopper(world.application()), world.photo(MILK_2))
    assert decide(admin, by_itself, "accept").json["state"] == "accepted"


def test_a_refusal_in_bulk_says_why(world: ReviewWorld, admin: FlaskClient) -> None:
    flagged = picked_oddly(world.shopper(world.application()), world.photo(MILK_2))
    [result] = admin.post("/v1/admin/review", json={"action": "accept", "ids": [flagged]}).json["results"]
    assert result["done"] is False and result["problem"]["status"] == 409
    assert "'shoe', which was picked, is not among them" in result["problem"]["detail"]


def test_a_batch_has_an_end(world: ReviewWorld, admin: FlaskClient) -> None:
    ids = [str(uuid4()) for _ in range(101)]
    for wrong in (
        {"action": "accept", "ids": ids},
        {"action": "accept", "ids": []},
        {"action": "relabel", "ids": ids[:1]},
    ):
        assert admin.post("/v1/admin/review", json=wrong).status_code == 422
