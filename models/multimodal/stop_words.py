"""Words that an administrator has approved to be left out of the names of a category."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from models.multimodal.names import words

PATH_SEPARATOR = " > "

StopWords = Mapping[str, frozenset[str]]
"""Category (a path without its last level) -> normalised words."""


def category_of(path: str | None) -> str:
    """What stop words are approved for: the path without its last level; "" where it has one level or none."""
    return (path or "").rpartition(PATH_SEPARATOR)[0]


def without_stop_words(name: str, path: str | None, stop_words: StopWords) -> str:
    """The name without the stop words of its category; as it came where none of its words is one."""
    stopped = stop_words.get(category_of(path), frozenset())
    told = words(name)
    kept = [word for word in told if word not in stopped]
    return name if len(kept) == len(told) else " ".join(kept)


def from_lists(lists: Mapping[str, Iterable[str]]) -> dict[str, frozenset[str]]:
    """From lists of words in any spelling."""
    return {category: frozenset(word for told in listed for word in words(told)) for category, listed in lists.items()}


def to_lists(stop_words: StopWords) -> dict[str, list[str]]:
    """Plain data, sorted."""
    return {category: sorted(found) for category, found in sorted(stop_words.items()) if found}
