"""The order of the demonstration; every step is the one a shop would run."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from sqlalchemy import Engine, inspect, select

from app.cli.common import say
from app.cli.demo.client import DemoFailed, ShopApp, served
from app.cli.demo.picture import draw_demo
from app.cli.demo.shop import SOURCE, PhonePhotos, demo_products, take_phone_photos, write_catalogue
from app.config import Settings
from app.jobs.bottlenecks import fill_bottlenecks
from app.jobs.training import TrainOptions, train_and_publish
from app.services.access import NewKey
from app.services.catalogue.importing import import_catalogue
from app.store.database import open_database, transaction, upgrade
from app.store.tables import Product
from app.wiring import Container, build_container
from models.errors import UsageError
from models.training.bottlenecks.progress import TqdmProgress
from models.training.crossfit import CrossFitSettings
from models.training.measures import summary, verdict_rates, without_nan
from models.values import VerdictName

_VARIANTS = ("brightness", "crop_top_left", "crop_bottom_right", "rotate_left")
_OPTIONS = TrainOptions(folds=3, variants=_VARIANTS, fit=CrossFitSettings(c_grid=(10.0,)))
"""Fewer folds and variants than by default, and no search for C: it should take no longer than a coffee."""
_SHOWN = 3
_PHONES = 4
_CLOCK_WIDTH = 6
_KEY_NAME = "demonstration"


@dataclass(frozen=True, slots=True)
class Tried:
    """One phone photo and what the service answered; sku None: foreign."""

    path: Path
    sku: str | None
    answer: dict[str, Any]


@click.command()
def command() -> None:
    """Render a shop, import it, train on it, serve it, and shop in it with rendered phone photos.

    Uses PICKTURE_HOME (default ./var), which must be empty or hold an earlier demonstration. Afterwards
    ``make run`` serves that shop.
    """
    settings = Settings.from_env()
    started = time.monotonic()

    def tell(line: str) -> None:
        click.echo(f"[{time.monotonic() - started:{_CLOCK_WIDTH}.1f} s] {line}")

    folder = settings.home / "demo"
    tell(f"state folder {settings.home}; starting the database")
    engine = open_database(settings)
    _refuse_other_shops(engine)
    upgrade(engine)
    engine.dispose()
    container = build_container(settings)
    try:
        products, strangers = demo_products()
        tell(f"drawing {len(products)} products and the phone photos")
        write_catalogue(folder / "catalogue", products, settings.currency)
        photos = take_phone_photos(folder / "phone", products, strangers)
        report = import_catalogue(container.engine, container.media, folder / "catalogue", currency=settings.currency)
        if report.problems:
            raise DemoFailed(f"the import found problems in our own catalogue: {report.problems[:3]}")
        tell(f"catalogue imported; bottlenecks (the network sees every photo and {len(_VARIANTS)} variants of it)")
        with TqdmProgress() as progress:
            fill_bottlenecks(
                settings, container.engine, container.media, variants=_VARIANTS, say=say, progress=progress
            )
        tell("training FCN, k-NN, SVM, vote and verdict")
        trained = train_and_publish(settings, container.engine, container.media, _OPTIONS, say)
        tell(f"model {trained.version} published; report {trained.folder / 'report.html'}")
        key = _fresh_key(container)
    finally:
        container.close()
    with served(settings, folder / "serve.log") as url:
        tell(f"the service answers at {url}; {_PHONES} phones open sessions and search")
        result = _shop([ShopApp(url, key.key) for _ in range(_PHONES)], photos, folder, tell)
    (folder / "result.json").write_text(json.dumps(result, indent=1))
    tell(f"done; the picture: {folder / 'demo.png'}")
    tell(f"`make run` serves this shop; an app opens its sessions with the app key {key.key}")


def _refuse_other_shops(engine: Engine) -> None:
    """Before anything is changed, migrations included."""
    if not inspect(engine).has_table(Product.__tablename__):
        return
    with transaction(engine) as session:
        other = session.scalar(select(Product.sku).where(Product.source.is_distinct_from(SOURCE)).limit(1))
    if other is not None:
        raise UsageError(
            f"this PICKTURE_HOME holds a real catalogue (for example {other}); run the demonstration in another one: "
            "PICKTURE_HOME=/some/empty/folder make demo"
        )


def _fresh_key(container: Container) -> NewKey:
    """An app key of this run; those of earlier demonstrations are revoked."""
    for old in container.access.list_keys():
        if old.name == _KEY_NAME and old.revoked_at is None:
            container.access.revoke_key(old.id)
    return container.access.create_key("app", _KEY_NAME)


def _search(phones: Sequence[ShopApp], photos: Sequence[tuple[Path, str | None]]) -> list[Tried]:
    """Every photo by one of the phones, all of which search at once; in the order of ``photos``."""

    def by(number: int) -> list[Tried]:
        return [Tried(path, sku, phones[number].search(path)) for path, sku in photos[number :: len(phones)]]

    with ThreadPoolExecutor(len(phones)) as pool:
        shares = list(pool.map(by, range(len(phones))))
    return [shares[i % len(phones)][i // len(phones)] for i in range(len(photos))]


def _shop(phones: Sequence[ShopApp], photos: PhonePhotos, folder: Path, tell: Callable[[str], None]) -> dict[str, Any]:
    app = phones[0]
    tried = _search(phones, [*photos.known, *((path, None) for path in photos.foreign)])
    result = measure(tried)
    for item in tried[:_SHOWN]:
        tell(_told(item))
    vote, rates = result["vote"], result["verdict"]
    tell(
        f"{result['known_photos']} phone photos of the shop's products: Top-1 {_percent(vote['top1'])}, "
        f"Top-5 {_percent(vote['top5'])}; {result['foreign_photos']} foreign photos: accepted "
        f"{_percent(rates['false_accept'])}; known ones rejected {_percent(rates['false_reject'])} "
        f"(weights: {result['weights']}; the verdict was fitted on catalogue views, not on phone photos)"
    )
    chosen = next((t for t in tried if t.sku and t.sku in _skus(t.answer)), None)
    if chosen is None or chosen.sku is None:
        raise DemoFailed("no phone photo was recognised among five candidates; see result.json")
    app.pick(chosen.answer["query_id"], chosen.sku)
    tell(f"the shopper picks {chosen.sku}")
    everything = app.recommend(sku=chosen.sku, limit=20)
    brands = [entry["name"] for entry in everything["facets"]["brands"][:3]]
    prices = sorted(float(i["product"]["price"]) for i in everything["items"] if i["product"]["price"])
    highest = f"{prices[len(prices) * 3 // 4]:.2f}"
    page = app.recommend(sku=chosen.sku, brands=brands, max_price=highest, limit=5)
    if not page["items"]:
        page = app.recommend(sku=chosen.sku, max_price=highest, limit=5)
        brands = []
    told = f"brands {', '.join(brands)}" if brands else "any brand"
    tell(f"recommendations ({told}; at most {highest}):")
    for item in page["items"]:
        product = item["product"]
        tell(f"  {item['similarity']:.2f}  {product['name']}  {product['brand']}  {product['price']}")
    draw_demo(folder / "demo.png", chosen.path, chosen.answer, chosen.sku, page["items"], app.picture)
    return {**result, "picked": chosen.sku, "recommended": [i["product"]["sku"] for i in page["items"]]}


def measure(tried: Sequence[Tried]) -> dict[str, Any]:
    """Top-1, Top-5, macro-F1 and rejection rates of the answers the service gave."""
    known = [t for t in tried if t.sku is not None]
    named = [_skus(t.answer) for t in known]
    truth = [t.sku or "" for t in known]
    rates = verdict_rates(
        [VerdictName(t.answer["verdict"]) for t in known],
        [skus[:1] == [sku] for skus, sku in zip(named, truth, strict=True)],
        [VerdictName(t.answer["verdict"]) for t in tried if t.sku is None],
    )
    return {
        "known_photos": len(known),
        "foreign_photos": len(tried) - len(known),
        "vote": without_nan(summary(named, truth)),
        "verdict": without_nan(rates),
        "weights": tried[0].answer["weights"],
        "model_version": tried[0].answer["model_version"],
    }


def _skus(answer: dict[str, Any]) -> list[str]:
    return [candidate["product"]["sku"] for candidate in answer["candidates"]]


def _told(item: Tried) -> str:
    candidates = ", ".join(f"{c['product']['name']} {100 * c['score']:.0f} %" for c in item.answer["candidates"][:3])
    return f"photo of {item.sku}: {item.answer['verdict']}; {candidates}"


def _percent(value: float | None) -> str:
    return "n/a" if value is None else f"{100 * value:.0f} %"
