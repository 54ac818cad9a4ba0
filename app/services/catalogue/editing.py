"""Single products, changed by an administrator: by the rules of an import, and in force when the answer comes.

A product's rows, its labels in the k-NN memory and what is recognised of it change in one transaction, so that a
search in any process sees either all of a change or nothing of it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import Engine, delete
from sqlalchemy.orm import Session

from app.errors import FieldProblem, ProductNotFound, RequestInvalid
from app.services.catalogue.derived import refresh_derived
from app.services.catalogue.errors import CatalogueError
from app.services.catalogue.locking import own_product
from app.services.catalogue.planning import colour_prediction
from app.services.catalogue.preconditions import Expected
from app.services.catalogue.reading import read_json_record
from app.services.catalogue.records import CatalogueRecord, find_record
from app.services.catalogue.rows import ProductRow, RawRecord, RowProblem, check_row
from app.services.catalogue.storing import KnownProduct, WantedProduct, differs, load_known, row_values, write_products
from app.services.serving import Served, ServedModel
from app.services.words import ServedWords, SharedInService, refresh_places
from app.store.database import transaction
from app.store.media import MediaStore
from app.store.tables import Product
from app.store.vectors import relabel


@dataclass(frozen=True, slots=True, eq=False)
class PutOutcome:
    """What came of a PUT. doubts: what was taken and looks wrong all the same."""

    record: CatalogueRecord
    created: bool
    doubts: tuple[FieldProblem, ...]


class ProductEditor:
    """Creates, replaces, shows and deletes single products. Any thread may call.

    currency: the installation's one currency. model: asked what it knows, and for the type of photos. words: the
    shared space, in which a product changes its place with its row; None for none.
    """

    def __init__(
        self,
        engine: Engine,
        media: MediaStore,
        model: ServedModel,
        currency: str,
        words: SharedInService | None = None,
    ) -> None:
        self._engine = engine
        self._words = words
        self._media = media
        self._model = model
        self._currency = currency

    def get(self, sku: str) -> CatalogueRecord:
        """One product. :raise ProductNotFound: no product has this sku."""
        served = self._model.now()
        with transaction(self._engine) as session:
            return _found(find_record(session, sku, served), sku)

    def put(self, sku: str, content: bytes, expected: Expected) -> PutOutcome:
        """Create the product ``sku``, or replace all its columns; its photos stay as they are.

        content: a JSON object, UTF-8, with the catalogue's columns as keys; what is left out, or null, becomes unknown.

        :raise RequestInvalid: a column is unknown or its value refused; ``problems`` lists each with its reason.
        :raise PreconditionFailed, PreconditionRequired: see ``Expected.check``.
        """
        row, doubts = self._read(sku, content)
        served = self._model.now()
        words = None if self._words is None else self._words.now()
        with transaction(self._engine) as session:
            there = own_product(session, row.sku)
            before = None if there is None else find_record(session, row.sku, None)
            expected.check(row.sku, None if before is None else before.etag, replacing=True)
            self._write(session, row, served, words)
            record = _found(find_record(session, row.sku, served), row.sku)
        return PutOutcome(record, before is None, doubts)

    def delete(self, sku: str, expected: Expected) -> None:
        """Delete a product with its photos' rows and vectors; the media store keeps the files, as an import does.

        :raise ProductNotFound: no product has this sku. :raise PreconditionFailed: it is not as expected.
        """
        with transaction(self._engine) as session:
            product_id = own_product(session, sku)
            record = _found(None if product_id is None else find_record(session, sku, None), sku)
            expected.check(sku, record.etag, replacing=False)
            session.execute(delete(Product).where(Product.id == product_id))

    def _read(self, sku: str, content: bytes) -> tuple[ProductRow, tuple[FieldProblem, ...]]:
        try:
            record, problems = read_json_record(content.decode("utf-8"))
        except (CatalogueError, UnicodeDecodeError) as error:
            raise RequestInvalid(str(error), [FieldProblem("", str(error))]) from None
        named = record.values.get("sku", sku)
        values = {**record.values, "sku": sku}
        row, wrong, doubts = check_row(RawRecord(record.line, values), self._currency)
        problems = (*problems, *wrong)
        if named != sku:
            reason = f"is not the sku in the address, {sku!r}; leave it out, or write the same"
            problems = (*problems, RowProblem(None, sku, "sku", named, reason))
        if problems or row is None:
            raise RequestInvalid("; ".join(_told(problem) for problem in problems), _field_problems(problems))
        return row, tuple(_field_problems(doubts))

    def _write(self, session: Session, row: ProductRow, served: Served | None, words: ServedWords | None) -> None:
        known = load_known(session, [row.sku]).get(row.sku)
        values = row_values(row)
        if row.colour is not None:
            values |= colour_prediction(None, None)
        if known is not None and not differs(known.values, values):
            return
        product_id = write_products(session, [WantedProduct(row, values, None)])[row.sku]
        relabel(session, [product_id])
        refresh_places(session, words, [product_id])
        if known is not None and _now_lacking(known, row):
            refresh_derived(session, self._media, product_id, served)


def _now_lacking(known: KnownProduct, row: ProductRow) -> bool:
    """Whether colour or type was given and is not any more, so that the photos have to say it."""
    return (known.values["colour"] is not None and row.colour is None) or (
        known.values["type"] is not None and row.type is None
    )


def _found(record: CatalogueRecord | None, sku: str) -> CatalogueRecord:
    if record is None:
        raise ProductNotFound(f"no product has the sku {sku!r}")
    return record


def _told(problem: RowProblem) -> str:
    return f"{problem.field or 'body'}: {problem.reason}"


def _field_problems(problems: Iterable[RowProblem]) -> list[FieldProblem]:
    return [FieldProblem(problem.field or "", problem.reason, problem.value) for problem in problems]
