"""Imports against the real database and a real media store."""

from __future__ import annotations

import unicodedata
import zipfile
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import Engine, select, text

from app.services.catalogue.errors import CatalogueError, ImportBusy
from app.services.catalogue.importing import IMPORT_LOCK, ImportReport, import_catalogue
from app.store.database import transaction
from app.store.media import MediaStore
from app.store.tables import Brand, Category, Image, Product, ReferenceVector, Space
from tests.app.catalogue.conftest import BLUE, GREEN, HEADER, RED, photo, write_folder

Run = Callable[..., ImportReport]

TABLE = (
    f"{HEADER},group\n"
    "m1,서울 우유,Seoul,Grocery > Dairy > Milk,Milk,White,2.50,EUR,fresh,erp,milk\n"
    "m2,Oat Drink,SEOUL,Grocery > Dairy,Milk,,3.00,,,,milk\n"
    "b1,Bread,Baker,Grocery > Bakery,Bread,,,,,,\n"
)
PHOTOS = {"m1/2.jpg": photo(RED, 1), "m1/10.jpg": photo(RED, 2), "m2/a.png": photo(GREEN, 3, kind="PNG")}


def snapshot(engine: Engine) -> dict[str, list[Any]]:
    """Every row of the catalogue's tables."""
    tables = ("products", "brands", "categories", "images", "reference_vectors")
    with engine.connect() as connection:
        return {
            name: [tuple(row) for row in connection.execute(text(f"SELECT * FROM {name} ORDER BY 1, 2"))]
            for name in tables
        }


def files(root: Path) -> dict[str, tuple[bytes, int]]:
    found = (path for path in root.rglob("*") if path.is_file())
    return {str(path): (path.read_bytes(), path.stat().st_mtime_ns) for path in found}


def counts(report: ImportReport) -> tuple[int, ...]:
    return (report.added, report.changed, report.unchanged, report.absent)


def images(report: ImportReport) -> tuple[int, ...]:
    return (report.images_added, report.images_removed, report.images_unchanged)


def product(engine: Engine, sku: str) -> Product:
    with transaction(engine) as session:
        return session.scalars(select(Product).where(Product.sku == sku)).one()


def photos_of(engine: Engine, sku: str) -> list[str]:
    with transaction(engine) as session:
        query = select(Image.source_name).join(Product, Product.id == Image.product_id)
        return list(session.scalars(query.where(Product.sku == sku).order_by(Image.position)))


def test_everything_arrives(run_import: Run, database: Engine, media: MediaStore, tmp_path: Path) -> None:
    report = run_import(write_folder(tmp_path / "in", TABLE, PHOTOS))
    assert (report.applied, report.rows, counts(report), images(report)) == (True, 3, (3, 0, 0, 0), (3, 0, 0))
    assert (report.problems, report.warnings) == ((), ())
    milk, oat, bread = (product(database, sku) for sku in ("m1", "m2", "b1"))
    assert (milk.name, milk.name_key, milk.label, oat.label, bread.label) == (
        "서울 우유", "서울 우유", "milk", "milk", "b1",
    )  # fmt: skip
    assert (milk.price, milk.currency, oat.currency, bread.price, bread.currency) == (
        Decimal("2.50"), "EUR", "EUR", None, None,
    )  # fmt: skip
    assert milk.brand_id == oat.brand_id != bread.brand_id
    with transaction(database) as session:
        assert sorted(session.scalars(select(Brand.name))) == ["Baker", "Seoul"]
        tree = {item.path_key: item for item in session.scalars(select(Category))}
        first = session.scalars(select(Image).where(Image.source_name == "2.jpg")).one()
    assert sorted(tree) == ["grocery", "grocery > bakery", "grocery > dairy", "grocery > dairy > milk"]
    assert tree["grocery > dairy > milk"].parent_id == tree["grocery > dairy"].id == oat.category_id
    assert (tree["grocery"].depth, tree["grocery > dairy > milk"].name) == (1, "Milk")
    assert photos_of(database, "m1") == ["2.jpg", "10.jpg"]
    assert (first.format, first.width, first.height, first.size_bytes) == (
        "jpeg", 48, 48, len(PHOTOS["m1/2.jpg"]),
    )  # fmt: skip
    assert media.exists(first.content_hash)
    assert len(first.token) >= 22


