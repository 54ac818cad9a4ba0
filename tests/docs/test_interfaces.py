"""Settings, commands, routes, error codes and make targets: what is documented is what there is."""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Iterator
from typing import Any

import click
import pytest
from flask import Flask

from app.api import metrics
from app.cli.main import cli
from app.config import Settings
from app.error_table import HTTP_CODES, row_for
from app.factory import create_app
from app.store.database import make_engine
from app.wiring import assemble
from models.errors import PicktureError
from tests.docs.reading import (
    DOCS,
    HOUSES,
    ROOT,
    ShellLine,
    code_words,
    headings,
    make_targets,
    python_files,
    section,
    shell_lines,
    table_rows,
)

README = ROOT / "README.md"
OPERATIONS = DOCS / "operations.md"
API = DOCS / "api.md"
WEB = DOCS / "web.md"
FOR_PEOPLE = {"/openapi.json", "/docs"}
"""Routes that the introduction of api.md names; what the page itself loads needs no documentation."""

SHELL_WORDS = {"make", "python", "export", "curl", "."}
_CODE = re.compile(r"^\s*code = \"([a-z_]+)\"$", re.MULTILINE)
_PARAMETER = re.compile(r"<(?:[a-z]+:)?([a-z_]+)>")


def commands(command: click.Command | None = None, path: str = "") -> Iterator[tuple[str, click.Command]]:
    """(name with its groups, command) of everything ``python -m app`` can do."""
    command = command or cli
    if not isinstance(command, click.Group):
        yield path, command
        return
    context = click.Context(command)
    for name in command.list_commands(context):
        found = command.get_command(context, name)
        assert found is not None
        yield from commands(found, f"{path} {name}".strip())


@pytest.fixture(scope="module")
def every_command() -> dict[str, click.Command]:
    return dict(commands())


def options(command: click.Command) -> set[str]:
    """The long options of a command, but ``--help``."""
    return {name for item in command.params if isinstance(item, click.Option) for name in item.opts if name[:2] == "--"}


@pytest.fixture(scope="module")
def application() -> Flask:
    """The application with no database behind it; nothing connects until a request needs it."""
    return create_app(assemble(Settings(), make_engine("postgresql://nowhere.invalid/none")))


# Settings


def test_every_setting_is_documented_with_its_default() -> None:
    rows = {row[0].strip("`"): row[1] for row in table_rows(section(OPERATIONS, "Settings"))}
    expected = {f"PICKTURE_{name.upper()}": _shown(field.default) for name, field in Settings.model_fields.items()}
    assert rows == expected


def _shown(default: Any) -> str:
    return "not set" if default is None else f"`{default}`"


def test_no_document_names_a_setting_that_does_not_exist() -> None:
    known = {f"PICKTURE_{name.upper()}" for name in Settings.model_fields} | {"PICKTURE_TEST_DATABASE_URL"}
    for path in (README, *DOCS.rglob("*.md")):
        named = set(re.findall(r"PICKTURE_[A-Z_]+", path.read_text("utf-8")))
        assert named <= known, f"{path.name} names {named - known}"


# Commands


def test_every_command_is_documented_with_its_options_and_no_other(every_command: dict[str, click.Command]) -> None:
    documented: set[str] = set()
    for names, _, listed in table_rows(section(OPERATIONS, "Commands")):
        row = [" ".join(re.findall(r"(?<!\S)[a-z-]+(?!\S)", name)) for name in code_words(names)]
        there = set().union(*(options(every_command[name]) for name in row))
        assert set(re.findall(r"--[a-z-]+", listed)) == there, f"{', '.join(row)}: {there}"
        documented |= set(row)
    assert sorted(documented) == sorted(every_command)


# Routes


