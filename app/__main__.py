"""``python -m app``: the command line."""

import os

# Read when numpy is first imported; why one: docs/decisions/0006-svm-solver.md.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from app.cli.main import main

if __name__ == "__main__":  # spawned children import this module again
    main()
