"""The examples of docs/api.md: each curl line and the Kotlin run against a service, the Swift parses."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import threading
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import requests
import tree_sitter_kotlin
import tree_sitter_swift
from tree_sitter import Language, Parser
from werkzeug.serving import make_server

from app.jobs.shared import publish_shared
from app.services.words import FOLDER
from tests.app.api.admin_world import TwoProcesses, publish, scene, two_processes, write_model
from tests.app.text_world import use_model
from tests.contracts.fake_backbone import FakeBackbone
from tests.docs.reading import DOCS, shell_lines
from tests.shared_world import made_bundle

API = DOCS / "api.md"
ORG_JSON = Path("/usr/share/java/com.android.json.jar")
"""Android's ``org.json`` as Debian packages it (libandroid-json-java)."""

KOTLIN_MAIN = """
fun main(arguments: Array<String>) {
    val pickture = Pickture(arguments[0], arguments[1], UUID.randomUUID())
    val found = pickture.search(File(arguments[2]), keepPhoto = true)
    val sku = found.getJSONArray("candidates").getJSONObject(0).getJSONObject("product").getString("sku")
    println(pickture.pick(found.getString("query_id"), sku).getString("outcome"))
    println(pickture.recommend(sku, maxPrice = "1000").getJSONArray("items").length())
    try {
        pickture.search(File(arguments[2]), category = "no such category")
    } catch (problem: PicktureProblem) {
        println("${problem.status} ${problem.code}")
    }
}
"""

PROPOSAL = "4711"
QUERY, JOB, VERSION, TOKEN, HASH = (
    "4dd54943-866b-4170-a5f7-2ee5831acbfc",
    "0dd12412-0a24-4422-89b2-2020effae854",
    "20261121T222808944Z",
    "S4sGuC499_zyqC9ucZnGvyKT",
    "0c6e5a5e2b9f0b6a0f7a5a3c1d2e4f60718293a4b5c6d7e8f9012345678abcde",
)
"""What the examples call things; each stands for what the service calls its own."""


