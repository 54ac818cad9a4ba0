"""Importing a catalogue folder: check everything, decode the photos, then one transaction for the rows.

What counts:

- A row is taken whole or not at all. Good rows enter, bad ones are listed; ``strict``: all or nothing.
- A sku that is no longer listed stays as it is; ``absent`` counts those.
- The folder ``images/<sku>`` of a listed sku is the truth about its photos: new ones are added, vanished
  ones removed. Without that folder the product keeps the photos it has (a table alone may update prices).
  A file that cannot be read does not remove the photo that came from a file of the same name before.
- Photos are told apart by content, so renaming one moves it, and importing twice changes nothing at all.
- Single products may be changed by an administrator meanwhile (``editing``): where one that the table lists was,
  the rows are compared anew before anything is written, without decoding again what has been decoded.
- Photos go to the media store as they are decoded. When the rows then fail, these files stay: named by
  content, they are in nobody's way and make the next attempt quicker.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, text
from sqlalchemy.exc import OperationalError

from app.errors import CatalogueChanged, DatabaseUnavailable
from app.services.catalogue.accepted import with_accepted
from app.services.catalogue.archives import opened_catalogue
from app.services.catalogue.errors import ImportBusy
from app.services.catalogue.locking import own_catalogue
from app.services.catalogue.photos import DecodedPhoto, PhotoProgress, store_photo
from app.services.catalogue.planning import Plan, in_order, make_plan
from app.services.catalogue.reading import read_table
from app.services.catalogue.rows import CheckedRows, RowProblem, check_rows
from app.services.catalogue.storing import (
    KnownProduct,
    count_absent,
    load_known,
    refresh_vector_labels,
    write_images,
    write_products,
)
from app.store.database import transaction
from app.store.history import lock_photo, photo_in_use
from app.store.kept import announced_among
from app.store.media import MediaStore
from app.store.outbox import share_outbox

IMPORT_LOCK = 0x5069_636B_0001
"""PostgreSQL advisory lock of imports ("Pick", 1): two at once would undo each other."""


_ATTEMPTS = 5


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What an import did, or would do (``applied`` is False after a dry run or a refused strict import).

    rows: rows of the table, bad ones included. added, changed, unchanged: good rows.
    absent: products in the database that the table does not list; they were left as they are.
    images_*: photos of good rows; ``images_unchanged`` counts those whose folder was there.
    problems: what was refused, and why. warnings: what was taken, or passed over, with a doubt.
    """

    source: str
    dry_run: bool
    strict: bool
    applied: bool
    rows: int
    added: int
    changed: int
    unchanged: int
    absent: int
    images_added: int
    images_removed: int
    images_unchanged: int
    problems: tuple[RowProblem, ...]
    warnings: tuple[RowProblem, ...]
    seconds: float

    def as_dict(self) -> dict[str, Any]:
        """The same as plain values, for JSON."""
        return asdict(self)


def import_catalogue(
    engine: Engine,
    media: MediaStore,
    path: Path,
    *,
    dry_run: bool = False,
    strict: bool = False,
    currency: str = "EUR",
    progress: PhotoProgress = False,
) -> ImportReport:
    """Import a catalogue folder, or a zip archive of one.

    dry_run: report what would happen and write nothing, neither rows nor photos.
    strict: write nothing at all when there is any problem (warnings do not count).
    currency: the installation's one currency. progress: bars on stderr, or who is told, see ``PhotoProgress``.

    :raise CatalogueError: there is no readable table. :raise ArchiveRefused: the archive is unsafe.
    :raise ImportBusy: another import is running. :raise DatabaseUnavailable: no connection.
    """
    started = time.monotonic()
    with opened_catalogue(path) as directory, _only_one(engine):
        table = read_table(directory)
        checked = check_rows(table.records, currency)
        checked = replace(
            checked,
            problems=in_order((*table.problems, *checked.problems)),
            warnings=(*table.warnings, *checked.warnings),
        )
        # A strict import that cannot succeed goes on as a dry run: every problem is found at once.
        write = not dry_run and not (strict and checked.problems)
        with transaction(engine) as session:
            absent = count_absent(session, [*(row.sku for row in checked.rows), *sorted(checked.refused)])
        planned = _Planned(engine, media, directory, checked)
        plan, applied = planned.carry_out(write=write, strict=strict, progress=progress)
    return ImportReport(
        source=str(path),
        dry_run=dry_run,
        strict=strict,
        applied=applied,
        rows=len(table.records) + len({problem.line for problem in table.problems}),
        absent=absent,
        seconds=round(time.monotonic() - started, 3),
        **plan.counts(),
        problems=plan.problems,
        warnings=plan.warnings,
    )


