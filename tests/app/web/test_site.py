"""What all pages share: addresses and weight of static files, languages, headers."""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from babel.messages.extract import extract_from_dir
from babel.messages.frontend import parse_mapping_cfg
from babel.messages.pofile import PoFileError, read_po
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.datastructures import LanguageAccept

from app.config import Settings
from app.factory import create_app
from app.store.database import make_engine
from app.web.assets import STATIC, Assets, package_file
from app.web.languages import TRANSLATIONS, Languages
from app.web.site import EXTENSION, LANGUAGE_COOKIE, Site
from app.wiring import assemble

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def application() -> Flask:
    """The application with no database behind it: the page needs none."""
    settings = Settings(web=True)  # type: ignore[call-arg]
    return create_app(assemble(settings, make_engine("postgresql://nowhere.invalid/none")))


@pytest.fixture
def client(application: Flask) -> FlaskClient:
    return application.test_client()


@pytest.fixture(scope="module")
def site(application: Flask) -> Site:
    found: Site = application.extensions[EXTENSION]
    return found


# The page


def test_the_page_runs_nothing_of_its_own_and_asks_no_other_host(client: FlaskClient) -> None:
    answer = client.get("/")
    assert answer.status_code == 200
    policy = dict(part.strip().split(" ", 1) for part in answer.headers["Content-Security-Policy"].split(";"))
    assert policy["default-src"] == "'none'" and policy["script-src"] == policy["style-src"] == "'self'"
    assert "unsafe" not in answer.headers["Content-Security-Policy"]
    assert answer.headers["Referrer-Policy"] == "same-origin"
    assert answer.headers["Cache-Control"] == "no-store"
    scripts = re.findall(r"<script([^>]*)>(.*?)</script>", answer.text, re.DOTALL)
    assert all("src=" in attributes or 'type="application/json"' in attributes for attributes, _ in scripts)
    assert not re.search(r"<style|\sstyle=|\son[a-z]+=|javascript:|https?://", answer.text)


def test_every_file_that_the_page_names_is_served(client: FlaskClient) -> None:
    named = set(re.findall(r'(?:src|href)="(/[^"]+)"', client.get("/").text))
    assert len(named) > 10
    for address in named:
        assert client.get(address).status_code == 200, address


def test_every_module_that_a_script_imports_is_there(site: Site) -> None:
    for name in site.assets.names("", ".js"):
        text = (STATIC / name).read_text("utf-8")
        for wanted in re.findall(r'from "(\.[^"]+)"', text):
            assert (STATIC / name).parent.joinpath(wanted).resolve().is_file(), f"{name} imports {wanted}"


def test_without_the_setting_there_is_no_page() -> None:
    settings = Settings()  # type: ignore[call-arg]
    assert settings.web is False
    closed = create_app(assemble(settings, make_engine("postgresql://nowhere.invalid/none"))).test_client()
    for path in ("/", "/manifest.webmanifest", "/service-worker.js", "/web/sessions"):
        assert closed.get(path).status_code == 404


def test_what_is_needed_to_install_the_page(client: FlaskClient, site: Site) -> None:
    told = client.get("/manifest.webmanifest")
    assert told.mimetype == "application/manifest+json"
    for icon in told.json["icons"]:
        assert client.get(icon["src"]).mimetype == icon["type"]
    worker = client.get("/service-worker.js")
    assert worker.mimetype == "text/javascript" and site.assets.version in worker.text
    assert worker.headers["Cache-Control"] == "no-store"
    assert "connect-src 'self'" in worker.headers["Content-Security-Policy"]


# Static files


def test_a_static_file_is_compressed_and_kept_for_ever(client: FlaskClient, site: Site) -> None:
    address = f"/web/{site.assets.version}/vendor/bootstrap.css"
    packed = client.get(address, headers={"Accept-Encoding": "gzip"})
    plain = client.get(address)
    assert packed.headers["Content-Encoding"] == "gzip" and gzip.decompress(packed.data) == plain.data
    assert "Content-Encoding" not in plain.headers
    assert "immutable" in plain.headers["Cache-Control"] and plain.headers["Vary"] == "Accept-Encoding"
    assert len(packed.data) < 40_000


def test_what_is_no_static_file_is_not_served(client: FlaskClient, site: Site) -> None:
    version = site.assets.version
    for path in (f"{version}/nothing.js", f"{version}/../site.py", "0/common/dom.js", f"{version}/"):
        assert client.get(f"/web/{path}").status_code == 404


