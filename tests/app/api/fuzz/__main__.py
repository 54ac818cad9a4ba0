"""``make fuzz``: mutated photos and made-up requests against the service and a real database, as many as asked for."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.app.api.fuzz import sizes

_HERE = Path(__file__).parent


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it; the exit status is pytest's."""
    parser = argparse.ArgumentParser(prog="make fuzz", description=__doc__)
    parser.add_argument("--files", type=int, default=10_000, help="mutated photos")
    parser.add_argument("--examples", type=int, default=200, help="requests of each route and each way of making them")
    parser.add_argument("--seed", type=int, default=sizes.SEED, help="of everything drawn by chance")
    asked = parser.parse_args(arguments)
    os.environ[sizes.FILES_SETTING] = str(asked.files)
    os.environ[sizes.EXAMPLES_SETTING] = str(asked.examples)
    os.environ[sizes.SEED_SETTING] = str(asked.seed)
    return int(pytest.main(["-q", "-rP", "-o", "addopts=--strict-markers", str(_HERE)]))


if __name__ == "__main__":
    sys.exit(main())
