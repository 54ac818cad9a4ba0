"""Who gets to the dashboard: over HTTP, against a real database, without a browser."""

from __future__ import annotations

import json
import logging
import re
from datetime import timedelta
from pathlib import Path

import pytest
from flask.testing import FlaskClient
from sqlalchemy import Engine, text
from werkzeug.test import TestResponse

from app.config import Settings
from app.services.access import AccessService
from app.services.logins import LONGEST
from tests.app.api.conftest import problem_of
from tests.app.web.admin.conftest import client_of
from tests.app.web.shop import WebShop

HERE = {"Origin": "http://localhost"}
FORM = "application/x-www-form-urlencoded"


def log_in(client: FlaskClient, key: str, **headers: str) -> TestResponse:
    return client.post("/admin/login", data={"admin_key": key}, headers={**HERE, **headers})


def is_in(client: FlaskClient) -> bool:
    """Whether the client is logged in."""
    answer = client.get("/admin/products")
    assert answer.status_code in (200, 303)
    return answer.status_code == 200


def logins(engine: Engine, change: str) -> None:
    """Change every login."""
    with engine.begin() as connection:
        connection.execute(text(f"UPDATE admin_logins SET {change}"))


# The setting


def test_it_is_closed_unless_it_is_opened(web_engine: Engine, web_shop: WebShop) -> None:
    assert Settings().admin_web == "closed"
    closed = client_of(web_engine, web_shop, admin_web="closed", web=True)
    assert {closed.get(path).status_code for path in ("/admin", "/admin/login", "/admin/jobs")} == {404}
    assert closed.get("/").status_code == 200


def test_it_does_without_the_shoppers_page(client: FlaskClient) -> None:
    assert client.get("/admin/login").status_code == 200
    assert client.get("/").status_code == 404


@pytest.mark.parametrize(
    ("address", "headers", "status"),
    [
        ("127.0.0.1", {}, 200),
        ("::1", {}, 200),
        ("::ffff:127.0.0.1", {}, 200),
        ("192.168.0.7", {}, 403),
        ("unknown", {}, 403),
        ("2001:db8::7", {}, 403),
        ("127.0.0.1", {"X-Forwarded-For": "203.0.113.5"}, 403),
        ("127.0.0.1", {"Forwarded": "for=203.0.113.5"}, 403),
        ("127.0.0.1", {"X-Forwarded-Proto": "https"}, 403),
        ("127.0.0.1", {"Host": "127.0.0.1:8000"}, 200),
        ("127.0.0.1", {"Host": "[::1]:8000"}, 200),
        ("127.0.0.1", {"Host": "shop.localhost"}, 200),
        ("127.0.0.1", {"Host": "shop.example"}, 403),
        ("127.0.0.1", {"Host": "127.0.0.1.shop.example:8000"}, 403),
        ("127.0.0.1", {"Host": "192.168.0.7:8000"}, 403),
    ],
)
def test_opened_for_this_machine_it_answers_no_other(
    web_engine: Engine, web_shop: WebShop, address: str, headers: dict[str, str], status: int
) -> None:
    client = client_of(web_engine, web_shop, admin_web="local")
    client.environ_base["REMOTE_ADDR"] = address
    assert client.get("/admin/login", headers=headers).status_code == status


# Logging in


def test_a_page_leads_to_the_login_and_back(client: FlaskClient, key: str) -> None:
    answer = client.get("/admin/products?text=milk&category=")
    assert answer.status_code == 303
    asked = client.get(answer.location)
    goal = re.search(r'action="([^"]+)"', asked.text)
    assert asked.status_code == 200 and goal is not None
    entered = client.post(goal[1].replace("&amp;", "&"), data={"admin_key": f" {key} "}, headers=HERE)
    assert (entered.status_code, entered.location) == (303, "/admin/products?text=milk&category=")
    cookie = client.get_cookie("pickture_admin", path="/admin")
    assert cookie is not None
    assert cookie.http_only and cookie.same_site == "Strict" and not cookie.secure and cookie.max_age is None
    assert is_in(client)


def test_over_tls_the_cookie_is_secure_and_says_so(client: FlaskClient, key: str) -> None:
    answer = log_in(client, key, Origin="https://localhost")
    [cookie] = answer.headers.getlist("Set-Cookie")
    assert cookie.startswith("__Secure-pickture_admin=") and "; Secure" in cookie and "Path=/admin" in cookie


