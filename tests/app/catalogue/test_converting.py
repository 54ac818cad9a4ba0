"""The two conversions, on small trees laid out like the archives, and on these where they are at hand."""

from __future__ import annotations

import csv
import os
from pathlib import Path

import pytest

from app.services.catalogue.convert_fashion import BrandFinder, convert_fashion
from app.services.catalogue.convert_grocery import convert_grocery, write_photo_list
from app.services.catalogue.errors import CatalogueError, SourceInvalid
from app.services.catalogue.reading import read_table
from app.services.catalogue.rows import check_rows
from tests.app.catalogue.conftest import BLUE, GREEN, RED, photo

DATASETS = Path(os.environ.get("PICKTURE_TEST_DATASETS", Path(__file__).parents[4] / "shared" / "datasets"))
ICONIC = "iconic-images-and-descriptions"


def rows_of(folder: Path) -> dict[str, dict[str, str]]:
    with (folder / "products.csv").open(encoding="utf-8", newline="") as file:
        return {row["sku"]: row for row in csv.DictReader(file)}


def write(path: Path, data: bytes | str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data if isinstance(data, bytes) else data.encode())


@pytest.fixture
def grocery(tmp_path: Path) -> Path:
    source = tmp_path / "grocery"
    lines = ["Class Name (str),Class ID (int),Coarse Class Name (str),Coarse Class ID (int),Iconic,Description"]
    classes = [
        ("Pink-Lady", "Apple", f"{ICONIC}/Fruit/Apple/Pink-Lady"),
        ("Lime", "Lime", f"{ICONIC}/Fruit/Lime"),
        ("Farm-Organic-Sour-Cream", "Sour-Cream", f"{ICONIC}/Packages/Sour-Cream/Farm-Organic-Sour-Cream"),
    ]
    for number, (name, coarse, folder) in enumerate(classes):
        lines.append(f"{name},{number},{coarse},{number},/{folder}/{name}_Iconic.jpg,/{folder}/{name}_Description.txt")
        write(source / folder / f"{name}_Iconic.jpg", photo(GREEN, number))
        write(source / folder / f"{name}_Description.txt", f"About {name},\n “good”.\n")
    write(source / "classes.csv", "\r\n".join(lines))
    maker = source / ICONIC / "Packages/Sour-Cream/Farm-Organic-Sour-Cream"
    write(
        maker / "Farm-Organic-Sour-Cream_Information.txt",
        "Title: x\nManufacturer and volume: FARM EKO , 1l\n",
    )
    for split, colour in (("train", RED), ("val", BLUE)):
        for index in (1, 2):
            write(source / f"{split}/Fruit/Apple/Pink-Lady/Pink-Lady_00{index}.jpg", photo(colour, index))
        write(source / f"{split}.txt", "".join(
            f"{split}/Fruit/Apple/Pink-Lady/Pink-Lady_00{index}.jpg, 0, 0\n" for index in (1, 2)
        ))  # fmt: skip
    return source


def test_grocery_rows(grocery: Path, tmp_path: Path) -> None:
    result = convert_grocery(grocery, tmp_path / "out")
    assert (result.products, result.photos, result.products_without_photos) == (3, 5, 0)
    rows = rows_of(tmp_path / "out")
    assert {sku: (row["name"], row["category"], row["type"], row["brand"]) for sku, row in rows.items()} == {
        "Pink-Lady": ("Pink Lady", "Fruit > Apple", "Apple", ""),
        "Lime": ("Lime", "Fruit > Lime", "Lime", ""),
        "Farm-Organic-Sour-Cream": ("Farm Organic Sour Cream", "Packages > Sour-Cream", "Sour Cream", "Farm"),
    }
    assert rows["Pink-Lady"]["description"] == "About Pink-Lady,\n “good”."
    names = sorted(path.name for path in (tmp_path / "out/images/Pink-Lady").iterdir())
    assert names == ["00_iconic.jpg", "train_Pink-Lady_001.jpg", "train_Pink-Lady_002.jpg"]


