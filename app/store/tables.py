"""Every table, as SQLAlchemy models. Migrations are compared with this file (``make check``).

Text that people search or sort by has a twin ``*_key`` column: NFC-normalised and casefolded by
``app.store.text.key`` (the embedded PostgreSQL has neither ICU nor pg_trgm).
All times are UTC. Prices are NUMERIC(14, 2) in the installation's one currency.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from pgvector.sqlalchemy import HALFVEC
from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    CheckConstraint,
    Computed,
    DateTime,
    ForeignKey,
    Identity,
    Index,
    Integer,
    MetaData,
    Numeric,
    PrimaryKeyConstraint,
    SmallInteger,
    String,
    Text,
    UniqueConstraint,
    Uuid,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB, REAL
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

BOTTLENECK_SIZE = 2048
PROJECTED_SIZE = 256

NAMING = {
    "ix": "ix_%(column_0_label)s",
    "uq": "uq_%(table_name)s_%(column_0_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}


class Base(DeclarativeBase):
    """Declarative base with fixed constraint names, so that migrations can name them."""

    metadata = MetaData(naming_convention=NAMING)


def _created_at() -> Mapped[datetime]:
    return mapped_column(DateTime(timezone=True), server_default=func.now(), nullable=False)


class Installation(Base):
    """Facts of this installation, one row a key: currency, cursor secret, champion pointer's epoch."""

    __tablename__ = "installation"

    key: Mapped[str] = mapped_column(Text, primary_key=True)
    value: Mapped[Any] = mapped_column(JSONB, nullable=False)


class Brand(Base):
    """A brand as the catalogue writes it; two spellings with one key are one brand."""

    __tablename__ = "brands"

    id: Mapped[int] = mapped_column(Integer, Identity(), primary_key=True)
    name: Mapped[str] = mapped_column(Text, nullable=False)
    name_key: Mapped[str] = mapped_column(Text, nullable=False, unique=True)


class Category(Base):
    """A node of the category tree (large > medium > small > ...).

    path_key: the keys of all ancestors and itself joined by ``" > "``; a subtree is the node plus every
    path_key that starts with it and ``" > "``.
    """

    __tablename__ = "categories"
    __table_args__ = (
        Index("ix_categories_path_key_prefix", "path_key", postgresql_ops={"path_key": "text_pattern_ops"}),
    )

    id: Mapped[int] = mapped_column(Integer, Identity(), primary_key=True)
    parent_id: Mapped[int | None] = mapped_column(ForeignKey("categories.id"), index=True)
    name: Mapped[str] = mapped_column(Text, nullable=False)
    path: Mapped[str] = mapped_column(Text, nullable=False)
    path_key: Mapped[str] = mapped_column(Text, nullable=False, unique=True)
    depth: Mapped[int] = mapped_column(SmallInteger, nullable=False)


