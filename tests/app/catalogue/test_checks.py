"""Lint and duplicates."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from sqlalchemy import Engine

from app.services.catalogue.checks import LintReport, find_duplicates, lint
from app.services.catalogue.importing import ImportReport
from app.store.database import transaction
from tests.app.catalogue.conftest import BLUE, GREEN, RED, photo, write_folder

Run = Callable[..., ImportReport]


def lint_of(engine: Engine) -> tuple[LintReport, dict[str, tuple[int, tuple[str, ...]]]]:
    with transaction(engine) as session:
        report = lint(session)
    return report, {item.code: (item.count, item.examples) for item in report.findings}


def test_an_empty_catalogue_has_nothing_to_mend(database: Engine) -> None:
    report, findings = lint_of(database)
    assert (report.products, report.labels, report.photos, findings) == (0, 0, 0, {})


def test_lint_names_what_is_missing(run_import: Run, database: Engine, tmp_path: Path) -> None:
    table = (
        "sku,name,brand,category,type,colour,price,group\n"
        "a,A,Reid & Taylor,X,T,red,1,g\n"
        "b,B,Reid&Taylor,X,T,,2,g\n"
        "c,C,Other,X,,blue,,\n"
        "d,,,,,,,\n"
    )
    same = photo(RED, 50)
    photos = {f"a/{index}.jpg": photo(RED, index, 12) for index in range(19)}
    photos |= {
        "b/1.jpg": photo(GREEN, 40),
        "b/2.jpg": same,
        "a/same.jpg": same,
        "c/1.jpg": photo(BLUE),
        "c/2.jpg": same,
    }
    run_import(write_folder(tmp_path / "in", table, photos))
    report, findings = lint_of(database)
    assert (report.products, report.labels, report.photos) == (4, 3, 24)
    assert report.missing == {
        "name": 1, "brand": 1, "category": 1, "type": 2, "colour": 2, "season": 4, "price": 2, "description": 4,
        "gtin": 4, "listed_at": 4,
    }  # fmt: skip
    assert findings == {
        "no_photo": (1, ("d",)),
        "few_photos": (1, ("c (2)",)),
        "shared_photo": (1, ("a, b, c",)),
        "brand_spelling": (1, ("Reid & Taylor / Reid&Taylor",)),
        "no_price": (2, ("c", "d")),
        "no_type": (2, ("c", "d")),
        "no_colour": (1, ("d",)),
        "near_empty": (1, ("d",)),
    }
    assert all(item.message and item.advice for item in report.findings)


def test_duplicates_tell_one_label_from_several(run_import: Run, database: Engine, tmp_path: Path) -> None:
    table = "sku,group\na,g\nb,g\nc,\nd,\n"
    harmless, confusing = photo(RED, 1), photo(RED, 2)
    photos = {"a/1.jpg": harmless, "b/1.jpg": harmless, "b/2.jpg": confusing, "c/1.jpg": confusing}
    photos["d/1.jpg"] = photo(BLUE)
    run_import(write_folder(tmp_path / "in", table, photos))
    with transaction(database) as session:
        found = {item.skus: (item.labels, item.same_label) for item in find_duplicates(session)}
    assert found == {("a", "b"): (("g",), True), ("b", "c"): (("c", "g"), False)}