@pytest.mark.parametrize(
    "goal", ["https://elsewhere.example/", "//elsewhere.example", "/administrator", "/admin\\@elsewhere", "/", ""]
)
def test_the_login_leads_nowhere_else(client: FlaskClient, key: str, goal: str) -> None:
    answer = client.post("/admin/login", query_string={"next": goal}, data={"admin_key": key}, headers=HERE)
    assert (answer.status_code, answer.location) == (303, "/admin")


def test_what_is_no_live_admin_key_is_told_so(client: FlaskClient, web_engine: Engine, web_shop: WebShop) -> None:
    access = AccessService(web_engine, 60)
    revoked = access.create_key("admin")
    access.revoke_key(revoked.info.id)
    for wrong in ("", "pk_admin_nobody", web_shop.shop.app_key, revoked.key, "\x00", "x" * 1000):
        answer = log_in(client, wrong)
        assert answer.status_code == 401 and "This key is not valid" in answer.text
        assert "Set-Cookie" not in answer.headers
    assert not is_in(client)


def test_wrong_keys_count_against_the_limits(web_engine: Engine, web_shop: WebShop) -> None:
    client = client_of(web_engine, web_shop, limit_per_address=5)
    client.environ_base["REMOTE_ADDR"] = "203.0.113.60"
    codes = [log_in(client, "pk_admin_guess").status_code for _ in range(12)]
    assert codes[0] == 401 and codes[-1] == 429


def test_who_has_guessed_too_often_waits_with_the_right_key_too(
    web_engine: Engine, web_shop: WebShop, key: str
) -> None:
    client = client_of(web_engine, web_shop, limit_per_address=5)
    client.environ_base["REMOTE_ADDR"] = "203.0.113.61"
    for _ in range(12):  # a minute may end in between
        log_in(client, "pk_admin_guess")
    answer = log_in(client, key)
    assert answer.status_code == 429 and "Set-Cookie" not in answer.headers


# What a login is good for, and how it ends


def test_a_login_is_no_bearer_token(client: FlaskClient, key: str) -> None:
    log_in(client, key)
    cookie = client.get_cookie("pickture_admin", path="/admin")
    assert cookie is not None
    bearer = {"Authorization": f"Bearer {cookie.value}"}
    assert problem_of(client.get("/v1/admin/jobs", headers=bearer))["code"] == "unauthorized"
    assert problem_of(client.get("/v1/admin/jobs"))["code"] == "unauthorized"


def test_a_key_in_a_header_is_no_login(client: FlaskClient, key: str) -> None:
    assert client.get("/admin/products", headers={"Authorization": f"Bearer {key}"}).status_code == 303


def test_it_ends_with_its_key(client: FlaskClient, web_engine: Engine) -> None:
    access = AccessService(web_engine, 60)
    made = access.create_key("admin")
    log_in(client, made.key)
    assert is_in(client)
    access.revoke_key(made.info.id)
    assert not is_in(client)


def test_it_ends_unused_and_at_last_in_any_case(client: FlaskClient, key: str, web_engine: Engine) -> None:
    log_in(client, key)
    logins(web_engine, "seen_at = now() - interval '59 minutes'")
    assert is_in(client)  # and is used
    logins(web_engine, "seen_at = seen_at - interval '59 minutes'")
    assert is_in(client)
    logins(web_engine, "seen_at = now() - interval '61 minutes'")
    assert not is_in(client)
    log_in(client, key)
    assert timedelta(hours=1) < LONGEST
    logins(web_engine, "expires_at = now()")
    assert not is_in(client)


def test_a_login_that_may_lie_unused_for_a_minute_does_not_end_while_it_is_used(
    web_engine: Engine, web_shop: WebShop, key: str
) -> None:
    client = client_of(web_engine, web_shop, admin_idle_minutes=1)
    log_in(client, key)
    for _ in range(3):
        logins(web_engine, "seen_at = seen_at - interval '30 seconds'")
        assert is_in(client)


def test_a_page_that_asks_by_itself_keeps_no_login_alive(client: FlaskClient, key: str, web_engine: Engine) -> None:
    log_in(client, key)
    logins(web_engine, "seen_at = now() - interval '59 minutes'")
    script = {"X-Pickture-Script": "1"}
    assert client.get("/admin/jobs", headers=script).status_code == 200
    assert client.get("/admin/alive", headers=script).status_code == 204
    logins(web_engine, "seen_at = seen_at - interval '2 minutes'")
    assert problem_of(client.get("/admin/jobs", headers=script))["code"] == "unauthorized"
    assert client.get("/admin/alive", headers=script).status_code == 401


