"""What a resumable run depends on, compared with what the folder it would go on in depended on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def differing(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """The first choice by name in which two identities differ, in words; they differ in one at least."""
    name = next(key for key in sorted({*before, *now}) if before.get(key) != now.get(key))
    return f"{name} was {before.get(name)}, now {now.get(name)}"