def test_colour_is_measured_and_named_only_where_the_row_says_nothing(
    run_import: Run, database: Engine, tmp_path: Path
) -> None:
    run_import(write_folder(tmp_path / "in", TABLE, PHOTOS))
    milk, oat, bread = (product(database, sku) for sku in ("m1", "m2", "b1"))
    assert milk.lab is not None
    assert milk.lab[1] > 30, "red, although the row says White"
    assert (milk.predicted_colour, milk.predicted_colour_confidence, milk.effective_colour_key) == (
        None, None, "white",
    )  # fmt: skip
    assert oat.predicted_colour == "green"
    assert oat.predicted_colour_confidence is not None
    assert 0 < oat.predicted_colour_confidence <= 1
    assert oat.effective_colour_key == "green"
    assert (bread.lab, bread.effective_colour_key) == (None, None)


def test_twice_changes_nothing(run_import: Run, database: Engine, media: MediaStore, tmp_path: Path) -> None:
    broken = PHOTOS | {"m1/broken.jpg": PHOTOS["m1/2.jpg"][:200], "b1/copy.jpg": photo(BLUE, 9)}
    folder = write_folder(tmp_path / "in", TABLE + "bad,x,,,,,1,USD,,,\n", broken)
    first = run_import(folder)
    before, stored = snapshot(database), files(tmp_path / "media")
    second = run_import(folder)
    assert snapshot(database) == before
    assert files(tmp_path / "media") == stored
    assert (counts(second), images(second)) == ((0, 0, 3, 0), (0, 0, 4))
    assert second.problems == first.problems
    assert len(second.problems) == 2


def test_dry_run_writes_nothing_and_tells_the_same(run_import: Run, database: Engine, tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "in", TABLE, PHOTOS | {"m2/broken.jpg": b"no photo"})
    empty = snapshot(database)
    dry = run_import(folder, dry_run=True)
    assert snapshot(database) == empty
    assert not (tmp_path / "media").exists()
    real = run_import(folder)
    assert (dry.applied, real.applied) == (False, True)
    assert (counts(dry), images(dry)) == (counts(real), images(real)) == ((3, 0, 0, 0), (3, 0, 0))
    assert dry.problems == real.problems
    assert len(dry.problems) == 1


@pytest.mark.parametrize("what", ["row", "photo"])
def test_strict_is_all_or_nothing(run_import: Run, database: Engine, tmp_path: Path, what: str) -> None:
    table = TABLE + ("bad,x,,,,,-1,,,,\n" if what == "row" else "")
    folder = write_folder(tmp_path / "in", table, PHOTOS | ({"m1/x.jpg": b"?"} if what == "photo" else {}))
    empty = snapshot(database)
    report = run_import(folder, strict=True)
    assert report.applied is False
    assert len(report.problems) == 1
    assert snapshot(database) == empty
    assert not files(tmp_path / "media")


def test_strict_with_warnings_alone_goes_through(run_import: Run, tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "in", TABLE, PHOTOS | {"stranger/1.jpg": photo(RED)})
    report = run_import(folder, strict=True)
    assert (report.applied, len(report.warnings)) == (True, 1)


def test_good_rows_enter_and_bad_ones_are_listed_in_order(run_import: Run, database: Engine, tmp_path: Path) -> None:
    table = "sku,price,listed_at\n1,1.00,\n2,oops,\n,5,\n3\n1,2.00,\n4,,yesterday\n"
    report = run_import(write_folder(tmp_path / "in", table))
    assert [(item.line, item.sku, item.field, item.value) for item in report.problems] == [
        (3, "2", "price", "oops"),
        (4, None, "sku", None),
        (5, None, None, "3"),
        (6, "1", "sku", "1"),
        (7, "4", "listed_at", "yesterday"),
    ]
    assert (report.rows, counts(report)) == (6, (1, 0, 0, 0))
    assert product(database, "1").price == Decimal("1.00")


def test_a_bad_row_leaves_its_product_and_photos_alone(run_import: Run, database: Engine, tmp_path: Path) -> None:
    run_import(write_folder(tmp_path / "in", TABLE, PHOTOS))
    before = snapshot(database)
    report = run_import(write_folder(tmp_path / "two", "sku,price\nm1,x\n", {"m1/new.jpg": photo(BLUE)}))
    assert snapshot(database) == before
    assert (counts(report), images(report), report.warnings) == ((0, 0, 0, 2), (0, 0, 0), ())


