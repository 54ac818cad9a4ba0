"""A drawn shop, imported, served by several processes and trained once, for measurements on it."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import text

from app.cli.demo.shop import FAMILY, write_catalogue
from augment.render import RenderedProduct
from models.backbone.preprocessing import fit_input
from models.backbone.store import load_backbone
from models.classifiers.exact import ExactNeighbours
from models.photo import PhotoLimits, read_photo
from models.values import TOP_K, Float32
from tests.bench.admin import Admin
from tests.bench.installation import START_S, Installation, wait_for
from tests.bench.shoppers import Journal, Phone

PROCESSES = 2
CURRENCY = "EUR"

_SETTINGS = {
    "PICKTURE_WORKERS": str(PROCESSES),
    "PICKTURE_PROXIES": "1",  # shoppers come from addresses of their own
    "PICKTURE_SESSION_MINUTES": "1440",
    "PICKTURE_CURRENCY": CURRENCY,
}
_ASKING = 4
"""Photos that are searched with at once when an accuracy is measured."""


@dataclass(frozen=True, slots=True, eq=False)
class Shop:
    """A served shop.

    products: of the catalogue. shots: how its shoppers' photos come out, see ``drawn.phone_photos``. phone: of the one
    who measures; its searches are in ``journal``.
    """

    place: Installation
    admin: Admin
    app_key: str
    products: Sequence[RenderedProduct]
    shots: Sequence[str]
    journal: Journal
    phone: Phone
    say: Callable[[str], None]

    def new_phone(self, number: int) -> Phone:
        """A phone with an installation and an address of its own."""
        return Phone(
            self.place.url, self.app_key, self.journal, f"10.{number // 65536}.{number // 256 % 256}.{number % 256}"
        )

    def retrain(self, why: str) -> dict[str, Any]:
        """Retrain, to the end; the job's result. A version that is only kept is promoted by hand.

        :raise BenchFailed: the job did not succeed.
        """
        self.say(f"retraining: {why}")
        result = self.admin.succeeded(self.admin.retrain())
        self.say(f"{result['decision']}: {result['reason']}; bottlenecks {result['bottlenecks']}")
        if result["decision"] == "kept":
            self.admin.promote(result["version"])
        if result["decision"] != "refused":
            self.until_served(result["version"])
        return result

    def until_served(self, version: str) -> None:
        """Wait until a process serves it, and a moment for the others."""

        def look() -> bool | None:
            return self.admin.patiently("GET", f"/v1/admin/models/{version}")["served"] or None

        for _ in range(4 * PROCESSES):
            wait_for(look, 60, f"version {version} to be served")

    def top1(self, photos: Sequence[tuple[bytes, str]]) -> list[bool]:
        """Whether the first candidate is right, photo by photo.

        :raise BenchFailed: a search was not answered.
        """

        def ask(item: tuple[bytes, str]) -> bool:
            found = self.phone.search_patiently(item[0])
            return [candidate["label"] for candidate in found["candidates"][:1]] == [item[1]]

        with ThreadPoolExecutor(_ASKING) as pool:
            return list(pool.map(ask, photos))


@contextmanager
def open_shop(
    log: Path, products: Sequence[RenderedProduct], shots: Sequence[str], say: Callable[[str], None]
) -> Iterator[Shop]:
    """Draw, import, serve and train; in a temporary state folder, which is gone after the block. log: the service's."""
    log.unlink(missing_ok=True)
    with tempfile.TemporaryDirectory(prefix="pickture-bench-") as folder:
        home = Path(folder) / "home"
        home.mkdir()
        place = Installation(home, log, _SETTINGS)
        say(f"drawing {len(products)} products")
        write_catalogue(Path(folder) / "catalogue", products, CURRENCY)
        place.run("db", "upgrade")
        place.run("catalog", "import", str(Path(folder) / "catalogue"))
        keys = {role: place.run("keys", "create", "--role", role)["key"] for role in ("app", "admin")}
        with place.served():
            admin, journal = Admin(place, keys["admin"]), Journal()
            say("the first model: all bottlenecks, and a training")
            admin.succeeded(admin.retrain())
            wait_for(place.ready, START_S, "the service to be ready")
            phone = Phone(place.url, keys["app"], journal, "10.255.0.1")
            yield Shop(place, admin, keys["app"], products, shots, journal, phone, say)


class PlainKnn:
    """Exact k-NN over the reference photos that the database holds now, and nothing else: what is compared with."""

    def __init__(self, place: Installation, version: str) -> None:
        with place.connection() as connection:
            rows = connection.execute(
                text(
                    "SELECT v.label, v.raw::vector::text AS raw FROM reference_vectors v "
                    "JOIN bundles b ON b.space_id = v.space_id WHERE b.version = :version"
                ),
                {"version": version},
            ).all()
        self._memory = ExactNeighbours(
            np.array([json.loads(row.raw) for row in rows], dtype=np.float32), [row.label for row in rows]
        )
        self._backbone = load_backbone("embedded", place.home)

    def bottlenecks(self, photos: Sequence[bytes]) -> Float32:
        """Of photos as they came, float32 (n, 2048), unit length."""
        pixels = [fit_input(read_photo(photo, PhotoLimits(), with_advice=False).pixels) for photo in photos]
        return np.concatenate([self._backbone.extract([one]) for one in pixels])

    def top5(self, vectors: Float32, within: frozenset[str]) -> list[list[str]]:
        """The nearest five labels of each, of those given."""
        return [[label for label, _ in found] for found in self._memory.nearest(vectors, TOP_K, within)]


__all__ = ["CURRENCY", "FAMILY", "PROCESSES", "PlainKnn", "Shop", "open_shop"]
