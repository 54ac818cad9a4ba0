"""``python -m app evaluate``: measure the served model on photos with known answers."""

from __future__ import annotations

import csv
import unicodedata
from pathlib import Path
from typing import Any

import click
from sqlalchemy import select
from tqdm import tqdm

from app.cli.common import emit, json_option, say
from app.config import Settings
from app.store.database import transaction
from app.store.tables import Image, Product
from app.wiring import build_container
from models.backbone.store import find_prepared
from models.errors import UsageError
from models.photo import PhotoLimits
from models.recognizer import Recognizer
from models.training.evaluate import PhotoCase, evaluate
from models.training.reports.html import write_evaluation_report


@click.command()
@click.option(
    "--photos",
    "listing",
    required=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="CSV with columns path,sku; paths relative to the file; an empty sku is a foreign product.",
)
@click.option("--allow-unlisted", is_flag=True, help="Count a sku that the catalogue lacks as a foreign product.")
@click.option("--html", type=click.Path(dir_okay=False, path_type=Path), help="Also write a report with pictures.")
@json_option
def command(listing: Path, allow_unlisted: bool, html: Path | None, as_json: bool) -> None:
    """Top-1, Top-5, macro-F1, rejection rates, calibration, latency and memory of the served model."""
    settings = Settings.from_env()
    container = build_container(settings)
    try:
        with transaction(container.engine) as session:
            rows = session.execute(select(Product.sku, Product.label)).all()
            labels = {sku: label for sku, label in rows}  # noqa: C416  rows are no pairs to mypy
            hashes = frozenset(session.scalars(select(Image.content_hash)))
        cases = read_cases(listing, labels, allow_unlisted=allow_unlisted)
        served = container.model.current()
        recognizer = served.recognizer
        assert isinstance(recognizer, Recognizer)
        catalogue = frozenset(labels.values())
        with tqdm(total=len(cases), desc="evaluate", unit="photo") as bar:
            found = evaluate(
                cases,
                recognizer,
                limits=PhotoLimits(max_bytes=settings.max_upload_bytes, max_pixels=settings.max_photo_pixels),
                catalogue_hashes=hashes,
                seen_by_backbone=find_prepared(recognizer.space, settings.home).seen_hashes(),
                within=None if served.labels <= catalogue else catalogue,  # as a search does
                progress=lambda done: _advance(bar, done),
            )
    finally:
        container.close()
    if html is not None:
        write_evaluation_report(html, found.result, found.known, lambda path: Path(path).read_bytes())
    if found.result["leaked_photos"]:
        say(
            f"warning: {found.result['leaked_photos']} of {found.result['photos']} photos are catalogue photos "
            "themselves or were seen by the backbone; figures on them are flattered"
        )
    emit(found.result, as_json, lambda: _lines(found.result))


def _advance(bar: tqdm[Any], done: int) -> None:
    bar.update(done - bar.n)


def read_cases(listing: Path, labels: dict[str, str], *, allow_unlisted: bool) -> list[PhotoCase]:
    """The photos of a CSV.

    labels: sku -> label of the whole catalogue.
    :raise UsageError: no such columns, a missing cell or file, an unlisted sku (the message names the line),
        or not a CSV in UTF-8.
    """
    try:
        return _read_cases(listing, labels, allow_unlisted)
    except (UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"{listing} is not a CSV in UTF-8 ({error}); save it as such") from error


def _read_cases(listing: Path, labels: dict[str, str], allow_unlisted: bool) -> list[PhotoCase]:
    with listing.open(encoding="utf-8-sig", newline="") as handle:
        reader = csv.DictReader(handle)
        if reader.fieldnames is None or not {"path", "sku"} <= set(reader.fieldnames):
            raise UsageError(
                f"{listing}: expected the columns path,sku, found {','.join(reader.fieldnames or []) or 'none'}"
            )
        cases: list[PhotoCase] = []
        for row in reader:
            where = f"{listing}, line {reader.line_num}"
            if row["sku"] is None or row["path"] is None:
                raise UsageError(f"{where}: a cell is missing; a foreign product has an empty sku: `path,`")
            sku = unicodedata.normalize("NFC", row["sku"]).strip()
            path = listing.parent / row["path"].strip()
            if not path.is_file():
                raise UsageError(f"{where}: there is no file {path}; paths are relative to the CSV")
            if sku and sku not in labels and not allow_unlisted:
                raise UsageError(
                    f"{where}: sku {sku!r} is not in the catalogue; import it, leave the sku empty for a foreign "
                    "product, or pass --allow-unlisted"
                )
            cases.append(PhotoCase(path, labels.get(sku) if sku else None))
    return cases


def _lines(result: dict[str, Any]) -> str:
    told = [
        f"model {result['model_version']} ({result['weights']} weights): {result['known_photos']} known and "
        f"{result['foreign_photos']} foreign photos",
        f"{'':6}{'Top-1':>9}{'Top-5':>9}{'macro-F1':>10}",
    ]
    for name in ("fcn", "knn", "svm", "vote"):
        row = result[name]
        told.append(f"{name:6}{_percent(row['top1'])}{_percent(row['top5'])}{_percent(row['macro_f1']):>10}")
    told.append("verdict: " + "  ".join(f"{n} {_percent(v).strip()}" for n, v in result["verdict"].items()))
    calibration = result["calibration"]
    latency = result["latency_ms"] if result["photos"] else {"p50": float("nan"), "p95": float("nan")}
    told.append(
        f"calibration error {_percent(calibration['ece']).strip()}"
        + ("" if calibration["calibrated"] else " (not calibrated)")
        + f"; latency {latency['p50']:.0f} ms median, {latency['p95']:.0f} ms p95; "
        f"memory {result['memory_mb']:.0f} MB"
    )
    told += [f"unreadable: {item['path']}: {item['reason']}" for item in result["unreadable"]]
    return "\n".join(told)


def _percent(value: float | None) -> str:
    return "      n/a" if value is None else f"{100 * value:7.1f} %"