@contextmanager
def _only_one(engine: Engine) -> Iterator[None]:
    """Hold the import lock on a connection of its own; PostgreSQL frees it when the process dies."""
    # Autocommit: a transaction that idles for the minutes of an import would hold back vacuum.
    try:
        connection = engine.connect().execution_options(isolation_level="AUTOCOMMIT")
    except OperationalError as error:
        raise DatabaseUnavailable(f"no connection to the database: {error.orig}") from error
    with connection:
        if not connection.scalar(text("SELECT pg_try_advisory_lock(:lock)"), {"lock": IMPORT_LOCK}):
            raise ImportBusy("another import is running; wait for it, or stop it, and start again.")
        try:
            yield
        finally:
            connection.execute(text("SELECT pg_advisory_unlock(:lock)"), {"lock": IMPORT_LOCK})


@dataclass(frozen=True, slots=True, eq=False)
class _Planned:
    """The checked table of a folder, on its way into the database."""

    engine: Engine
    media: MediaStore
    directory: Path
    checked: CheckedRows

    def carry_out(self, *, write: bool, strict: bool, progress: PhotoProgress) -> tuple[Plan, bool]:
        """The plan, and whether it was applied.

        :raise CatalogueChanged: each time it was to be applied, a listed product had just been changed.
        """
        decoded: Mapping[Path, DecodedPhoto] = {}
        new_media: set[str] = set()
        for _ in range(_ATTEMPTS):
            known, checked = self._known()
            plan = make_plan(
                self.directory, checked, known, self.media, write=write, progress=progress, decoded=decoded
            )
            decoded = plan.decoded
            new_media.update(plan.new_media)
            if not write or (strict and plan.problems):
                self._discard(new_media)
                return plan, False
            if self._apply(plan, known):
                return plan, True
        raise CatalogueChanged(
            "products that this import lists are being changed by someone else; nothing was imported: import again"
        )

    def _discard(self, new_media: Iterable[str]) -> None:
        """Remove photos that were stored for nothing, unless someone else refers to them by now."""
        with transaction(self.engine) as session:
            for content_hash in sorted(new_media):
                lock_photo(session, content_hash)
                if not photo_in_use(session, content_hash):
                    self.media.delete(content_hash)

    def _known(self) -> tuple[dict[str, KnownProduct], CheckedRows]:
        """The products as they are, and the rows with what was accepted for them."""
        with transaction(self.engine) as session:
            return load_known(session, self._skus()), with_accepted(session, self.checked)

    def _skus(self) -> list[str]:
        return [row.sku for row in self.checked.rows]

    def _apply(self, plan: Plan, known: Mapping[str, KnownProduct]) -> bool:
        """Write the plan; False, with nothing written, where the products are not what it was made for."""
        with transaction(self.engine) as session:
            own_catalogue(session)
            share_outbox(session)
            if load_known(session, self._skus()) != known:
                return False
            ids = write_products(session, plan.write)
            write_images(session, plan.images, ids)
            refresh_vector_labels(session, ids.values())
        self._store_again(plan)
        return True

    def _store_again(self, plan: Plan) -> None:
        """Store what went between decoding and the commit: a shopper's kept photo of the very same bytes, forgotten.

        From the commit on, nobody deletes these photos any more; locking them all before it would be too many locks.
        Where this is cut off, the next import finds them missing and stores them.
        """
        added = {image.content_hash for _, image in plan.images.add}
        file_of = {photo.file.content_hash: photo.file for photo in plan.decoded.values()}
        with transaction(self.engine) as session:
            lost = [name for name in announced_among(session, added) if not self.media.exists(name)]
            for content_hash in lost:
                lock_photo(session, content_hash)
                if photo_in_use(session, content_hash):
                    store_photo(file_of[content_hash], self.media)