def test_every_route_is_documented_and_no_other(application: Flask) -> None:
    documented = {heading for heading in headings(API) if heading.startswith(("GET ", "POST ", "DELETE ", "PUT "))}
    there = {
        f"{method} {_PARAMETER.sub(_braces, rule.rule)}"
        for rule in application.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    introduced = {f"GET {path}" for path in FOR_PEOPLE}
    assert introduced <= there
    assert set(code_words(API.read_text("utf-8").split("\n## ")[0])) >= FOR_PEOPLE
    assert documented == {route for route in there - introduced if not route.startswith("GET /docs/")}


def test_every_address_of_the_pages_is_documented_and_no_other(application: Flask) -> None:
    settings = Settings(web=True, admin_web="open")  # type: ignore[call-arg]
    with_pages = create_app(assemble(settings, make_engine("postgresql://nowhere.invalid/none")))
    known = {(rule.rule, method) for rule in application.url_map.iter_rules() for method in rule.methods or ()}
    there = {
        f"{method} {_PARAMETER.sub(_braces, rule.rule)}"
        for rule in with_pages.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
        if (rule.rule, method) not in known
    }
    tables = [section(WEB, "Addresses"), section(WEB, "Addresses of the dashboard")]
    rows = [row for table in tables for row in table_rows(table)]
    assert {address.strip("` ") for row in rows for address in row[0].split(",")} == there


def _braces(parameter: re.Match[str]) -> str:
    return "{" + parameter[1] + "}"


def test_every_route_has_an_example() -> None:
    for heading in headings(API):
        if heading.startswith(("GET ", "POST ", "DELETE ")):
            assert "```sh\ncurl " in section(API, heading), f"{heading} has no curl example"


def test_the_example_requests_go_to_routes_that_exist(application: Flask) -> None:
    routes = application.url_map.bind("localhost")
    asked = 0
    for path in (README, OPERATIONS, API):
        for line in shell_lines(path):
            if line.words[0] != "curl":
                continue
            address = next(word for word in line.words if "/v1/" in word or word.startswith(("$PICKTURE", "http://")))
            method = line.words[line.words.index("-X") + 1] if "-X" in line.words else _method(line)
            routes.match(re.sub(r"^(\$PICKTURE|http://[^/]+)", "", address).split("?")[0], method=method)
            asked += 1
    assert asked >= 15


def _method(line: ShellLine) -> str:
    return "POST" if {"-d", "-F"} & set(line.words) else "GET"


# Error codes


def test_every_error_code_is_documented_with_its_status() -> None:
    rows = {row[0].strip("`"): int(row[1]) for row in table_rows(section(API, "Errors"))}
    defined = {code for path in python_files(*HOUSES) for code in _CODE.findall(path.read_text("utf-8"))}
    for path in python_files(*HOUSES):
        if _CODE.search(path.read_text("utf-8")):
            importlib.import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))
    ours = {kind.code: row_for(kind).status for kind in _family(PicktureError)}
    assert defined == set(ours)
    assert rows == {**ours, **{code: status for status, code in HTTP_CODES.items()}}


def _family(kind: type[PicktureError]) -> Iterator[type[PicktureError]]:
    if kind.__module__.split(".")[0] in HOUSES:
        yield kind
    for child in kind.__subclasses__():
        yield from _family(child)


# Metrics


def test_every_metric_is_documented() -> None:
    listed = {row[0].strip("`") for row in table_rows(section(OPERATIONS, "Readiness, metrics, logs"))}
    text = metrics.Metrics().exposition().decode()
    there = {line.split()[2] for line in text.splitlines() if line.startswith("# TYPE ")}
    assert listed == {name for name in there if not name.endswith("_created")}


# Make targets and snippets


def test_every_make_target_is_documented_and_no_other() -> None:
    texts = [path.read_text("utf-8") for path in (README, *DOCS.rglob("*.md"))]
    named = {target for text in texts for target in re.findall(r"`make ([a-z-]+)`", text)}
    lines = [line.words for path in (README, OPERATIONS, API) for line in shell_lines(path)]
    named |= {words[1] for words in lines if words[0] == "make"}
    assert named == make_targets()


@pytest.mark.parametrize("path", [README, OPERATIONS, API], ids=lambda path: path.name)
def test_snippets_use_only_what_exists(path: Any, every_command: dict[str, click.Command]) -> None:
    for line in shell_lines(path):
        words = line.words
        assert words[0] in SHELL_WORDS, f"{line.where}: a command the documents do not otherwise use"
        if words[0] == "make":
            assert words[1] in make_targets(), f"{line.where}: no such target"
        if words[0] == "python":
            assert words[1:3] == ("-m", "app"), line.where
            _check_command(line, every_command)


def _check_command(line: ShellLine, every_command: dict[str, click.Command]) -> None:
    arguments = line.words[3:]
    name = next((n for n in every_command if " ".join(arguments).startswith(f"{n} ") or " ".join(arguments) == n), None)
    assert name is not None, f"{line.where}: no such command"
    rest = list(arguments[len(name.split()) :])
    try:
        # Parsed for real; files that the reader has and we do not are no mistake of the document.
        every_command[name].make_parser(click.Context(every_command[name])).parse_args(rest)
    except click.UsageError as error:
        pytest.fail(f"{line.where}: {error.message}")


def test_modules_to_run_exist() -> None:
    for path in (README, *DOCS.rglob("*.md")):
        for name in set(re.findall(r"python -m ([a-z_.]+)", path.read_text("utf-8"))) - sys.stdlib_module_names:
            module = ROOT.joinpath(*name.split("."))
            assert module.with_suffix(".py").is_file() or (module / "__main__.py").is_file(), f"{path.name}: {name}"
