"""What administrators accepted of the text model's proposals, read as if rows without it said so."""

from __future__ import annotations

from dataclasses import replace

from sqlalchemy.orm import Session

from app.services.catalogue.rows import CheckedRows, ProductRow
from app.services.catalogue.vocabulary import chunks
from app.store.proposals import accepted_values


def with_accepted(session: Session, checked: CheckedRows) -> CheckedRows:
    """The rows, each with what was accepted for its product where it says nothing itself.

    So importing the same row twice changes nothing, although an accepted value stands in the product and in no file.
    """
    found: dict[str, dict[str, str]] = {}
    for part in chunks([row.sku for row in checked.rows]):
        found |= accepted_values(session, part)
    if not found:
        return checked
    return replace(checked, rows=tuple(_filled(row, found.get(row.sku, {})) for row in checked.rows))


def _filled(row: ProductRow, accepted: dict[str, str]) -> ProductRow:
    lacking = {name: value for name, value in accepted.items() if getattr(row, name) is None}
    return replace(row, **lacking) if lacking else row  # type: ignore[arg-type]  # all four columns are texts
