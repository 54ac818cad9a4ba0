"""What the documentation tests read: Markdown files, their tables and snippets, and the source tree."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
HOUSES = ("app", "models", "augment")

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_HEADING = re.compile(r"^#{1,6} (.+)$", re.MULTILINE)
_LINK = re.compile(r"\[[^\]\n]*\]\(([^)\s]+)\)")
_TARGET = re.compile(r"^([a-z-]+):.*## ", re.MULTILINE)


def markdown_files() -> list[Path]:
    """Every Markdown file that belongs to the repository."""
    tops = [path for path in ROOT.glob("*.md") if path.is_file()]
    below = [path for name in ("docs", "tests", *HOUSES) for path in (ROOT / name).rglob("*.md")]
    return sorted(tops + below)


def python_files(*houses: str) -> list[Path]:
    """Every module below these folders."""
    return sorted(path for name in houses for path in (ROOT / name).rglob("*.py"))


def without_snippets(text: str) -> str:
    """The prose alone."""
    return _FENCE.sub("", text)


def slug(heading: str) -> str:
    """The anchor of a heading, as GitHub makes it."""
    kept = re.sub(r"[^\w\- ]", "", heading.replace("`", "").lower())
    return kept.replace(" ", "-")


def anchors(path: Path) -> set[str]:
    """Every anchor of a Markdown file."""
    return {slug(heading) for heading in headings(path)}


def headings(path: Path) -> list[str]:
    """The headings of a Markdown file, without their marks."""
    return _HEADING.findall(without_snippets(path.read_text("utf-8")))


def section(path: Path, heading: str) -> str:
    """The text below one heading, to the next of its level or above."""
    text = path.read_text("utf-8")
    found = re.search(rf"^(#+) {re.escape(heading)}\n", text, re.MULTILINE)
    assert found is not None, f"{path.name} has no heading {heading!r}"
    rest = text[found.end() :]
    end = re.search(rf"^#{{1,{len(found[1])}}} ", rest, re.MULTILINE)
    return rest[: end.start()] if end else rest


def links(path: Path) -> list[str]:
    """The targets of the links in a Markdown file."""
    return _LINK.findall(without_snippets(path.read_text("utf-8")))


def table_rows(text: str) -> list[list[str]]:
    """The cells of every table row, header rows left out."""
    lines = text.splitlines()
    rows = [line for line, after in zip(lines, [*lines[1:], ""], strict=True) if not after.startswith("|---")]
    return [
        [cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip()[1:-1])]
        for line in rows
        if line.startswith("|") and not line.startswith("|---")
    ]


def code_words(text: str) -> list[str]:
    """Everything between single backticks."""
    return re.findall(r"`([^`\n]+)`", without_snippets(text))


@dataclass(frozen=True, slots=True)
class ShellLine:
    """One command of a shell snippet, continued lines joined."""

    where: str
    words: tuple[str, ...]


def shell_lines(path: Path) -> Iterator[ShellLine]:
    """Every command of the ``sh`` snippets of a Markdown file."""
    for language, body in _FENCE.findall(path.read_text("utf-8")):
        if language != "sh":
            continue
        for line in body.replace("\\\n", " ").splitlines():
            words = tuple(shlex.split(line, comments=True))
            if words:
                yield ShellLine(f"{path.name}: {line.strip()}", words)


def make_targets() -> set[str]:
    """The targets that ``make help`` lists."""
    return set(_TARGET.findall((ROOT / "Makefile").read_text("utf-8")))


def packages() -> set[str]:
    """Dotted names of all packages of the three houses."""
    return {
        ".".join(path.parent.relative_to(ROOT).parts) for name in HOUSES for path in (ROOT / name).rglob("__init__.py")
    }
