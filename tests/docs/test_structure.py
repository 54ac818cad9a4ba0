"""Links, packages, decisions and sizes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.docs.reading import (
    DOCS,
    HOUSES,
    ROOT,
    anchors,
    code_words,
    links,
    markdown_files,
    packages,
    python_files,
    section,
    slug,
    table_rows,
)

ARCHITECTURE = DOCS / "architecture.md"
LONGEST_MODULE = 400
README_LINES = 150


@pytest.mark.parametrize("path", markdown_files(), ids=lambda path: path.name)
def test_no_relative_link_is_broken(path: Path) -> None:
    for link in links(path):
        if re.match(r"[a-z]+:", link):
            continue
        target, _, anchor = link.partition("#")
        file = (path.parent / target).resolve() if target else path
        assert file.exists(), f"{path.name} links to {link}, which is not there"
        assert not anchor or anchor in anchors(file), f"{path.name} links to {link}; {file.name} has no such heading"


def test_anchors_are_those_of_the_site() -> None:
    assert slug("`POST /v1/queries/{query_id}`") == "post-v1queriesquery_id"
    assert slug("Readiness, metrics, logs") == "readiness-metrics-logs"


def test_every_decision_is_numbered_once_and_linked_from_the_architecture() -> None:
    files = sorted(path.name for path in (DOCS / "decisions").glob("*.md"))
    assert files
    assert [name[:4] for name in files] == [f"{number:04}" for number in range(1, len(files) + 1)]
    linked = [link.removeprefix("decisions/") for link in links(ARCHITECTURE) if link.startswith("decisions/")]
    assert sorted(set(linked)) == files


@pytest.mark.parametrize("path", sorted((DOCS / "decisions").glob("*.md")), ids=lambda path: path.name)
def test_a_decision_says_context_choice_and_cost_on_one_page(path: Path) -> None:
    text = path.read_text("utf-8")
    assert re.match(rf"# {path.name[:4]} \S", text)
    parts = re.findall(r"^## (.+)$", text, re.MULTILINE)
    assert [part for part in parts if part != "Measured"] == ["Context", "Choice", "Cost"]
    assert 15 <= len(text.splitlines()) <= 45


def test_the_architecture_lists_every_package_and_no_other() -> None:
    listed = [row[0].strip("`") for row in table_rows(section(ARCHITECTURE, "Rooms"))]
    assert sorted(listed) == sorted(packages())


def test_the_architecture_shows_the_import_rules_that_are_checked() -> None:
    rules = section(ARCHITECTURE, "Rooms")
    shown = {line.strip().split(":")[-1].strip() for line in rules.splitlines() if " > " in line}
    checked = re.findall(r"^name = (\S+(?: [>|] \S+)+)$", (ROOT / ".importlinter").read_text("utf-8"), re.MULTILINE)
    assert len(checked) == 3
    assert set(checked) <= shown


@pytest.mark.parametrize("path", markdown_files(), ids=lambda path: path.name)
def test_every_dotted_name_in_the_documentation_exists(path: Path) -> None:
    for word in code_words(path.read_text("utf-8")):
        if re.fullmatch(rf"({'|'.join(HOUSES)})(\.\w+)+", word):
            assert _exists(word), f"{path.name} names {word}, which is not there"


def _exists(name: str) -> bool:
    """Whether a dotted name is a package, a module, or something a module defines."""
    parts = name.split(".")
    if (ROOT.joinpath(*parts) / "__init__.py").is_file() or ROOT.joinpath(*parts).with_suffix(".py").is_file():
        return True
    module, attribute = ROOT.joinpath(*parts[:-1]), parts[-1]
    source = module / "__init__.py" if module.is_dir() else module.with_suffix(".py")
    defined = rf"^(class |def |    def )?{attribute}\b[ (:=]"
    return source.is_file() and re.search(defined, source.read_text("utf-8"), re.MULTILINE) is not None


@pytest.mark.parametrize("path", markdown_files(), ids=lambda path: path.name)
def test_every_test_folder_named_in_the_documentation_exists(path: Path) -> None:
    for word in code_words(path.read_text("utf-8")):
        if word.startswith(("tests/", "migrations/", "docs/")):
            assert (ROOT / word).exists(), f"{path.name} names {word}, which is not there"


def test_no_module_is_too_long() -> None:
    long = {
        str(path.relative_to(ROOT)): lines
        for path in python_files(*HOUSES, "migrations", "tests")
        if (lines := len(path.read_text("utf-8").splitlines())) > LONGEST_MODULE
    }
    assert long == {}


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text("utf-8").splitlines()) < README_LINES


def test_the_licence_is_there_in_full() -> None:
    text = (ROOT / "LICENSE").read_text("utf-8")
    assert "Apache License" in text
    assert "END OF TERMS AND CONDITIONS" in text
    assert "The Pickture authors" in text


def test_documents_named_in_the_source_exist() -> None:
    for path in python_files(*HOUSES, "migrations"):
        for name in re.findall(r"docs/[\w/.-]+?\.md", path.read_text("utf-8")):
            assert (ROOT / name).is_file(), f"{path.relative_to(ROOT)} names {name}, which is not there"


def test_every_test_that_hardening_names_exists() -> None:
    named = {word for word in code_words((DOCS / "hardening.md").read_text("utf-8")) if word.startswith("test_")}
    tests = "\n".join(path.read_text("utf-8") for path in python_files("tests"))
    assert len(named) > 50
    assert {name for name in named if f"def {name}(" not in tests} == set()