class Product(Base):
    """One sku. ``label`` is what the classifiers name: the group where there is one, else the sku.

    type, colour: as given by the catalogue; ``predicted_*`` as recognised from the photos with their
    confidence in [0, 1]. They are stored apart; ``effective_*_key`` prefers the given one.
    lab: median CIELAB (D65) of the product's pixels: L in 0..100, a and b about -128..127.
    """

    __tablename__ = "products"
    __table_args__ = (
        CheckConstraint("price IS NULL OR price >= 0", name="price_not_negative"),
        CheckConstraint("(price IS NULL) = (currency IS NULL)", name="price_has_currency"),
        CheckConstraint(
            "predicted_type_confidence BETWEEN 0 AND 1 AND predicted_colour_confidence BETWEEN 0 AND 1",
            name="confidence_range",
        ),
        CheckConstraint("lab IS NULL OR cardinality(lab) = 3", name="lab_has_three"),
        Index("ix_products_effective_type_key_id", "effective_type_key", "id"),
        Index("ix_products_name_key_sku", "name_key", "sku"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    sku: Mapped[str] = mapped_column(Text, nullable=False, unique=True)
    group: Mapped[str | None] = mapped_column("group_name", Text)
    label: Mapped[str] = mapped_column(Text, Computed("coalesce(group_name, sku)", persisted=True), index=True)
    name: Mapped[str | None] = mapped_column(Text)
    name_key: Mapped[str | None] = mapped_column(Text)
    description: Mapped[str | None] = mapped_column(Text)
    brand_id: Mapped[int | None] = mapped_column(ForeignKey("brands.id"), index=True)
    category_id: Mapped[int | None] = mapped_column(ForeignKey("categories.id"), index=True)
    type: Mapped[str | None] = mapped_column(Text)
    type_key: Mapped[str | None] = mapped_column(Text)
    colour: Mapped[str | None] = mapped_column(Text)
    colour_key: Mapped[str | None] = mapped_column(Text)
    season: Mapped[str | None] = mapped_column(Text)
    predicted_type: Mapped[str | None] = mapped_column(Text)
    predicted_type_key: Mapped[str | None] = mapped_column(Text)
    predicted_type_confidence: Mapped[float | None] = mapped_column(REAL)
    predicted_colour: Mapped[str | None] = mapped_column(Text)
    predicted_colour_key: Mapped[str | None] = mapped_column(Text)
    predicted_colour_confidence: Mapped[float | None] = mapped_column(REAL)
    effective_type_key: Mapped[str | None] = mapped_column(
        Text, Computed("coalesce(type_key, predicted_type_key)", persisted=True)
    )
    effective_colour_key: Mapped[str | None] = mapped_column(
        Text, Computed("coalesce(colour_key, predicted_colour_key)", persisted=True), index=True
    )
    lab: Mapped[list[float] | None] = mapped_column(ARRAY(REAL))
    price: Mapped[Decimal | None] = mapped_column(Numeric(14, 2), index=True)
    currency: Mapped[str | None] = mapped_column(String(3))
    available: Mapped[bool] = mapped_column(Boolean, nullable=False, server_default=text("true"))
    gtin: Mapped[str | None] = mapped_column(Text, index=True)
    url: Mapped[str | None] = mapped_column(Text)
    source: Mapped[str | None] = mapped_column(Text)
    mall_category: Mapped[str | None] = mapped_column(Text)
    listed_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    catalogue_id: Mapped[str | None] = mapped_column(Text)
    restricted: Mapped[bool | None] = mapped_column(Boolean)
    created_at: Mapped[datetime] = _created_at()
    updated_at: Mapped[datetime] = mapped_column(
        DateTime(timezone=True), server_default=func.now(), onupdate=func.now(), nullable=False
    )

    brand: Mapped[Brand | None] = relationship(lazy="raise")
    category: Mapped[Category | None] = relationship(lazy="raise")
    images: Mapped[list[Image]] = relationship(
        lazy="raise", order_by="Image.position", cascade="all, delete-orphan", passive_deletes=True
    )


class Image(Base):
    """A reference photo of a product; its bytes lie in the media store under ``content_hash``.

    token: the unguessable part of its public URL. source_name: the file name it was imported from.
    """

    __tablename__ = "images"
    __table_args__ = (UniqueConstraint("product_id", "content_hash", name="uq_images_product_id_content_hash"),)

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    product_id: Mapped[int] = mapped_column(ForeignKey("products.id", ondelete="CASCADE"), nullable=False)
    content_hash: Mapped[str] = mapped_column(String(64), nullable=False, index=True)
    token: Mapped[str] = mapped_column(Text, nullable=False, unique=True)
    position: Mapped[int] = mapped_column(Integer, nullable=False)
    source_name: Mapped[str] = mapped_column(Text, nullable=False)
    format: Mapped[str] = mapped_column(Text, nullable=False)
    width: Mapped[int] = mapped_column(Integer, nullable=False)
    height: Mapped[int] = mapped_column(Integer, nullable=False)
    size_bytes: Mapped[int] = mapped_column(Integer, nullable=False)
    created_at: Mapped[datetime] = _created_at()


class Space(Base):
    """One backbone's vector world (``models.backbone.space.Space``); ``id`` names its partitions.

    preparing: kept complete although no served version belongs to it (``app.store.outbox``). dropped_at: when its
    vectors and partitions were removed; the row stays for the model versions that name it.
    """

    __tablename__ = "spaces"

    id: Mapped[int] = mapped_column(Integer, Identity(), primary_key=True)
    identifier: Mapped[str] = mapped_column(Text, nullable=False, unique=True)
    description: Mapped[Any] = mapped_column(JSONB, nullable=False)
    created_at: Mapped[datetime] = _created_at()
    preparing: Mapped[bool] = mapped_column(Boolean, nullable=False, server_default=text("false"))
    dropped_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))


