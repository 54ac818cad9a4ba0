"""Which model version is served, and going back."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from app.store import bundles
from app.store.bundles import BundleStore, Gate, NewBundle, new_version
from app.store.spaces import ensure_space
from app.store.tables import Bundle, Promotion
from models.errors import BundleNotFound, UsageError


@pytest.fixture
def store(tmp_path: Path) -> BundleStore:
    return BundleStore(tmp_path)


def publish(store: BundleStore, session: Session, *versions: str) -> None:
    space = ensure_space(session, "space", {})
    for version in versions:
        store.path_for(version).mkdir(parents=True)
        store.publish(session, version, space, "a" * 64, {"top1": 0.8})


def states(session: Session) -> dict[str, str]:
    return {bundle.version: bundle.state for bundle in session.scalars(select(Bundle))}


def served(store: BundleStore, session: Session) -> str | None:
    champion = store.champion(session)
    return champion.version if champion else None


def test_before_the_first_publication_nothing_is_served(store: BundleStore, session: Session) -> None:
    assert store.champion(session) is None
    assert store.list_bundles(session) == []
    with pytest.raises(BundleNotFound, match="nothing has been published"):
        store.rollback(session)


def test_publishing_crowns_the_new_and_retires_the_old(store: BundleStore, session: Session) -> None:
    publish(store, session, "v1", "v2")
    assert states(session) == {"v1": "retired", "v2": "champion"}
    champion = store.champion(session)
    assert champion is not None
    assert champion.promoted_at is not None
    assert champion.metrics == {"top1": 0.8}
    assert [bundle.version for bundle in store.list_bundles(session)] == ["v2", "v1"]


def test_rollbacks_walk_back_one_promotion_each_and_end_at_the_first(store: BundleStore, session: Session) -> None:
    publish(store, session, "v1", "v2", "v3")
    assert store.rollback(session).version == "v2"
    assert store.rollback(session).version == "v1"
    with pytest.raises(BundleNotFound, match="v1 was the first"):
        store.rollback(session)
    assert served(store, session) == "v1"


def test_a_promotion_after_a_rollback_is_what_the_next_rollback_undoes(store: BundleStore, session: Session) -> None:
    publish(store, session, "v1", "v2", "v3")
    store.rollback(session)
    assert store.promote(session, "v1").state == "champion"
    assert store.promote(session, "v1").version == "v1"
    assert store.rollback(session).version == "v2"
    history = session.execute(select(Promotion.version, Promotion.replaced, Promotion.undone_at).order_by(Promotion.id))
    assert [(version, replaced, undone is not None) for version, replaced, undone in history] == [
        ("v1", None, False),
        ("v2", "v1", False),
        ("v3", "v2", True),
        ("v1", "v2", True),
    ]


def test_versions_without_a_row_or_a_folder_are_not_found(store: BundleStore, session: Session) -> None:
    publish(store, session, "v1", "v2")
    with pytest.raises(BundleNotFound, match="folder"):
        store.promote(session, "v9")
    store.path_for("v9").mkdir()
    with pytest.raises(BundleNotFound, match="no model version v9"):
        store.promote(session, "v9")
    store.path_for("v1").rmdir()
    with pytest.raises(BundleNotFound, match="folder"):
        store.rollback(session)
    assert served(store, session) == "v2"


def test_a_version_is_published_once_and_only_with_its_folder(store: BundleStore, session: Session) -> None:
    publish(store, session, "v1")
    space = ensure_space(session, "space", {})
    with pytest.raises(UsageError, match="published before"):
        store.publish(session, "v1", space, "a" * 64, {})
    with pytest.raises(BundleNotFound, match="folder"):
        store.publish(session, "v2", space, "a" * 64, {})
    assert states(session) == {"v1": "champion"}


@pytest.mark.parametrize("version", ["", "../v1", "a/b", ".hidden", "v" * 101, "v1\n", "버전"])
def test_a_version_never_leaves_its_folder(store: BundleStore, version: str) -> None:
    with pytest.raises(UsageError, match="model version"):
        store.path_for(version)


def test_the_database_itself_allows_one_champion(store: BundleStore, session: Session) -> None:
    publish(store, session, "v1")
    space = ensure_space(session, "space", {})
    with pytest.raises(IntegrityError), session.begin_nested():
        session.add(Bundle(version="x", space_id=space, state="champion", manifest_sha256="", metrics={}))
        session.flush()


def new(store: BundleStore, session: Session, version: str, job_id: UUID | None = None) -> NewBundle:
    """A finished folder that nobody has recorded."""
    store.path_for(version).mkdir(parents=True)
    return NewBundle(version, ensure_space(session, "space", {}), "a" * 64, {}, job_id)


def test_a_refused_version_is_kept_with_its_reason_and_can_be_promoted_by_hand(
    store: BundleStore, session: Session
) -> None:
    publish(store, session, "v1")
    gate = Gate("refused", "worse", "v1", {"photos": 30})
    row = store.settle(session, new(store, session, "v2"), gate)
    assert row is not None and row.gate == gate.to_json()
    assert (row.state, row.promoted_at) == ("refused", None)
    kept = store.settle(session, new(store, session, "v3"), Gate("kept", "as asked", "v1"))
    assert kept is not None and kept.state == "challenger"
    assert served(store, session) == "v1"
    assert store.promote(session, "v2").state == "champion"
    assert store.rollback(session).version == "v1"
    assert states(session) == {"v1": "champion", "v2": "retired", "v3": "challenger"}


def test_a_promoted_challenger_is_champion_and_can_be_rolled_back(store: BundleStore, session: Session) -> None:
    first = store.settle(session, new(store, session, "v1"), Gate("promoted", "first model", None))
    assert first is not None and first.state == "champion" and first.promoted_at is not None
    assert store.settle(session, new(store, session, "v2"), Gate("promoted", "not worse", "v1")) is not None
    assert states(session) == {"v1": "retired", "v2": "champion"}
    assert store.rollback(session).version == "v1"


@pytest.mark.parametrize("compared_with", [None, "v1", "v9"])
def test_a_comparison_with_another_champion_settles_nothing(
    store: BundleStore, session: Session, compared_with: str | None
) -> None:
    publish(store, session, "v1", "v2")
    assert store.settle(session, new(store, session, "v3"), Gate("promoted", "old news", compared_with)) is None
    assert states(session) == {"v1": "retired", "v2": "champion"}


def test_a_job_makes_one_version_at_most(store: BundleStore, session: Session) -> None:
    job_id = uuid4()
    assert store.of_job(session, job_id) is None
    assert store.settle(session, new(store, session, "v1", job_id), Gate("promoted", "first model", None)) is not None
    found = store.of_job(session, job_id)
    assert found is not None and found.version == "v1"
    with pytest.raises(IntegrityError), session.begin_nested():
        store.settle(session, new(store, session, "v2", job_id), Gate("promoted", "again", "v1"))
    publish(store, session, "v3", "v4")  # versions of the command line have no job


def test_finished_folders_of_a_job_are_found_by_name_and_cut_off_ones_removed(store: BundleStore) -> None:
    job_id, other = uuid4(), uuid4()
    assert store.folders_of_job(job_id) == []
    moments = [datetime(2026, 1, day, 3, 4, 5, 678901, UTC) for day in (1, 2)]
    versions = [new_version(moment, job_id) for moment in moments]
    assert versions[0] == f"20260101T030405678Z-{job_id.hex[:12]}"
    for version in (*versions, new_version(moments[0], other), new_version(moments[0]), f".{versions[0]}-cut"):
        (store.folder / version).mkdir(parents=True)
    assert [folder.name for folder in store.folders_of_job(job_id)] == versions[::-1]
    store.remove_leftovers()
    assert len(list(store.folder.iterdir())) == 4
    assert not [folder for folder in store.folder.iterdir() if folder.name.startswith(".")]


def test_old_folders_that_no_row_leads_to_are_removed_and_nothing_else(
    store: BundleStore, session: Session, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    publish(store, session, "v1")
    moment, ended, working = datetime(2026, 1, 1, tzinfo=UTC), uuid4(), uuid4()
    orphans = [new_version(moment), new_version(moment, ended)]
    awaited, elsewhere = new_version(moment, working), tmp_path / "elsewhere"
    others = {"v1", awaited, ".cut-off", "notes.txt", "linked"}
    for version in (*orphans, awaited, ".cut-off"):
        (store.folder / version).mkdir()
    elsewhere.mkdir()
    (store.folder / "linked").symlink_to(elsewhere, target_is_directory=True)
    (store.folder / "notes.txt").write_text("why v1")

    def there() -> set[str]:
        return {folder.name for folder in store.folder.iterdir()}

    assert store.remove_orphans(session, [working]) == [], "they are young"
    monkeypatch.setattr(bundles, "ORPHAN_AGE", timedelta(0))
    assert store.remove_orphans(session, [working]) == orphans
    assert there() == others and elsewhere.is_dir()
    assert store.remove_orphans(session, []) == [awaited], "its job has ended meanwhile"
    assert store.remove_orphans(session, []) == []


def test_folders_that_may_be_another_database_s_stay(
    store: BundleStore, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = store.folder / "20260101T000000000Z"
    before.mkdir(parents=True)
    monkeypatch.setattr(bundles, "ORPHAN_AGE", timedelta(0))
    assert store.remove_orphans(session, []) == [], "a database without a version knows nothing of what is here"
    publish(store, session, "v1")
    os.utime(before, (0, 0))
    assert store.remove_orphans(session, []) == []
    assert before.is_dir()


def test_folders_that_were_copied_here_with_their_times_are_young(store: BundleStore, session: Session) -> None:
    publish(store, session, "v1")
    session.get_one(Bundle, "v1").created_at = datetime(2026, 1, 1, tzinfo=UTC)
    session.flush()
    copied = store.folder / "20260201T000000000Z"
    copied.mkdir()
    os.utime(copied, (0, datetime(2026, 2, 1, tzinfo=UTC).timestamp()))
    assert store.remove_orphans(session, []) == []
    assert copied.is_dir()
