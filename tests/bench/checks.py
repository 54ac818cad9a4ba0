"""What must hold whatever happened: a champion that is whole, no half bundle, nothing acknowledged that is gone."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from app.store.bundles import BundleStore
from app.store.media import MediaStore
from models.bundle import Bundle
from models.errors import PicktureError
from tests.bench.installation import Installation
from tests.bench.shoppers import Acknowledged

_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Facts:
    """What the database holds.

    bundles: version -> (state, SHA-256 of its manifest). photos: (sku, content hash). picks: query id -> sku.
    kept: query id -> content hash. reviewed: query id -> sku of its reviewed photo. announced: content hashes of photos
    that were to be kept, whether their searches came to be or not.
    """

    bundles: Mapping[str, tuple[str, str]]
    photos: frozenset[tuple[str, str]]
    picks: Mapping[str, str]
    kept: Mapping[str, str]
    reviewed: Mapping[str, str] = field(default_factory=dict)
    announced: frozenset[str] = frozenset()


def facts_of(place: Installation) -> Facts:
    """Read them, in one look. :raise SQLAlchemyError, BenchFailed: the database does not answer."""
    with place.connection() as connection:
        bundles = connection.execute(text("SELECT version, state, manifest_sha256 FROM bundles")).all()
        photos = connection.execute(
            text("SELECT p.sku, i.content_hash FROM images i JOIN products p ON p.id = i.product_id")
        ).all()
        picks = connection.execute(text("SELECT query_id::text, sku FROM picks")).all()
        kept = connection.execute(text("SELECT id::text, photo_hash FROM queries WHERE photo_hash IS NOT NULL")).all()
        reviewed = connection.execute(
            text("SELECT r.query_id::text, p.sku FROM reviewed_photos r JOIN products p ON p.id = r.product_id")
        ).all()
        announced = connection.execute(text("SELECT content_hash FROM kept_photos")).scalars().all()
    return Facts(
        {row.version: (row.state, row.manifest_sha256) for row in bundles},
        frozenset((sku, content_hash) for sku, content_hash in photos),
        dict(picks),
        dict(kept),
        dict(reviewed),
        frozenset(announced),
    )


def champion_fault(home: Path, facts: Facts) -> str | None:
    """Why the champion could not be served by a process that starts now; None where it could."""
    champions = [version for version, (state, _) in facts.bundles.items() if state == "champion"]
    if len(champions) != 1:
        return f"{len(champions)} champions"
    return _bundle_fault(home, champions[0], facts)


def half_bundles(home: Path, facts: Facts) -> list[str]:
    """Everything under ``bundles/`` that could be loaded or promoted and is not whole, and why."""
    folder = home / "bundles"
    named = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    visible = {name for name in named if not name.startswith(".")}
    found = [_bundle_fault(home, version, facts) for version in sorted(visible | set(facts.bundles))]
    return [fault for fault in found if fault is not None]


def _bundle_fault(home: Path, version: str, facts: Facts) -> str | None:
    try:
        bundle = Bundle.load(BundleStore(home).path_for(version))
    except (PicktureError, OSError) as error:
        return f"bundle {version}: {error}"
    recorded = facts.bundles.get(version)
    if recorded is not None and recorded[1] != bundle.manifest_sha256:
        return f"bundle {version} is not the one that was recorded"
    return None


def losses(said: Acknowledged, facts: Facts) -> list[str]:
    """What was acknowledged and is not in the database."""
    return [
        *_told("photos", said.photos - facts.photos),
        *_told("picks", said.picks.items() - facts.picks.items()),
        *_told("kept searches", said.kept.items() - facts.kept.items()),
        *_told("reviewed photos", said.reviewed.items() - facts.reviewed.items()),
    ]


def _told(what: str, lost: Iterable[tuple[str, str]]) -> list[str]:
    listed = sorted(lost)
    return [f"{len(listed)} {what} lost, e.g. {listed[:_SHOWN]}"] if listed else []


def media_faults(home: Path, facts: Facts) -> list[str]:
    """Photos that a row names and the media store does not have whole."""
    store = MediaStore(home / "media")
    hashes = {content_hash for _, content_hash in facts.photos} | set(facts.kept.values())
    bad = [content_hash for content_hash in sorted(hashes) if not _is_whole(store, content_hash)]
    return [f"{len(bad)} of {len(hashes)} photos are not whole in the media store, e.g. {bad[:_SHOWN]}"] if bad else []


def media_files(home: Path) -> frozenset[str]:
    """Content hashes of all that lies in the media store, whole or not. To be read before the facts."""
    return frozenset(path.name for path in (home / "media").glob("??/*"))


def strays(there: frozenset[str], said: Acknowledged, facts: Facts) -> list[str]:
    """Files of the media store that no row leads to, so that nobody would ever remove them.

    What was sent for the catalogue may stay, by design; a photo that was to be kept is found by its row in any case.
    """
    named = {content_hash for _, content_hash in facts.photos} | set(facts.kept.values()) | facts.announced
    found = sorted(there - named - said.tried)
    return (
        [f"{len(found)} of {len(there)} photos in the media store have no row, e.g. {found[:_SHOWN]}"] if found else []
    )


def _is_whole(store: MediaStore, content_hash: str) -> bool:
    try:
        for rendition in ("original", "800", "200"):
            Image.open(io.BytesIO(store.open(content_hash, rendition))).load()
    except (PicktureError, OSError):
        return False
    return True


def unfinished_jobs(place: Installation) -> list[str]:
    """Jobs that have not ended, and attempts that the queue takes for running; for a moment at which none should."""
    try:
        with place.connection() as connection:
            jobs = connection.execute(
                text("SELECT id::text, state, step FROM jobs WHERE state IN ('queued', 'running')")
            ).all()
            doing = connection.execute(
                text("SELECT id FROM procrastinate_jobs WHERE status IN ('todo', 'doing')")
            ).all()
    except SQLAlchemyError as error:
        return [f"the database does not answer: {error}"]
    return [f"job {row.id} {row.state}: {row.step}" for row in jobs] + [
        f"attempt {row.id} in the queue" for row in doing
    ]
