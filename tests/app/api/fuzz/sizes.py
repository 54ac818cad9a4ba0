"""How much is tried: little and always the same in the suite, more in ``make fuzz``, which sets these variables."""

from __future__ import annotations

import os

FILES_SETTING, EXAMPLES_SETTING, SEED_SETTING = "FUZZ_FILES", "FUZZ_EXAMPLES", "FUZZ_SEED"
FILES, EXAMPLES, SEED = 140, 3, 1


def files() -> int:
    """Mutated photos."""
    return int(os.environ.get(FILES_SETTING, FILES))


def examples() -> int:
    """Requests of each route and each way of making them."""
    return int(os.environ.get(EXAMPLES_SETTING, EXAMPLES))


def seed() -> int:
    """Of everything that is drawn by chance."""
    return int(os.environ.get(SEED_SETTING, SEED))