@dataclass
class Stage:
    """A service, and what its things are called. real: by the name in the examples."""

    url: str
    folder: Path
    service: TwoProcesses
    real: dict[str, str] = field(default_factory=dict)

    def call(self, method: str, path: str, **arguments: Any) -> Any:
        headers = {"Authorization": f"Bearer {self.service.shop.admin_key}"}
        answer = requests.request(method, self.url + path, headers=headers, timeout=60, **arguments)
        assert answer.status_code < 300, answer.text
        return answer.json() if answer.content else None

    def curl(self, words: tuple[str, ...]) -> tuple[int, str]:
        """Run one example: its status and its answer."""
        arguments = [self._named(word) for word in words[1:]]
        done = subprocess.run(
            ["curl", "-S", "-w", "\n%{http_code}", *arguments],
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        body, _, status = done.stdout.rpartition("\n")
        return int(status), body

    def _named(self, word: str) -> str:
        for told, real in self.real.items():
            word = word.replace(told, real)
        return word


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory, database_url: str) -> Iterator[Stage]:
    folder = tmp_path_factory.mktemp("examples")
    with two_processes(tmp_path_factory.mktemp("examples-home"), database_url) as service:
        publish(service.engine, service.home, "v2", service.shop.space_id, write_model(service.home, "v2"))
        server = make_server("127.0.0.1", 0, service.first.admin.application, threaded=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        made = Stage(f"http://127.0.0.1:{server.server_port}", folder, service)
        _furnish(made)
        yield made
        server.shutdown()


def _furnish(stage: Stage) -> None:
    """Have what the examples take for granted: products, photos, an archive, words that can be searched by."""
    shop = stage.service.shop
    words = stage.service.home / FOLDER
    made = made_bundle(words, ("red handbag", "this, in red", "white milk"), "words-1", FakeBackbone.space)
    publish_shared(stage.service.engine, words, made, shop.space_id)
    stage.real |= {"$PICKTURE": stage.url, "$ADMIN": shop.admin_key, "pk_app_...": shop.app_key, VERSION: "v2"}
    opened = requests.post(f"{stage.url}/v1/sessions", json={"app_key": shop.app_key}, timeout=60)
    stage.real["$TOKEN"] = opened.json()["token"]
    for sku, brand in (("demo-3-0002", "Juniberry"), ("demo-3-0007", "Cedmere")):
        columns = {"name": f"The {sku}", "brand": brand, "category": "Household > Bath > Shampoo", "price": "4.74"}
        stage.call("PUT", f"/v1/admin/products/{sku}", json=columns)
    for number, name in enumerate(("photo", "front", "side")):
        (stage.folder / f"{name}.jpg").write_bytes(scene(number))
    [address] = [item["image_url"] for item in stage.call("GET", "/v1/products?brand=Dairyland")["items"]]
    stage.real[TOKEN] = address.split("/")[2]
    use_model(stage.service.home, report="<p>what was measured</p>")
    stage.service.first.container.proposals.propose()
    stage.real[PROPOSAL] = str(stage.call("GET", "/v1/admin/proposals?field=type")["items"][0]["id"])
    with zipfile.ZipFile(stage.folder / "catalogue.zip", "w") as archive:
        archive.writestr("products.csv", "sku,name\nnew-1,New\n")


def _kept_search(stage: Stage) -> None:
    """A search whose photo was kept, and its pick: an item of the review."""
    headers = {"Authorization": f"Bearer {stage.real['$TOKEN']}"}
    photo = {"photo": ("a.jpg", scene(40 + len(stage.real)))}
    found = requests.post(
        f"{stage.url}/v1/search", files=photo, data={"keep_photo": "true"}, headers=headers, timeout=60
    )
    stage.real[QUERY] = found.json()["query_id"]
    picked = {"query_id": stage.real[QUERY], "outcome": "picked", "sku": "demo-3-0007"}
    assert requests.post(f"{stage.url}/v1/feedback", json=picked, headers=headers, timeout=60).status_code == 200


def _product(stage: Stage) -> None:
    """The product that the example before has deleted."""
    stage.call("PUT", "/v1/admin/products/oat-1", json={"name": "Oat Drink"})


def _no_training(stage: Stage) -> None:
    """One training is let in at a time: cancel what the example before asked for."""
    for job in stage.call("GET", "/v1/admin/jobs?state=queued")["items"]:
        if job["kind"] != "import":
            stage.call("POST", f"/v1/admin/jobs/{job['job_id']}/cancel")


BEFORE: dict[str, Callable[[Stage], None]] = {
    "POST /v1/admin/products/{sku}/images": _product,
    "GET /v1/admin/review": _kept_search,
    "DELETE /v1/admin/queries/{query_id}": _kept_search,
    "POST /v1/admin/jobs": _no_training,
}


def _learn(stage: Stage, heading: str, body: str) -> None:
    """Keep what the following examples speak of."""
    if heading == "POST /v1/search":
        stage.real[QUERY] = json.loads(body)["query_id"]
    elif heading == "POST /v1/admin/products/{sku}/images":
        stage.real[HASH] = json.loads(body)["added"][0]
    elif heading == "POST /v1/admin/imports":
        stage.real[JOB] = json.loads(body)["job_id"]


def examples() -> list[tuple[str, tuple[str, ...]]]:
    """Every curl line of the document in its order, with the heading above it."""
    heading_of: dict[str, str] = {}
    heading = ""
    for line in API.read_text("utf-8").splitlines():
        if line.startswith("### "):
            heading = line.removeprefix("### ")
        elif line.startswith("curl "):
            heading_of[line.rstrip("\\").strip()] = heading
    found = []
    for line in shell_lines(API):
        if line.words[0] == "curl":
            text = line.where.removeprefix("api.md: ")
            found.append((next(place for start, place in heading_of.items() if text.startswith(start)), line.words))
    return found


def test_every_curl_example_does_what_it_says(stage: Stage) -> None:
    ran = []
    for heading, words in examples():
        BEFORE.get(heading, lambda _: None)(stage)
        status, body = stage.curl(words)
        assert 200 <= status < 300, f"{heading}: {status} {body}"
        _learn(stage, heading, body)
        ran.append(heading)
    assert len(ran) >= 45
    assert (stage.folder / "photo.webp").stat().st_size > 0 and (stage.folder / "report.html").stat().st_size > 0


def snippet(language: str) -> str:
    [found] = re.findall(rf"^```{language}\n(.*?)^```$", API.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    return str(found)


@pytest.mark.parametrize(("language", "grammar"), [("kotlin", tree_sitter_kotlin), ("swift", tree_sitter_swift)])
def test_the_clients_parse(language: str, grammar: Any) -> None:
    parser = Parser(Language(grammar.language()))
    tree = parser.parse(snippet(language).encode())
    assert not tree.root_node.has_error, str(tree.root_node)[:2000]
    assert parser.parse(snippet(language)[:-20].encode()).root_node.has_error, "the parser would notice"


@pytest.mark.parametrize("language", ["kotlin", "swift"])
def test_the_clients_name_routes_and_fields_that_there_are(language: str, stage: Stage) -> None:
    spec = requests.get(f"{stage.url}/openapi.json", timeout=60).json()
    text = snippet(language)
    routes = set(re.findall(r'"(/v1/[a-z]+)"', text))
    assert {"/v1/sessions", "/v1/search", "/v1/feedback"} <= routes <= set(spec["paths"])
    known = json.dumps(spec)
    named = set(re.findall(r'"([a-z]+_[a-z_]+)"', text)) | set(re.findall(r"let ([a-z]+_[a-z_]+):", text))
    assert len(named) >= 3
    for name in named:
        assert f'"{name}"' in known, name


@pytest.mark.skipif(shutil.which("kotlinc") is None, reason="no kotlinc in PATH")
@pytest.mark.skipif(not ORG_JSON.is_file(), reason=f"no {ORG_JSON}")
def test_the_kotlin_client_compiles_and_works(stage: Stage, tmp_path: Path) -> None:
    (tmp_path / "Pickture.kt").write_text(snippet("kotlin") + KOTLIN_MAIN)
    compiled = tmp_path / "client.jar"
    arguments = [
        "-Werror",
        "-include-runtime",
        "-cp",
        str(ORG_JSON),
        "-d",
        str(compiled),
        str(tmp_path / "Pickture.kt"),
    ]
    done = subprocess.run(["kotlinc", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    place = [stage.url, stage.service.shop.app_key, str(stage.folder / "photo.jpg")]
    ran = subprocess.run(
        ["java", "-cp", f"{compiled}:{ORG_JSON}", "PicktureKt", *place],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert ran.returncode == 0, ran.stderr
    picked, recommended, refused = ran.stdout.splitlines()
    assert picked == "picked" and int(recommended) > 0 and refused == "404 category_not_found"


@pytest.mark.skipif(shutil.which("swiftc") is None, reason="no swiftc in PATH")
def test_the_swift_client_compiles(tmp_path: Path) -> None:
    (tmp_path / "Pickture.swift").write_text(snippet("swift"))
    done = subprocess.run(
        ["swiftc", "-typecheck", str(tmp_path / "Pickture.swift")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