class ReferenceVector(Base):
    """The k-NN memory: one row an original photo and space, partitioned by space.

    raw: normalised bottleneck (2048), half precision; projected: its fixed projection (256).
    ``label`` repeats the product's label so that the index scan can filter without a join. The key starts
    with the image, so that deleting one finds its vectors without knowing their spaces.
    """

    __tablename__ = "reference_vectors"
    __table_args__ = (
        PrimaryKeyConstraint("image_id", "space_id", name="pk_reference_vectors"),
        Index("ix_reference_vectors_product_id", "product_id"),
        Index("ix_reference_vectors_label", "label"),
        {"postgresql_partition_by": "LIST (space_id)"},
    )

    space_id: Mapped[int] = mapped_column(ForeignKey("spaces.id"), nullable=False)
    image_id: Mapped[int] = mapped_column(ForeignKey("images.id", ondelete="CASCADE"), nullable=False)
    product_id: Mapped[int] = mapped_column(ForeignKey("products.id", ondelete="CASCADE"), nullable=False)
    label: Mapped[str] = mapped_column(Text, nullable=False)
    raw: Mapped[Any] = mapped_column(HALFVEC(BOTTLENECK_SIZE), nullable=False)
    projected: Mapped[Any] = mapped_column(HALFVEC(PROJECTED_SIZE), nullable=False)


class ProductLook(Base):
    """How a product looks in a space: the unit-length mean of its photos' projections."""

    __tablename__ = "product_looks"
    __table_args__ = (
        PrimaryKeyConstraint("product_id", "space_id", name="pk_product_looks"),
        {"postgresql_partition_by": "LIST (space_id)"},
    )

    space_id: Mapped[int] = mapped_column(ForeignKey("spaces.id"), nullable=False)
    product_id: Mapped[int] = mapped_column(ForeignKey("products.id", ondelete="CASCADE"), nullable=False)
    look: Mapped[Any] = mapped_column(HALFVEC(PROJECTED_SIZE), nullable=False)


class Bundle(Base):
    """A trained model version. Exactly one is the champion (served).

    job_id: the job that made it; one makes one version at most. gate: what was decided about serving it, as
    ``app.store.bundles.Gate`` says; None where it was published without being asked.
    """

    __tablename__ = "bundles"
    __table_args__ = (
        CheckConstraint("state IN ('challenger', 'champion', 'refused', 'retired')", name="state"),
        Index("uq_bundles_champion", "state", unique=True, postgresql_where=text("state = 'champion'")),
    )

    version: Mapped[str] = mapped_column(Text, primary_key=True)
    space_id: Mapped[int] = mapped_column(ForeignKey("spaces.id"), nullable=False)
    state: Mapped[str] = mapped_column(Text, nullable=False)
    manifest_sha256: Mapped[str] = mapped_column(String(64), nullable=False)
    metrics: Mapped[Any] = mapped_column(JSONB, nullable=False)
    job_id: Mapped[UUID | None] = mapped_column(Uuid, unique=True)
    gate: Mapped[Any] = mapped_column(JSONB(none_as_null=True), nullable=True)
    created_at: Mapped[datetime] = _created_at()
    promoted_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))


