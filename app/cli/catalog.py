"""``catalog``: import and check the catalogue, convert public data sets into it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from app.cli.common import emit, json_option
from app.cli.proposals import say_proposed
from app.config import Settings
from app.services.catalogue.checks import LintReport, SharedPhoto, find_duplicates, lint
from app.services.catalogue.convert_fashion import convert_fashion
from app.services.catalogue.convert_grocery import SPLITS, convert_grocery, write_photo_list
from app.services.catalogue.duplicates import AlikeReport, find_alike
from app.services.catalogue.importing import ImportReport, import_catalogue
from app.services.catalogue.restricted import RestrictedReport, find_restricted
from app.services.catalogue.rows import RowProblem
from app.services.catalogue.writing import Conversion
from app.store.database import transaction
from models.errors import UsageError
from models.multimodal.restricted import RECALL, RECALLS

if TYPE_CHECKING:
    from app.wiring import Container

SHOWN_PROBLEMS = 50
_SHOWN_SKUS = 10

_folder = click.Path(exists=True, file_okay=False, path_type=Path)
_new_path = click.Path(path_type=Path)


def _container() -> Container:
    """The parts of this installation; conversions need none of them, and start quicker without."""
    from app.wiring import build_container

    return build_container(Settings.from_env())


@click.group(name="catalog")
def command() -> None:
    """Import and check the catalogue; convert data sets."""


@command.command(name="import")
@click.argument("source", type=click.Path(exists=True, path_type=Path), metavar="DIR|ZIP")
@click.option("--dry-run", is_flag=True, help="Report what would happen; write nothing.")
@click.option("--strict", is_flag=True, help="All or nothing: with any problem, write nothing and exit with 1.")
@json_option
def import_(source: Path, dry_run: bool, strict: bool, as_json: bool) -> None:
    """Import products.csv (or products.jsonl) and images/<sku>/* from a folder or a zip archive.

    Good rows enter, bad ones are listed with line, column, value and reason. Importing twice changes
    nothing. Products that are not listed stay. Where images/<sku> exists it is the truth about the
    product's photos.
    """
    container = _container()
    report = import_catalogue(
        container.engine,
        container.media,
        source,
        dry_run=dry_run,
        strict=strict,
        currency=container.settings.currency,
        progress=sys.stderr.isatty() or not as_json,
    )
    if report.applied:
        say_proposed(container)
    emit(report.as_dict(), as_json, lambda: _import_text(report))
    if strict and report.problems:
        sys.exit(1)


def _import_text(report: ImportReport) -> str:
    if report.applied:
        head = "imported"
    elif report.dry_run:
        head = "dry run, nothing was written"
    else:
        head = "refused, nothing was written (--strict)"
    lines = [
        f"{report.source}: {head} in {report.seconds:.1f} s",
        f"  products: {report.added} added, {report.changed} changed, {report.unchanged} unchanged, "
        f"{report.absent} not listed (left as they are)",
        f"  photos: {report.images_added} added, {report.images_removed} removed, {report.images_unchanged} unchanged",
    ]
    lines += _problem_lines("problems", report.problems)
    lines += _problem_lines("warnings", report.warnings)
    return "\n".join(lines)


def _problem_lines(title: str, problems: Sequence[RowProblem]) -> list[str]:
    if not problems:
        return []
    lines = [f"  {title}: {len(problems)}", *(f"    {problem}" for problem in problems[:SHOWN_PROBLEMS])]
    if len(problems) > SHOWN_PROBLEMS:
        lines.append(f"    ... and {len(problems) - SHOWN_PROBLEMS} more (--json lists all)")
    return lines


@command.group()
def convert() -> None:
    """Write a public data set as a catalogue folder."""


def _splits(value: Sequence[str]) -> list[str]:
    splits = list(dict.fromkeys(part.strip() for item in value for part in item.split(",") if part.strip()))
    unknown = [split for split in splits if split not in SPLITS]
    if unknown or not splits:
        raise UsageError(f"--splits is {','.join(value)!r}; expected some of {', '.join(SPLITS)}.")
    return splits


@convert.command(name="grocery-store")
@click.argument("source", type=_folder, metavar="SRC")
@click.argument("out", type=_new_path)
@click.option("--splits", multiple=True, default=("train",), show_default=True, help="train, val, test; may repeat.")
@json_option
def grocery_store(source: Path, out: Path, splits: tuple[str, ...], as_json: bool) -> None:
    """The Grocery Store Dataset; SRC holds classes.csv, train.txt and the photos."""
    result = convert_grocery(source, out, splits=_splits(splits), progress=not as_json)
    emit(asdict(result), as_json, lambda: _conversion_text(result))


@convert.command(name="fashion-products")
@click.argument("source", type=_folder, metavar="SRC")
@click.argument("out", type=_new_path)
@click.option("--only-with-images", is_flag=True, help="Leave out rows that have no image file.")
@json_option
def fashion_products(source: Path, out: Path, only_with_images: bool, as_json: bool) -> None:
    """Fashion Product Images; SRC holds styles.csv and images/."""
    result = convert_fashion(source, out, only_with_images=only_with_images, progress=not as_json)
    emit(asdict(result), as_json, lambda: _conversion_text(result))


def _conversion_text(result: Conversion) -> str:
    return (
        f"{result.path}: {result.products} products, {result.photos} photos, "
        f"{result.products_without_photos} products without one"
    )


@command.group()
def photos() -> None:
    """List a data set's photos with their answers, for ``evaluate --photos``."""


@photos.command(name="grocery-store")
@click.argument("source", type=_folder, metavar="SRC")
@click.argument("file", type=_new_path, metavar="FILE.csv")
@click.option("--split", type=click.Choice(SPLITS), default="val", show_default=True, help="Which photos.")
@json_option
def photos_grocery_store(source: Path, file: Path, split: str, as_json: bool) -> None:
    """Write path,sku of a split of the Grocery Store Dataset; paths are relative to FILE.csv."""
    count = write_photo_list(source, file, split=split)
    emit({"photos": count, "path": str(file)}, as_json, lambda: f"{file}: {count} photos")


@command.command(name="lint")
@json_option
def lint_(as_json: bool) -> None:
    """What the catalogue lacks, and what to do about it."""
    from app.jobs.care import photo_findings

    container = _container()
    with transaction(container.engine) as session:
        report = lint(session)
    seen, more = photo_findings(container.settings, container.engine, container.media)
    report = replace(report, findings=(*report.findings, *more))
    emit({**report.as_dict(), "bottlenecks": seen}, as_json, lambda: _lint_text(report, seen))


def _lint_text(report: LintReport, seen: int) -> str:
    lines = [f"{report.products} products, {report.labels} labels, {report.photos} photos"]
    if report.photos and not seen:
        lines.append("  photos were not compared: none has a bottleneck yet (`make train-bottlenecks`)")
    if report.products:
        gaps = (f"{name} {count / report.products:.0%}" for name, count in report.missing.items())
        lines.append(f"  missing: {', '.join(gaps)}")
    for finding in report.findings:
        lines += [f"  {finding.count} {finding.message}: {finding.advice}"]
        more = f", ... and {finding.count - len(finding.examples)} more"
        lines += ["    " + "; ".join(finding.examples) + (more if finding.count > len(finding.examples) else "")]
    if not report.findings:
        lines.append("  nothing to mend")
    return "\n".join(lines)


@command.command()
@json_option
def duplicates(as_json: bool) -> None:
    """The same photo under several products; and listings that are probably one product, by photo and name."""
    container = _container()
    words = container.words.now()
    with transaction(container.engine) as session:
        found = find_duplicates(session)
        alike = find_alike(session, words)
    result = {"duplicates": [item.as_dict() for item in found], "alike": alike.as_dict()}
    emit(result, as_json, lambda: f"{_duplicates_text(found)}\n{_alike_text(alike)}")


def _duplicates_text(found: Sequence[SharedPhoto]) -> str:
    if not found:
        return "no photo belongs to several products"
    lines = [f"{len(found)} photos belong to several products"]
    for item in found:
        note = "one label, harmless" if item.same_label else f"{len(item.labels)} labels"
        lines.append(f"  {item.content_hash[:12]} ({note}): {', '.join(item.skus)}")
    return "\n".join(lines)


def _alike_text(report: AlikeReport) -> str:
    if report.state != "run":
        return f"listings of one product, by photo and name: {report.state}"
    count = sum(len(cluster.skus) for cluster in report.clusters)
    lines = [
        f"{len(report.clusters)} products are probably listed more than once, by photo and name: {count} of "
        f"{report.products} listings (shared space {report.version})"
    ]
    for cluster in report.clusters[:SHOWN_PROBLEMS]:
        note = "one label, harmless" if cluster.same_label else f"{len(cluster.labels)} labels"
        skus = ", ".join(cluster.skus[:_SHOWN_SKUS]) + (", ..." if len(cluster.skus) > _SHOWN_SKUS else "")
        told = "photo and name" if "both" in cluster.evidence else " or ".join(cluster.evidence)
        lines.append(f"  {cluster.probability:.2f} by {told} ({note}): {skus}")
    if len(report.clusters) > SHOWN_PROBLEMS:
        lines.append(f"  ... and {len(report.clusters) - SHOWN_PROBLEMS} more (--json lists all)")
    return "\n".join(lines)


@command.command()
@click.option(
    "--recall", type=click.Choice([f"{recall:g}" for recall in RECALLS]), default=f"{RECALL:g}", show_default=True
)
@json_option
def restricted(recall: str, as_json: bool) -> None:
    """Products that look like those marked `restricted`, and are not marked; --recall of those marked are found."""
    container = _container()
    words = container.words.now()
    with transaction(container.engine) as session:
        report = find_restricted(session, words, float(recall))
    emit(report.as_dict(), as_json, lambda: _restricted_text(report))


def _restricted_text(report: RestrictedReport) -> str:
    if report.state != "run":
        return f"restricted class: {report.state}"
    lines = [
        f"{len(report.flagged)} of {report.unmarked} products that are not marked as restricted look like those that "
        f"are, at a recall of {report.recall:g}"
    ]
    lines += [f"  {item.probability:.2f} {item.sku}: {item.name or ''}" for item in report.flagged[:SHOWN_PROBLEMS]]
    if len(report.flagged) > SHOWN_PROBLEMS:
        lines.append(f"  ... and {len(report.flagged) - SHOWN_PROBLEMS} more (--json lists all)")
    return "\n".join(lines)
