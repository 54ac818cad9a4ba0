"""Rows of kept photos."""

from __future__ import annotations

from sqlalchemy import Engine, text

from app.store import kept
from app.store.database import check, downgrade, transaction, upgrade


def test_the_revision_knows_the_photos_that_were_kept_before(empty_engine: Engine) -> None:
    upgrade(empty_engine, "0007")
    with transaction(empty_engine) as session:
        session.execute(
            text(
                "INSERT INTO queries (id, model_version, verdict, calibrated, candidates, photo_hash) "
                "SELECT gen_random_uuid(), 'v1', 'known', true, '[]', hash FROM "
                "unnest(ARRAY[repeat('a', 64), repeat('a', 64), repeat('b', 64), NULL]) AS hash"
            )
        )
    upgrade(empty_engine)
    with transaction(empty_engine) as session:
        hashes = session.scalars(text("SELECT content_hash FROM kept_photos ORDER BY 1")).all()
        assert [name[0] for name in hashes] == ["a", "b"]
        assert session.scalars(text("SELECT DISTINCT cropped FROM queries")).all() == [False]
        assert kept.announced_among(session, ["b" * 64, "c" * 64, "a" * 64]) == ["a" * 64, "b" * 64]
    assert check(empty_engine).ok
    downgrade(empty_engine, "0007")
    upgrade(empty_engine)
