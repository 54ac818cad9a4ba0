"""The commands ``db`` and ``models`` on an embedded server, with a backup restored onto an empty home."""

from __future__ import annotations

import json
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from app.cli.main import cli
from app.config import Settings
from app.store.bundles import BundleStore
from app.store.database import open_database, transaction
from app.store.embedded import EmbeddedServer
from app.store.neighbours import PgNeighbours, put_vectors
from app.store.spaces import ensure_space
from models.backbone.projection import Projection
from models.errors import BundleNotFound, UsageError
from tests.app.store.world import add_photos
from tests.contracts.neighbours import clustered

PROJECT = Projection.random_orthogonal().apply


@pytest.fixture
def homes() -> Iterator[tuple[Path, Path]]:
    """Two state folders, each with an empty database."""
    folder = Path(tempfile.mkdtemp(prefix="pickture-cli-"))
    both = (folder / "first", folder / "second")
    for home in both:
        EmbeddedServer(home, options={"fsync": "off"}).start()
    yield both
    for home in both:
        EmbeddedServer(home).stop()
    shutil.rmtree(folder)


def run(home: Path, *arguments: str) -> dict[str, Any]:
    """Run a command with --json and return its object; a domain error is raised as it is."""
    done = CliRunner().invoke(cli, [*arguments, "--json"], env={"PICKTURE_HOME": str(home)}, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def test_a_shop_moves_to_a_new_home_by_backup_and_restore(homes: tuple[Path, Path]) -> None:
    first, second = homes
    assert run(first, "db", "start")["running"]
    assert run(first, "db", "upgrade")["revision"] == run(first, "db", "check")["head"]
    assert run(first, "models", "list") == {"versions": []}
    with pytest.raises(BundleNotFound):
        run(first, "models", "rollback")

    vectors, labels = clustered(np.random.default_rng(1), labels=4, photos=2)
    engine = open_database(Settings(home=first))  # type: ignore[call-arg]
    store = BundleStore(first)
    with transaction(engine) as session:
        space = ensure_space(session, "space", {"weights": "embedded"})
        photos = add_photos(session, labels)
        rows = [(i, p, label, v) for (i, p), label, v in zip(photos, labels, vectors, strict=True)]
        put_vectors(session, space, rows, PROJECT)
        for version in ("v1", "v2"):
            store.path_for(version).mkdir(parents=True)
            store.publish(session, version, space, "b" * 64, {})
    before = PgNeighbours(engine, space, PROJECT).nearest(vectors)
    engine.dispose()
    assert run(first, "models", "rollback")["version"] == "v1"
    assert run(first, "models", "promote", "v2")["state"] == "champion"

    file = first / "shop.backup"
    assert run(first, "db", "backup", str(file))["size_bytes"] == file.stat().st_size
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [path.name for path in first.iterdir() if path.name.endswith(".part")] == []
    with pytest.raises(UsageError, match="already has"):
        run(first, "db", "restore", str(file))
    assert run(first, "db", "stop") == {"running": False, "stopped": True}

    assert run(second, "db", "restore", str(file))["problems"] == []
    assert run(second, "db", "check")["ok"]
    engine = open_database(Settings(home=second))  # type: ignore[call-arg]
    assert PgNeighbours(engine, space, PROJECT).nearest(vectors) == before
    engine.dispose()
    states = {item["version"]: item["state"] for item in run(second, "models", "list")["versions"]}
    assert states == {"v1": "retired", "v2": "champion"}

    junk = second / "junk.backup"
    junk.write_bytes(b"not a backup")
    with pytest.raises(UsageError, match="not a backup"):
        run(second, "db", "restore", str(junk))


def test_an_outside_server_is_not_started_or_stopped_here(tmp_path: Path) -> None:
    environment = {"PICKTURE_HOME": str(tmp_path), "PICKTURE_DATABASE_URL": "postgresql://host/db"}
    for name in ("start", "stop"):
        with pytest.raises(UsageError, match="PICKTURE_DATABASE_URL"):
            CliRunner().invoke(cli, ["db", name], env=environment, catch_exceptions=False)


def test_the_migrations_alone_give_the_tables_of_the_models(tmp_path: Path) -> None:
    found = run(tmp_path, "db", "check", "--scratch")
    assert found["ok"], found["problems"]
    assert list(tmp_path.iterdir()) == []
