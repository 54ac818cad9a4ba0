"""What keeps a crowd of picks from teaching something false, over HTTP: limits, flags, and their words."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import uuid4

import pytest

from tests.app.api.conftest import problem_of
from tests.app.api.review_world import (
    CAP,
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
def shared(tmp_path_factory: pytest.TempPathFactory, database_url: str) -> Iterator[ReviewWorld]:
    with review_world(tmp_path_factory.mktemp("guards-home"), database_url) as made:
        yield made


@pytest.fixture
def world(shared: ReviewWorld) -> ReviewWorld:
    """The shop without a query: crowds of one test are no crowds of the next."""
    with shared.engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM queries")
    return shared


def test_picks_of_an_installation_beyond_its_limit_make_no_items(world: ReviewWorld) -> None:
    application = world.application(review_picks_per_installation=2)
    installation = uuid4()
    # Another session of the same installation, elsewhere, is the same installation.
    shoppers = [world.shopper(application, installation=installation) for _ in range(2)]
    made = [picked(shoppers[number % 2], world.photo(CAP), "cap") for number in range(4)]
    assert [world.count("review_items", query_id) for query_id in made] == [1, 1, 0, 0]
    assert world.count("picks") == 4, "the shopper's own pick is kept all the same"
    say(shoppers[0], made[0], "shoe")
    assert world.count("review_items") == 2, "changing a pick that counts is not another one"
    assert world.count("review_items", picked(world.shopper(application), world.photo(CAP), "cap")) == 1


def test_picks_from_an_address_beyond_its_limit_make_no_items_whatever_the_installation(world: ReviewWorld) -> None:
    application = world.application(review_picks_per_address=3)
    for _ in range(5):
        picked(world.shopper(application, "192.0.2.7"), world.photo(CAP), "cap")
    assert world.count("review_items") == 3
    picked(world.shopper(application, "192.0.2.8"), world.photo(CAP), "cap")
    assert world.count("review_items") == 4


def test_one_customers_ipv6_addresses_are_one_address(world: ReviewWorld) -> None:
    application = world.application(review_picks_per_address=2)
    for number in range(4):
        picked(world.shopper(application, f"2001:db8:1:2::{number + 1}"), world.photo(CAP), "cap")
    assert world.count("review_items") == 2
    picked(world.shopper(application, "2001:db8:1:3::1"), world.photo(CAP), "cap")
    assert world.count("review_items") == 3


def test_the_limits_hold_for_picks_at_the_same_time(world: ReviewWorld) -> None:
    application = world.application(review_picks_per_address=3)
    shoppers = [world.shopper(application, "192.0.2.9") for _ in range(6)]
    queries = [ask(shopper, world.photo(CAP)) for shopper in shoppers]
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda pair: say(pair[0], pair[1], "cap"), zip(shoppers, queries, strict=True)))
    assert world.count("picks") == 6 and world.count("review_items") == 3


def test_an_app_that_names_no_installation_counts_by_session(world: ReviewWorld) -> None:
    application = world.application(review_picks_per_installation=1)
    client = application.test_client()
    for _ in range(2):
        token = client.post("/v1/sessions", json={"app_key": world.shop.app_key}).json["token"]
        client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {token}"
        for _ in range(2):
            picked(client, world.photo(CAP), "cap")
    assert world.count("review_items") == 2


def test_behind_trusted_proxies_the_shoppers_address_counts_and_otherwise_the_connections(world: ReviewWorld) -> None:
    for proxies, items in ((1, 3), (0, 1)):
        application = world.application(review_picks_per_address=1, proxies=proxies)
        with world.engine.begin() as connection:
            connection.exec_driver_sql("DELETE FROM queries")
        for number in range(3):
            told = {"X-Forwarded-For": f"203.0.113.{number}"}
            picked(world.shopper(application, "127.0.0.1", **told), world.photo(CAP), "cap")
        assert world.count("review_items") == items


def test_neither_address_nor_installation_is_stored_with_an_item(world: ReviewWorld) -> None:
    installation = uuid4()
    picked(world.shopper(world.application(), "198.51.100.77", installation), world.photo(CAP), "cap")
    with world.engine.connect() as connection:
        row = str(connection.exec_driver_sql("SELECT to_jsonb(review_items) FROM review_items").scalar_one())
    assert "198.51.100" not in row and str(installation) not in row


def test_one_installations_share_of_a_label_is_flagged(world: ReviewWorld) -> None:
    application = world.application()
    admin = world.admin(application)
    many = world.shopper(application)
    others = [picked(world.shopper(application), world.photo(CAP), "cap") for _ in range(2)]
    made = [picked(many, world.photo(CAP), "cap") for _ in range(2)]
    assert codes(show(admin, made[0])) == [], "two say little"
    made.append(picked(many, world.photo(CAP), "cap"))
    for query_id in made:
        [flag] = show(admin, query_id)["flags"]
        assert flag["code"] == "installation_share"
        assert flag["reason"] == "3 of the 5 items of 'cap' come from this installation"
    assert show(admin, made[0])["origin"]["share"] == pytest.approx(0.6)
    assert codes(show(admin, others[0])) == []
    assert set(decide_many(admin, "accept", *made).values()) == {"review_flagged"}
    picked(world.shopper(application), world.photo(CAP), "cap")
    assert codes(show(admin, made[0])) == [], "half is not more than half"
    assert codes(show(world.admin(world.application(review_label_share=0.4)), made[0])) == ["installation_share"]


def test_an_installation_that_is_mostly_doubtful_is_doubtful_in_all(world: ReviewWorld) -> None:
    application = world.application()
    admin = world.admin(application)
    shopper = world.shopper(application)
    good = picked(shopper, world.photo(CAP), "cap")
    odd = [picked_oddly(shopper, world.photo(CAP)) for _ in range(2)]
    assert codes(show(admin, good)) == []
    odd.append(picked_oddly(shopper, world.photo(CAP)))
    [flag] = show(admin, good)["flags"]
    assert flag["code"] == "installation_doubtful" and flag["reason"].startswith(
        "3 of the 4 items of this installation"
    )
    assert decide_many(admin, "accept", good) == {good: "review_flagged"}
    # Looked at one by one and found right, they are doubtful no more.
    for query_id in odd[:2]:
        assert decide(admin, query_id, "accept").status_code == 200
    assert codes(show(admin, good)) == []


def test_many_installations_at_one_address_are_flagged(world: ReviewWorld) -> None:
    application = world.application(review_installations_per_address=2)
    admin = world.admin(application)
    made = [picked(world.shopper(application, "192.0.2.30"), world.photo(CAP), "cap") for _ in range(2)]
    assert codes(show(admin, made[0])) == []
    made.append(picked(world.shopper(application, "192.0.2.30"), world.photo(CAP), "cap"))
    for query_id in made:
        [flag] = show(admin, query_id)["flags"]
        assert flag["code"] == "crowded_address" and flag["reason"].startswith("3 installations at this one address")
    with world.engine.begin() as connection:
        connection.exec_driver_sql(
            "UPDATE review_items SET created_at = created_at - interval '3 days' WHERE query_id = %s", (made[0],)
        )
    assert codes(show(admin, made[0])) == codes(show(admin, made[1])) == [], "not within a day of each other"


def test_one_photo_under_two_labels_and_a_photo_of_the_catalogue_are_flagged(world: ReviewWorld) -> None:
    application = world.application()
    admin = world.admin(application)
    photo = world.photo(CAP)
    first, second = (picked(world.shopper(application), photo, sku, category="Fashion") for sku in ("cap", "shirt-m"))
    for query_id in (first, second):
        assert codes(show(admin, query_id)) == ["same_photo_other_label"]
    own = picked(world.shopper(application), world.shop.photos["cap"], "cap")
    assert codes(show(admin, own)) == ["catalogue_photo"]


def test_training_takes_so_many_photos_of_an_installation_and_label(world: ReviewWorld) -> None:
    application = world.application(review_photos_per_installation=2)
    admin = world.admin(application)
    shopper = world.shopper(application)
    made = [picked(shopper, world.photo(CAP), "cap") for _ in range(3)]
    for query_id in made[:2]:
        assert decide(admin, query_id, "accept").status_code == 200
    refused = decide(admin, made[2], "accept")
    assert refused.status_code == 409
    assert problem_of(refused)["code"] == "review_limit"
    assert "PICKTURE_REVIEW_PHOTOS_PER_INSTALLATION=2" in refused.json["detail"]
    assert world.count("reviewed_photos") == 2
    other_label = picked(shopper, world.photo(CAP), "shirt-m")
    assert decide(admin, other_label, "accept").status_code == 200
    # Sizes are one label: the limit is the label's.
    for sku, status in (("shirt-l", 200), ("shirt-m", 409)):
        assert decide(admin, picked(shopper, world.photo(CAP), sku), "accept").status_code == status
    elsewhere = picked(world.shopper(application), world.photo(CAP), "cap")
    assert decide(admin, elsewhere, "accept").status_code == 200
    assert decide(admin, made[0], "discard", show(admin, made[0])["etag"]).status_code == 200
    assert decide(admin, made[2], "accept").status_code == 200


def test_the_limit_holds_for_decisions_at_the_same_time(world: ReviewWorld) -> None:
    application = world.application(review_photos_per_installation=1)
    shopper = world.shopper(application)
    made = [picked(shopper, world.photo(CAP), "cap") for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda query_id: decide(world.admin(application), query_id, "accept"), made))
    assert sorted(answer.status_code for answer in answers) == [200, 409, 409, 409]
    assert world.count("reviewed_photos") == 1


def test_a_poisoned_batch_stays_out_of_a_bulk_acceptance(world: ReviewWorld, tmp_path: Path) -> None:
    application = world.application()
    admin = world.admin(application)
    honest = [picked(world.shopper(application), world.photo(CAP), "cap") for _ in range(8)]
    poisoner = world.shopper(application)
    poison = [picked(poisoner, world.photo(CAP), "shoe", category="Fashion") for _ in range(20)]
    told = decide_many(admin, "accept", *poison, *honest)
    assert {told[query_id] for query_id in poison} == {"review_flagged"}
    assert {told[query_id] for query_id in honest} == {None}
    with world.engine.connect() as connection:
        labels = connection.exec_driver_sql(
            "SELECT DISTINCT sku FROM reviewed_photos JOIN products ON products.id = product_id"
        ).scalars()
        assert list(labels) == ["cap"]