def test_it_ends_when_its_holder_says_so(client: FlaskClient, key: str, web_engine: Engine) -> None:
    log_in(client, key)
    cookie = client.get_cookie("pickture_admin", path="/admin")
    assert cookie is not None
    assert client.post("/admin/logout", headers=HERE).status_code == 303
    client.set_cookie("pickture_admin", cookie.value, path="/admin")
    assert not is_in(client)


def test_logging_in_again_ends_the_login_before(client: FlaskClient, key: str) -> None:
    log_in(client, key)
    before = client.get_cookie("pickture_admin", path="/admin")
    log_in(client, key)
    assert before is not None and is_in(client)
    client.set_cookie("pickture_admin", before.value, path="/admin")
    assert not is_in(client)


# Other sites


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Origin": "null"},
        {"Origin": "http://["},
        {"Origin": "ftp://localhost"},
        {"Origin": "https://elsewhere.example"},
        {"Origin": "http://localhost:81"},
        {"Sec-Fetch-Site": "same-origin"},
        {**HERE, "Sec-Fetch-Site": "cross-site"},
        {**HERE, "Sec-Fetch-Site": "same-site"},
        {**HERE, "Sec-Fetch-Site": "none"},
    ],
)
def test_nothing_is_changed_for_a_page_of_another_site(client: FlaskClient, key: str, headers: dict[str, str]) -> None:
    log_in(client, key)
    changing = [
        (rule, method)
        for rule in client.application.url_map.iter_rules()
        for method in (rule.methods or set()) - {"GET", "HEAD", "OPTIONS"}
        if rule.rule.startswith("/admin")
    ]
    assert len(changing) > 8
    for rule, method in changing:
        address = re.sub(r"<uuid:[^>]+>", "0dd12412-0a24-4422-89b2-2020effae854", rule.rule)
        answer = client.open(re.sub(r"<[^>]+>", "1", address), method=method, headers=headers)
        assert answer.status_code == 403, (rule.rule, answer.status_code)


def test_every_page_is_bounded_and_kept_nowhere(client: FlaskClient, key: str) -> None:
    log_in(client, key)
    rules = [rule.rule for rule in client.application.url_map.iter_rules() if "GET" in (rule.methods or set())]
    plain = [rule for rule in rules if rule.startswith("/admin") and "<" not in rule and rule != "/admin/alive"]
    shown = 0
    for address in plain:
        answer = client.get(address)
        assert answer.status_code in (200, 404), (address, answer.text)  # not every installation has everything
        shown += answer.status_code == 200
        assert answer.headers["Cache-Control"] == "no-store"
        assert "unsafe" not in answer.headers["Content-Security-Policy"]
        scripts = re.findall(r"<script([^>]*)>", answer.text)
        assert all("src=" in attributes or 'type="application/json"' in attributes for attributes in scripts)
        assert not re.search(r"<style|\sstyle=|\son[a-z]+=\"|javascript:|\"https?://", answer.text), address
    assert shown > 8


def test_a_state_folder_that_is_not_there_yet_keeps_nobody_out(
    web_engine: Engine, web_shop: WebShop, key: str, tmp_path: Path
) -> None:
    client = client_of(web_engine, web_shop, home=tmp_path / "not" / "yet")
    log_in(client, key)
    assert client.get("/admin").status_code == 200


# The audit log


def test_who_did_what_is_in_the_audit_log(client: FlaskClient, key: str, caplog: pytest.LogCaptureFixture) -> None:
    log_in(client, key)
    audit = logging.getLogger("pickture.audit")
    before, audit.propagate = audit.propagate, True
    try:
        with caplog.at_level(logging.INFO, "pickture.audit"):
            client.post("/admin/jobs", data={"kind": "nothing"}, headers=HERE)
            client.get("/admin/jobs")
    finally:
        audit.propagate = before
    [line] = [json.loads(record.message) for record in caplog.records if record.name == "pickture.audit"]
    assert line["action"] == "POST /admin/jobs" and line["role"] == "admin" and line["key_id"] is not None
    assert (line["status"], line["code"]) == (422, "request_invalid")
    assert key not in json.dumps(line)
