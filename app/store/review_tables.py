"""The tables of reviewing; they belong to ``app.store.tables`` and are apart from it for its length.

A pick of a query whose photo was kept is a review item; an accepted item has a reviewed photo, which training takes
in; a reviewed photo has a vector a space. Each goes with the one before it, and all of them with the query. Kept
photos are noted by themselves as well, for their files are no rows.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from pgvector.sqlalchemy import HALFVEC
from sqlalchemy import (
    ARRAY,
    BigInteger,
    CheckConstraint,
    DateTime,
    ForeignKey,
    Identity,
    Index,
    PrimaryKeyConstraint,
    String,
    Text,
    Uuid,
    func,
)
from sqlalchemy.orm import Mapped, mapped_column

from app.store.tables import BOTTLENECK_SIZE, PROJECTED_SIZE, Base


class KeptPhoto(Base):
    """A file in the image store that is there for a shopper's sake; written before it (``app.store.kept``).

    kept_at: when it was kept last. The row goes once the file has, a day later at the earliest.
    """

    __tablename__ = "kept_photos"

    content_hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    kept_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now(), nullable=False)


class ReviewItem(Base):
    """A pick that an administrator may turn into a label.

    outcome, sku, label: the pick as it is while undecided, and as it was decided on from then on; ``label`` is that of
    the product when it was picked. photo_hash: the query's kept photo.
    installation, address: pseudonyms of who picked, see ``app.services.review_guards``; None for an administrator.
    findings: codes of what was doubtful in the pick by itself.
    decided_sku: the product that the photo was accepted as. accepted_at: when first, whatever was decided since.
    """

    __tablename__ = "review_items"
    __table_args__ = (
        CheckConstraint("state IN ('undecided', 'accepted', 'relabelled', 'discarded')", name="state"),
        CheckConstraint("outcome IN ('picked', 'none_of_these')", name="outcome"),
        CheckConstraint("(outcome = 'picked') = (sku IS NOT NULL)", name="sku_when_picked"),
        CheckConstraint("(state = 'undecided') = (decided_at IS NULL)", name="decided_at_when_decided"),
        CheckConstraint(
            "(state IN ('accepted', 'relabelled')) = (decided_sku IS NOT NULL)", name="decided_sku_when_accepted"
        ),
        Index("ix_review_items_created_at_query_id", "created_at", "query_id"),
        Index("ix_review_items_label_installation", "label", "installation"),
        Index("ix_review_items_installation_created_at", "installation", "created_at"),
        Index("ix_review_items_address_created_at", "address", "created_at"),
    )

    query_id: Mapped[UUID] = mapped_column(Uuid, ForeignKey("queries.id", ondelete="CASCADE"), primary_key=True)
    state: Mapped[str] = mapped_column(Text, nullable=False)
    outcome: Mapped[str] = mapped_column(Text, nullable=False)
    sku: Mapped[str | None] = mapped_column(Text)
    label: Mapped[str | None] = mapped_column(Text)
    photo_hash: Mapped[str] = mapped_column(String(64), nullable=False, index=True)
    installation: Mapped[str | None] = mapped_column(Text)
    address: Mapped[str | None] = mapped_column(Text)
    findings: Mapped[list[str]] = mapped_column(ARRAY(Text), nullable=False)
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now(), nullable=False)
    decided_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    decided_by: Mapped[int | None] = mapped_column(ForeignKey("access_keys.id", ondelete="SET NULL"))
    decided_sku: Mapped[str | None] = mapped_column(Text)
    accepted_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))


class ReviewedPhoto(Base):
    """A shopper's photo that was accepted as one of a product: training data, and never a picture of the product.

    It has no token, so no public address leads to it. content_hash and installation repeat the item's.
    """

    __tablename__ = "reviewed_photos"

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    query_id: Mapped[UUID] = mapped_column(
        ForeignKey("review_items.query_id", ondelete="CASCADE"), nullable=False, unique=True
    )
    product_id: Mapped[int] = mapped_column(ForeignKey("products.id", ondelete="CASCADE"), nullable=False, index=True)
    content_hash: Mapped[str] = mapped_column(String(64), nullable=False)
    installation: Mapped[str | None] = mapped_column(Text, index=True)
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now(), nullable=False)


class ReviewedVector(Base):
    """The k-NN memory's second part: one row a reviewed photo and space, partitioned as ``ReferenceVector`` is.

    Apart from the catalogue's, so that looks, types and pictures of products, which are the shop's own, cannot be
    made from shoppers' photos by mistake.
    """

    __tablename__ = "reviewed_vectors"
    __table_args__ = (
        PrimaryKeyConstraint("reviewed_id", "space_id", name="pk_reviewed_vectors"),
        Index("ix_reviewed_vectors_product_id", "product_id"),
        Index("ix_reviewed_vectors_label", "label"),
        {"postgresql_partition_by": "LIST (space_id)"},
    )

    space_id: Mapped[int] = mapped_column(ForeignKey("spaces.id"), nullable=False)
    reviewed_id: Mapped[int] = mapped_column(ForeignKey("reviewed_photos.id", ondelete="CASCADE"), nullable=False)
    product_id: Mapped[int] = mapped_column(ForeignKey("products.id", ondelete="CASCADE"), nullable=False)
    label: Mapped[str] = mapped_column(Text, nullable=False)
    raw: Mapped[Any] = mapped_column(HALFVEC(BOTTLENECK_SIZE), nullable=False)
    projected: Mapped[Any] = mapped_column(HALFVEC(PROJECTED_SIZE), nullable=False)
