"""Settings, read once from the environment (prefix ``PICKTURE_``). A malformed one fails at start and names itself."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from models.errors import UsageError


class Settings(BaseSettings):
    """Everything an operator can set. ``docs/operations.md`` lists each (a test compares)."""

    model_config = SettingsConfigDict(env_prefix="PICKTURE_", frozen=True, extra="ignore")

    home: Path = Field(Path("var"), description="State folder: database, images, backbones, bundles.")
    database_url: str | None = Field(
        None,
        description="PostgreSQL >= 15 with pgvector >= 0.8; without it an embedded one runs in the state folder.",
    )
    weights: str = Field(
        "embedded", description="embedded, imagenet, random, or the path of a packed (.npz) or Keras (.h5) weight file."
    )
    runtime: Literal["openvino", "tensorflow"] = Field("openvino", description="What runs the backbone.")
    currency: str = Field("EUR", pattern="^[A-Z]{3}$", description="ISO 4217 code of this shop's one currency.")
    media_url: str | None = Field(None, description="fsspec URL of the image store; the state folder by default.")
    host: str = Field("127.0.0.1", description="Address the service listens on.")
    port: int = Field(8000, ge=1, le=65535, description="Port the service listens on.")
    workers: int = Field(1, ge=1, le=64, description="gunicorn worker processes.")
    threads: int = Field(20, ge=1, le=256, description="Threads a gunicorn worker.")
    decoders: int | None = Field(
        None,
        ge=0,
        le=64,
        description="Processes a gunicorn worker that decode photos: its share of the cores, at least 2; 0: in itself.",
    )
    search_seconds: int = Field(15, ge=1, le=300, description="Seconds after which nobody waits for a search.")
    upload_seconds: int = Field(120, ge=5, le=3600, description="Longest that a request may take to come, seconds.")
    upload_memory_bytes: int = Field(
        256 * 2**20, ge=2**20, le=2**40, description="Memory of a gunicorn worker for requests that have come, bytes."
    )
    cache_bytes: int = Field(16 * 2**20, ge=0, le=2**34, description="Bottlenecks a worker remembers, bytes; 0: none.")
    web: bool = Field(False, description="Whether the shopper's page is served at `/`.")
    admin_web: Literal["closed", "local", "open"] = Field(
        "closed", description="Who reaches the dashboard at `/admin`: nobody, this machine alone, or everyone."
    )
    admin_idle_minutes: int = Field(
        60, ge=1, le=1440, description="Minutes after which a login to the dashboard ends unused."
    )
    session_minutes: int = Field(60, ge=1, le=1440, description="Life of a session token, minutes.")
    max_upload_bytes: int = Field(20 * 2**20, ge=2**10, le=2**30, description="Largest request body, bytes.")
    max_photo_pixels: int = Field(50_000_000, ge=10_000, le=178_956_970, description="Largest photo, pixels.")
    max_import_bytes: int = Field(2 * 2**30, ge=2**10, le=2**40, description="Largest upload of a catalogue, bytes.")
    max_import_unpacked_bytes: int = Field(
        16 * 2**30, ge=2**10, le=2**42, description="Most bytes that an uploaded catalogue may unpack to."
    )
    start_worker: bool = Field(True, description="Whether `serve` runs a worker for jobs beside the service.")
    proxies: int = Field(
        0, ge=0, le=10, description="Proxies before the service whose X-Forwarded-For is believed; 0: none."
    )
    review_picks_per_installation: int = Field(
        50, ge=1, le=100_000, description="Picks of one installation in 24 hours that become review items."
    )
    review_picks_per_address: int = Field(
        200, ge=1, le=1_000_000, description="Picks from one address in 24 hours that become review items."
    )
    review_installations_per_address: int = Field(
        5, ge=1, le=10_000, description="More installations than this at one address within a day are flagged."
    )
    review_label_share: float = Field(
        0.5, gt=0, le=1, description="Share of a label's review items above which one installation is flagged."
    )
    review_photos_per_installation: int = Field(
        5, ge=1, le=1000, description="Photos of one installation and label that training takes, at most."
    )
    limit_per_installation: int = Field(
        6_000, ge=0, le=10_000_000, description="Operations a minute of one installation of the app; 0: no limit."
    )
    limit_per_address: int = Field(
        30_000, ge=0, le=10_000_000, description="Operations a minute from one address; 0: no limit."
    )
    log_format: Literal["json", "text"] = Field("json", description="One JSON object a line, or lines for people.")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Least severity that is logged."
    )
    query_days: int = Field(90, ge=1, le=3650, description="Days that queries, picks and kept photos stay.")
    reviewed_photo_days: int = Field(
        730, ge=1, le=3650, description="Days that photos accepted for training stay, with their queries."
    )
    job_days: int = Field(365, ge=1, le=3650, description="Days that jobs stay once they have ended.")
    gate_max_drop: float = Field(
        0.02, ge=0, le=1, description="Share of the hold-out photos that a retrained model may lose, net."
    )
    gate_max_group_drop: float = Field(
        0.1, ge=0, le=1, description="The same within one category of 20 hold-out photos or more."
    )
    cors_origins: tuple[str, ...] = Field((), description="JSON list of origins that may call the API from a browser.")

    @field_validator("home", mode="after")
    @classmethod
    def _absolute(cls, value: Path) -> Path:
        return value.expanduser().resolve()

    @classmethod
    def from_env(cls) -> Settings:
        """Read the environment.

        :raise UsageError: a setting is malformed; the message names each.
        """
        try:
            return cls()  # type: ignore[call-arg]
        except ValidationError as error:
            problems = "; ".join(
                f"PICKTURE_{'_'.join(str(part) for part in item['loc']).upper()}={item.get('input')!r}: {item['msg']}"
                for item in error.errors()
            )
            raise UsageError(f"malformed settings: {problems}") from None