class Promotion(Base):
    """One time a bundle became champion; never deleted. ``undone_at`` is set when it was rolled back.

    The promotions not undone form a stack: the newest one's version is the champion, and its ``replaced``
    is the one that a rollback brings back (None for the very first).
    """

    __tablename__ = "promotions"

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    version: Mapped[str] = mapped_column(ForeignKey("bundles.version"), nullable=False, index=True)
    replaced: Mapped[str | None] = mapped_column(ForeignKey("bundles.version"))
    created_at: Mapped[datetime] = _created_at()
    undone_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))


class AccessKey(Base):
    """An app key (public, ships in the app) or an admin key (secret). Only the SHA-256 is stored."""

    __tablename__ = "access_keys"
    __table_args__ = (CheckConstraint("role IN ('app', 'admin')", name="role"),)

    id: Mapped[int] = mapped_column(Integer, Identity(), primary_key=True)
    role: Mapped[str] = mapped_column(Text, nullable=False)
    name: Mapped[str | None] = mapped_column(Text)
    prefix: Mapped[str] = mapped_column(Text, nullable=False)
    key_sha256: Mapped[str] = mapped_column(String(64), nullable=False, unique=True)
    created_at: Mapped[datetime] = _created_at()
    last_used_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    revoked_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))


class Session(Base):
    """A short-lived token of one installation of the app.

    installation: the random id that the app made for itself, where it sends one; the same in all its sessions.
    """

    __tablename__ = "sessions"

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    key_id: Mapped[int] = mapped_column(ForeignKey("access_keys.id", ondelete="CASCADE"), nullable=False, index=True)
    token_sha256: Mapped[str] = mapped_column(String(64), nullable=False, unique=True)
    address: Mapped[str | None] = mapped_column(Text)
    installation: Mapped[UUID | None] = mapped_column(Uuid)
    created_at: Mapped[datetime] = _created_at()
    expires_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), nullable=False, index=True)


class Query(Base):
    """One search. The photo is kept (``photo_hash``) only where the shopper consented.

    verdict: None where words were searched by; nobody judged then, and the candidates have no votes.
    candidates: [{"label", "sku", "score", "votes": {classifier: {"state", "rank", "score"}}}], best first, as
        answered; searches before revision 0005 lack the votes.
    cropped: whether a part of the photo was searched with; kept is the whole. False before revision 0008.
    """

    __tablename__ = "queries"
    __table_args__ = (
        # Whether a kept photo may be deleted is asked for each one; most queries keep none.
        Index("ix_queries_photo_hash", "photo_hash", postgresql_where=text("photo_hash IS NOT NULL")),
    )

    id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    session_id: Mapped[int | None] = mapped_column(ForeignKey("sessions.id", ondelete="SET NULL"), index=True)
    model_version: Mapped[str] = mapped_column(Text, nullable=False)
    verdict: Mapped[str | None] = mapped_column(Text)
    calibrated: Mapped[bool] = mapped_column(Boolean, nullable=False)
    candidates: Mapped[Any] = mapped_column(JSONB, nullable=False)
    category: Mapped[str | None] = mapped_column(Text)
    cropped: Mapped[bool] = mapped_column(Boolean, nullable=False, server_default=text("false"))
    photo_hash: Mapped[str | None] = mapped_column(String(64))
    created_at: Mapped[datetime] = mapped_column(
        DateTime(timezone=True), server_default=func.now(), nullable=False, index=True
    )


class Pick(Base):
    """What the shopper said of a query: picked a product, or none of the candidates."""

    __tablename__ = "picks"
    __table_args__ = (
        CheckConstraint("outcome IN ('picked', 'none_of_these')", name="outcome"),
        CheckConstraint("(outcome = 'picked') = (sku IS NOT NULL)", name="sku_when_picked"),
    )

    query_id: Mapped[UUID] = mapped_column(ForeignKey("queries.id", ondelete="CASCADE"), primary_key=True)
    outcome: Mapped[str] = mapped_column(Text, nullable=False)
    sku: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime] = _created_at()