def test_grocery_splits_do_not_collide(grocery: Path, tmp_path: Path) -> None:
    convert_grocery(grocery, tmp_path / "out", splits=("train", "val"))
    assert len(list((tmp_path / "out/images/Pink-Lady").iterdir())) == 5
    copy = tmp_path / "out/images/Pink-Lady/val_Pink-Lady_001.jpg"
    assert copy.read_bytes() == photo(BLUE, 1)


def test_photo_list_for_evaluation(grocery: Path, tmp_path: Path) -> None:
    file = tmp_path / "lists" / "val.csv"
    assert write_photo_list(grocery, file, split="val") == 2
    with file.open(newline="") as opened:
        rows = list(csv.DictReader(opened))
    assert [row["sku"] for row in rows] == ["Pink-Lady", "Pink-Lady"]
    assert (file.parent / rows[1]["path"]).read_bytes() == photo(BLUE, 2)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("train.txt", "train/nothing.jpg, 0, 0\n", r"nothing\.jpg is missing"),
        ("train.txt", "train/x.jpg, 99, 0\n", "line 1"),
        ("train.txt", "../../etc/passwd, 0, 0\n", "leaves"),
        ("classes.csv", "a,b\nx,y\n", "line 2"),
        ("classes.csv", "", "no classes"),
    ],
)
def test_grocery_says_what_is_wrong(grocery: Path, tmp_path: Path, name: str, content: str, message: str) -> None:
    write(grocery / name, content)
    with pytest.raises(SourceInvalid, match=message):
        convert_grocery(grocery, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert not list(tmp_path.glob(".out*"))


def test_a_folder_in_use_is_not_overwritten(grocery: Path, tmp_path: Path) -> None:
    write(tmp_path / "out" / "mine.txt", "keep")
    with pytest.raises(CatalogueError, match="not an empty folder"):
        convert_grocery(grocery, tmp_path / "out")
    assert (tmp_path / "out" / "mine.txt").read_text() == "keep"
    with pytest.raises(SourceInvalid, match=r"classes\.csv is missing"):
        convert_grocery(tmp_path / "out", tmp_path / "new")


STYLES = """id,gender,masterCategory,subCategory,articleType,baseColour,season,year,usage,productDisplayName
1,Men,Apparel,Topwear,Shirts,Navy Blue,Fall,2011,Casual,Turtle Check Men Navy Blue Shirt
2,Men,Apparel,Topwear,Tshirts,Blue,Summer,2012,Casual,Nike Men Blue Tee
3,Men,Apparel,Topwear,Tshirts,Blue,Winter,2012,Casual,NIKE Women Blue Tee
4,Men,Apparel,Topwear,Tshirts,NA,Spring,2012,Casual,Nike Boys' Tee, with a comma
5,Men,Apparel,Topwear,Tshirts,Blue,,2012,Casual,Nike Fire Jersey
6,Women,Personal Care,Lips,Lipstick,Red,Summer,,NA,Lovely Red Lipstick 527
"""


@pytest.fixture
def fashion(tmp_path: Path) -> Path:
    source = tmp_path / "fashion"
    write(source / "styles.csv", STYLES)
    write(source / "images" / "2.jpg", photo(BLUE))
    write(source / "images" / "99.jpg", photo(RED))
    return source


def test_fashion_rows(fashion: Path, tmp_path: Path) -> None:
    result = convert_fashion(fashion, tmp_path / "out")
    assert (result.products, result.photos, result.products_without_photos) == (6, 1, 5)
    rows = rows_of(tmp_path / "out")
    assert rows["2"] == {
        "sku": "2",
        "name": "Nike Men Blue Tee",
        "brand": "Nike",
        "category": "Apparel > Topwear > Tshirts",
        "type": "Tshirts",
        "colour": "Blue",
        "source": "Fashion Product Images",
        "listed_at": "2012-06-01",
    }
    assert rows["4"]["name"] == "Nike Boys' Tee, with a comma"
    assert rows["4"]["colour"] == ""
    assert [rows[sku]["listed_at"] for sku in "13456"] == ["2011-09-01", "2012-12-01", "2012-03-01", "", ""]
    assert [rows[sku]["brand"] for sku in "13456"] == ["Turtle Check", "Nike", "Nike", "Nike", ""]
    assert (tmp_path / "out/images/2/2.jpg").read_bytes() == photo(BLUE)


def test_fashion_only_with_images(fashion: Path, tmp_path: Path) -> None:
    result = convert_fashion(fashion, tmp_path / "out", only_with_images=True)
    assert (result.products, result.photos) == (1, 1)
    assert rows_of(tmp_path / "out")["2"]["brand"] == "Nike", "learned from all names"


def test_brands_begin_names() -> None:
    names = [
        *["Nike Men Shoe"] * 4,
        "NIKE Women Shoe",
        *["Nike Kids Football Top"] * 1,
        *["Gini and Jony Girls Dress"] * 3,
        *["Mr.Men Boys Tee"] * 3,
    ]
    finder = BrandFinder(names, ["Navy Blue", "White"])
    found = {
        "nike Sahara Team India Jersey": "Nike",
        "Nike Navy Blue Men Tee": "Nike",
        "Gini and Jony Boys Pack": "Gini and Jony",
        "Mr.Men Girls Tee": "Mr.Men",
        "Rare White Women Bag": "Rare",
        "Rare Two 3 Women Bag": None,
        "A Long Unknown Start Women Bag": None,
        "Womens Secret": None,
        "Lipstick 12": None,
        "": None,
    }
    assert {name: finder.find(name) for name in found} == found


@pytest.mark.parametrize(
    ("content", "message"),
    [("a,b\n", "begins with"), (STYLES + "7,Men\n", "line 8"), (STYLES.replace("\n6,", "\nsix,"), "line 7")],
)
def test_fashion_says_what_is_wrong(fashion: Path, tmp_path: Path, content: str, message: str) -> None:
    write(fashion / "styles.csv", content)
    with pytest.raises(SourceInvalid, match=message):
        convert_fashion(fashion, tmp_path / "out")


@pytest.mark.skipif(not (DATASETS / "grocery-store").is_dir(), reason=f"no grocery-store in {DATASETS}")
def test_the_whole_grocery_store(tmp_path: Path) -> None:
    result = convert_grocery(DATASETS / "grocery-store", tmp_path / "out")
    assert (result.products, result.photos, result.products_without_photos) == (81, 2640 + 81, 0)
    checked = check_rows(read_table(tmp_path / "out").records, "EUR")
    assert (len(checked.rows), checked.problems, checked.warnings) == (81, (), ())
    brands = {row.brand for row in checked.rows if row.brand}
    assert brands == {
        "Bravo", "God Morgon", "Tropicana", "Arla", "Garant", "Oatly", "Alpro", "Valio", "Yoggi",
    }  # fmt: skip
    assert write_photo_list(DATASETS / "grocery-store", tmp_path / "val.csv", split="val") == 296


@pytest.mark.skipif(not (DATASETS / "fashion-products").is_dir(), reason=f"no fashion-products in {DATASETS}")
def test_the_whole_fashion_set(tmp_path: Path) -> None:
    result = convert_fashion(DATASETS / "fashion-products", tmp_path / "out", only_with_images=True)
    assert (result.products, result.photos) == (7584, 7584)
    checked = check_rows(read_table(tmp_path / "out").records, "EUR")
    assert (len(checked.rows), checked.problems) == (7584, ())
    with_brand = [row.brand for row in checked.rows if row.brand]
    assert len(with_brand) > 0.9 * 7584
    assert {"Nike", "Puma", "United Colors of Benetton", "Gini and Jony", "Mr.Men"} <= set(with_brand)