def test_the_version_follows_the_content(tmp_path: Path) -> None:
    (tmp_path / "a.js").write_text("1")
    first = Assets(tmp_path, {})
    assert Assets(tmp_path, {}).version == first.version
    (tmp_path / "a.js").write_text("2")
    assert Assets(tmp_path, {}).version != first.version
    assert first.find(first.version, "a.js") is not None and first.find("other", "a.js") is None


def test_files_of_unknown_types_and_missing_packages_stop_the_start(tmp_path: Path) -> None:
    (tmp_path / "a.exe").write_text("1")
    with pytest.raises(ValueError, match=r"a\.exe"):
        Assets(tmp_path, {})
    with pytest.raises(FileNotFoundError, match="make setup"):
        package_file("no_such_package", "a.css")


# Languages


def test_the_language_is_the_one_asked_for_else_remembered_else_accepted() -> None:
    languages = Languages()
    korean = LanguageAccept([("ko-KR", 1), ("en", 0.5)])
    nothing = LanguageAccept([])
    assert languages.choose(None, None, nothing).tag == "en"
    assert languages.choose(None, None, korean).tag == "ko"
    assert languages.choose(None, "en", korean).tag == "en"
    assert languages.choose("ko", "en", nothing).tag == "ko"
    assert languages.choose("xx", "../en", korean).tag == "ko"
    assert [language.name for language in languages] == ["English", "한국어"]


def test_a_chosen_language_is_remembered(client: FlaskClient) -> None:
    assert '<html lang="en">' in client.get("/").text
    answer = client.get("/?lang=ko")
    assert '<html lang="ko">' in answer.text and "사진 찍기" in answer.text
    cookie = client.get_cookie(LANGUAGE_COOKIE)
    assert cookie is not None and cookie.value == "ko" and cookie.http_only and cookie.same_site == "Lax"
    assert '<html lang="ko">' in client.get("/").text
    client.get("/?lang=xx")
    assert '<html lang="ko">' in client.get("/").text


def test_scripts_are_told_their_messages_and_no_others() -> None:
    english, korean = Languages()
    assert english.script_messages(("common", "shopper")) == {}
    told = korean.script_messages(("common", "shopper"))
    assert told["Very likely"] == "매우 유력"
    assert "Take a photo" not in told
    assert korean.script_messages(("nowhere",)) == {}


def test_a_new_language_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "de.po").write_text('msgid ""\nmsgstr ""\n\nmsgid "Search"\nmsgstr "Suchen"\n', "utf-8")
    english, german = Languages(tmp_path)
    assert (german.tag, german.name) == ("de", "Deutsch")
    assert german.translations.gettext("Search") == "Suchen" and english.translations.gettext("Search") == "Search"
    (tmp_path / "fr.po").write_text('msgid "unterminated\n', "utf-8")
    with pytest.raises(PoFileError):
        Languages(tmp_path)


def said_in_the_code() -> Iterator[str]:
    """Every message of templates, scripts and Python."""
    with (TRANSLATIONS / "babel.cfg").open() as file:
        methods, options = parse_mapping_cfg(file)
    for _, _, message, _, _ in extract_from_dir(ROOT / "app" / "web", methods, options):
        yield message if isinstance(message, str) else message[0]


@pytest.mark.parametrize("path", sorted(TRANSLATIONS.glob("*.po")), ids=lambda path: path.stem)
def test_a_translation_is_whole(path: Path) -> None:
    with path.open("rb") as file:
        messages = [message for message in read_po(file, path.stem) if message.id]
    translated = {forms(message.id)[0]: (forms(message.id)[-1], forms(message.string)) for message in messages}
    said = set(said_in_the_code())
    assert len(said) > 100
    assert said - set(translated) == set(), "run `make messages` and translate these"
    assert set(translated) - said == set(), "run `make messages`: nobody says these any more"
    for message, (many, strings) in translated.items():
        for string in strings:
            assert string, f"{message} is not translated"
            assert set(re.findall(r"%\(\w+\)s", string)) == set(re.findall(r"%\(\w+\)s", many)), message


def forms(text: str | tuple[str, ...] | list[str]) -> tuple[str, ...]:
    """A message's forms: one, or one for each number that the language tells apart."""
    return (text,) if isinstance(text, str) else tuple(text)