def test_changes_are_seen_and_what_is_not_listed_stays(run_import: Run, database: Engine, tmp_path: Path) -> None:
    run_import(write_folder(tmp_path / "in", TABLE, PHOTOS))
    before = {sku: product(database, sku) for sku in ("m1", "m2", "b1")}
    table = (
        f"{HEADER}\nm1,서울 우유,Seoul,Grocery > Dairy > Milk,Milk,White,2.75,EUR,fresh,erp\n"
        "new,Cake,Baker,Grocery > Bakery,,,,,,\n"
    )
    report = run_import(write_folder(tmp_path / "two", table))
    assert (counts(report), images(report)) == ((1, 1, 0, 2), (0, 0, 0))
    milk = product(database, "m1")
    assert (milk.price, milk.label, milk.id) == (Decimal("2.75"), "m1", before["m1"].id)
    assert milk.updated_at > before["m1"].updated_at
    assert milk.lab == before["m1"].lab
    assert photos_of(database, "m1") == ["2.jpg", "10.jpg"], "no folder: the photos stay"
    assert product(database, "b1").updated_at == before["b1"].updated_at


def test_the_folder_is_the_truth_about_photos(
    run_import: Run, database: Engine, media: MediaStore, tmp_path: Path
) -> None:
    folder = write_folder(tmp_path / "in", TABLE, PHOTOS)
    run_import(folder)
    old = product(database, "m1")
    inside = folder / "images" / "m1"
    (inside / "2.jpg").unlink()
    (inside / "10.jpg").rename(inside / "1.jpg")
    (inside / "20.jpg").write_bytes(photo(BLUE, 7))
    report = run_import(folder)
    assert (counts(report), images(report)) == ((0, 1, 2, 0), (1, 1, 2))
    assert photos_of(database, "m1") == ["1.jpg", "20.jpg"]
    assert product(database, "m1").updated_at > old.updated_at
    assert product(database, "m1").lab != old.lab
    for path in inside.iterdir():
        path.unlink()
    report = run_import(folder)
    assert images(report) == (0, 2, 1)
    assert photos_of(database, "m1") == []
    assert product(database, "m1").lab is None


def test_a_renamed_photo_keeps_its_address(run_import: Run, database: Engine, tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "in", TABLE, PHOTOS)
    run_import(folder)
    with transaction(database) as session:
        before = session.scalars(select(Image).where(Image.source_name == "a.png")).one()
    (folder / "images" / "m2" / "a.png").rename(folder / "images" / "m2" / "b.png")
    report = run_import(folder)
    assert (counts(report), images(report)) == ((0, 1, 2, 0), (0, 0, 3))
    with transaction(database) as session:
        after = session.scalars(select(Image).where(Image.source_name == "b.png")).one()
    assert (after.id, after.token) == (before.id, before.token)


def test_a_file_that_broke_does_not_remove_its_photo(run_import: Run, database: Engine, tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "in", TABLE, PHOTOS)
    run_import(folder)
    path = folder / "images" / "m1" / "2.jpg"
    path.write_bytes(path.read_bytes()[:300])
    report = run_import(folder)
    assert photos_of(database, "m1") == ["2.jpg", "10.jpg"]
    assert images(report) == (0, 0, 3)
    [problem] = report.problems
    assert (problem.line, problem.sku, problem.field, problem.value) == (2, "m1", "images", "images/m1/2.jpg")
    assert "photo_damaged" in problem.reason


def test_photos_that_are_out_of_place(run_import: Run, database: Engine, tmp_path: Path) -> None:
    odd = {
        "stranger/1.jpg": photo(RED),
        "loose.jpg": photo(RED),
        "b1/deep/1.jpg": photo(RED),
        "b1/.hidden.jpg": b"x",
        "b1/Thumbs.db": b"x",
        "b1/one.jpg": photo(BLUE),
        "b1/two.jpg": photo(BLUE),
    }
    report = run_import(write_folder(tmp_path / "in", TABLE, odd))
    assert report.problems == ()
    assert {(item.sku, item.value): item.reason.split(";")[0] for item in report.warnings} == {
        ("b1", "images/b1/deep"): "is not a file",
        (None, "images/loose.jpg"): "lies outside the folders of the products",
        (None, "images/stranger"): "belongs to no listed sku",
        ("b1", "images/b1/two.jpg"): "is the same photo as one.jpg",
    }
    assert photos_of(database, "b1") == ["one.jpg"]


def test_one_photo_may_belong_to_two_products(run_import: Run, database: Engine, tmp_path: Path) -> None:
    same = photo(RED, 5)
    report = run_import(write_folder(tmp_path / "in", TABLE, {"m1/a.jpg": same, "m2/b.jpg": same}))
    assert images(report) == (2, 0, 0)
    with transaction(database) as session:
        tokens = session.scalars(select(Image.token)).all()
    assert len(set(tokens)) == 2


def test_korean_folders_in_either_form(run_import: Run, database: Engine, tmp_path: Path) -> None:
    decomposed = unicodedata.normalize("NFD", "가방")
    assert decomposed != "가방"
    table = f"sku,name\n가방,{decomposed}\n"
    report = run_import(write_folder(tmp_path / "in", table, {f"{decomposed}/1.jpg": photo(RED)}))
    assert (counts(report), images(report), report.warnings) == ((1, 0, 0, 0), (1, 0, 0), ())
    assert product(database, "가방").name == "가방"


