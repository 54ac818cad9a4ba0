"""Who may change the catalogue beside whom.

An import compares thousands of products with the database, decodes photos for minutes, and writes at the end. An
administrator changes one product at a time and waits for nobody's photos. So:

- a change of one product holds the catalogue's lock *shared*, and one on its sku for itself;
- an import holds the catalogue's lock for itself only while it writes, after looking again at what it compared;
- whoever changes or deletes a product's row locks it ``FOR UPDATE``, for which those who write reference vectors
  wait (``app.store.vectors``).

The order, which keeps any two from waiting for each other: the catalogue's lock, that of the outbox
(``app.store.outbox``), the sku's, rows. Publishing a model holds the outbox alone and changes rows of many products:
so everyone who changes the catalogue has his share of it first, whether he brings photos or not.

All locks end with the transaction.
"""

from __future__ import annotations

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.store.outbox import share_outbox
from app.store.tables import Product

CATALOGUE_LOCK = 0x5069_636B_0002
"""PostgreSQL advisory lock of catalogue rows ("Pick", 2)."""

_SKU_LOCKS = 7_105_634
"""Seed that keeps the advisory locks of skus apart from those on other things."""


def own_catalogue(session: Session) -> None:
    """Wait until no product is being changed, and keep others from changing any.

    The first lock of a transaction; those that change rows then take the outbox's, shared or alone.
    """
    session.execute(select(func.pg_advisory_xact_lock(CATALOGUE_LOCK)))


def own_product(session: Session, sku: str) -> int | None:
    """Be the only one to change the product ``sku``, or to create it; its id, None where there is none."""
    session.execute(select(func.pg_advisory_xact_lock_shared(CATALOGUE_LOCK)))
    share_outbox(session)
    session.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(sku, _SKU_LOCKS))))
    return session.scalar(select(Product.id).where(Product.sku == sku).with_for_update())
