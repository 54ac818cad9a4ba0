"""``make check``: the migrations, run on an empty embedded database, give exactly the tables of ``app.store.tables``."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from app.config import Settings
from app.store.database import check, open_database, upgrade
from app.store.embedded import EmbeddedServer


def main() -> int:
    """Upgrade an empty database and compare; the exit status is 0 when nothing differs."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        engine = open_database(Settings(home=home, database_url=None))
        try:
            upgrade(engine)
            state = check(engine)
        finally:
            engine.dispose()
            EmbeddedServer(home).stop()
    print(f"migrations: revision {state.revision}, {'no drift' if state.ok else state}")  # noqa: T201
    return 0 if state.ok else 1


if __name__ == "__main__":
    sys.exit(main())