def test_json_lines_and_zip_bring_the_same(run_import: Run, database: Engine, tmp_path: Path) -> None:
    run_import(write_folder(tmp_path / "in", "sku,name,price\n1,우유,1.50\n", {"1/a.jpg": photo(RED)}))
    path = tmp_path / "again.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("products.jsonl", '{"sku": 1, "name": "우유", "price": 1.50}\n')
        archive.writestr("images/1/a.jpg", photo(RED))
    before = snapshot(database)
    report = run_import(path)
    assert (counts(report), images(report)) == ((0, 0, 1, 0), (0, 0, 1))
    assert snapshot(database) == before


def test_a_lost_media_file_comes_back(run_import: Run, database: Engine, media: MediaStore, tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "in", TABLE, PHOTOS)
    run_import(folder)
    before = snapshot(database)
    with transaction(database) as session:
        name = session.scalars(select(Image.content_hash)).first()
    assert name is not None
    media.delete(name)
    report = run_import(folder)
    assert media.exists(name)
    assert counts(report) == (0, 0, 3, 0)
    assert snapshot(database) == before


def test_a_new_group_reaches_the_neighbour_memory(run_import: Run, database: Engine, tmp_path: Path) -> None:
    run_import(write_folder(tmp_path / "in", TABLE, PHOTOS))
    with transaction(database) as session:
        space = Space(identifier="test", description={})
        session.add(space)
        session.flush()
        session.execute(
            text(
                f"CREATE TABLE reference_vectors_import_test PARTITION OF reference_vectors FOR VALUES IN ({space.id})"
            )
        )
        image = session.scalars(select(Image).where(Image.source_name == "a.png")).one()
        vector = ReferenceVector(space_id=space.id, image_id=image.id, product_id=image.product_id, label="milk")
        vector.raw, vector.projected = np.ones(2048) / 2048**0.5, np.ones(256) / 16
        session.add(vector)
    try:
        run_import(write_folder(tmp_path / "in", TABLE.replace(",,,,milk", ",,,,oat"), PHOTOS))
        with transaction(database) as session:
            assert session.scalars(select(ReferenceVector.label)).all() == ["oat"]
        run_import(write_folder(tmp_path / "in", TABLE, {}))
        (tmp_path / "in" / "images" / "m2" / "a.png").unlink()
        run_import(tmp_path / "in")
        with transaction(database) as session:
            assert session.scalars(select(ReferenceVector.label)).all() == [], "its photo is gone"
    finally:
        with transaction(database) as session:
            session.execute(text("DROP TABLE reference_vectors_import_test"))


def test_one_import_at_a_time(run_import: Run, database: Engine, tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "in", TABLE)
    with database.connect() as other:
        other.execute(text("SELECT pg_advisory_lock(:lock)"), {"lock": IMPORT_LOCK})
        with pytest.raises(ImportBusy):
            run_import(folder)
        other.execute(text("SELECT pg_advisory_unlock(:lock)"), {"lock": IMPORT_LOCK})
        other.commit()
    assert counts(run_import(folder)) == (3, 0, 0, 0)


def test_the_shop_has_one_currency(database: Engine, media: MediaStore, tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "in", "sku,price,currency\n1,900,KRW\n2,1,EUR\n")
    report = import_catalogue(database, media, folder, currency="KRW")
    assert [(item.sku, item.field, item.value) for item in report.problems] == [("2", "currency", "EUR")]
    assert product(database, "1").currency == "KRW"


def test_a_failure_in_the_database_leaves_no_rows(
    run_import: Run, database: Engine, media: MediaStore, tmp_path: Path
) -> None:
    folder = write_folder(tmp_path / "in", TABLE, PHOTOS)
    with database.begin() as connection:
        connection.execute(text("ALTER TABLE images ADD CONSTRAINT broken CHECK (source_name <> 'a.png')"))
    try:
        with pytest.raises(Exception, match="broken"):
            run_import(folder)
    finally:
        with database.begin() as connection:
            connection.execute(text("ALTER TABLE images DROP CONSTRAINT broken"))
    assert not any(snapshot(database).values())
    assert counts(run_import(folder)) == (3, 0, 0, 0)


def test_an_unreadable_table_stops_the_import(run_import: Run, tmp_path: Path) -> None:
    with pytest.raises(CatalogueError, match="lacks sku"):
        run_import(write_folder(tmp_path / "in", "name\nx\n"))
