"""Tables as files: encodings, quotes, line numbers, JSON Lines."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path

import pytest

from app.services.catalogue.errors import CatalogueError
from app.services.catalogue.reading import read_table
from app.services.catalogue.rows import check_rows


def read_csv(tmp_path: Path, data: bytes):  # type: ignore[no-untyped-def]
    (tmp_path / "products.csv").write_bytes(data)
    return read_table(tmp_path)


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_utf8_with_and_without_byte_order_mark(tmp_path: Path, mark: bytes, ending: str) -> None:
    lines = ["sku,name", "1,우유", "", '2,"빵, 흰"']
    table = read_csv(tmp_path, mark + ending.join(lines).encode())
    assert [(record.line, dict(record.values)) for record in table.records] == [
        (2, {"sku": "1", "name": "우유"}),
        (4, {"sku": "2", "name": "빵, 흰"}),
    ]
    assert (table.problems, table.warnings) == ((), ())


def test_a_row_with_line_breaks_is_named_by_its_first_line(tmp_path: Path) -> None:
    table = read_csv(tmp_path, b'sku,description\n1,"a\nb ""c"""\n2,x\n3\n')
    assert [(record.line, record.values["sku"]) for record in table.records] == [(2, "1"), (4, "2")]
    assert table.records[0].values["description"] == 'a\nb "c"'
    [problem] = table.problems
    assert (problem.line, problem.value) == (5, "3")
    assert "1 cells, the header 2" in problem.reason


def test_header_names_in_any_case_and_unknown_columns_are_warned_of(tmp_path: Path) -> None:
    table = read_csv(tmp_path, b" SKU ,Name,color,shelf\n1,a,red,9\n")
    assert table.records[0].values == {"sku": "1", "name": "a", "color": "red", "shelf": "9"}
    assert [(warning.field, warning.line) for warning in table.warnings] == [("color", 1), ("shelf", 1)]
    assert "did you mean colour" in table.warnings[0].reason
    assert check_rows(table.records, "EUR").rows[0].colour is None


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "lacks sku"),
        (b"name,price\nx,1\n", "lacks sku"),
        (b"sku;name\n1;x\n", "commas"),
        (b"sku\tname\n1\tx\n", "commas"),
        (b"sku,name,name\n", "name twice"),
        (b"sku,,name\n", "column 2"),
        (b'sku,name\n1,"open\n2,x\n', "quote"),
        (b'sku,name\n1,"a"b\n', "line 2"),
        ("sku,name\n1,x\n2,für\n".encode("latin-1"), "line 3.*UTF-8"),
        ("sku\n1\n".encode("utf-16"), "UTF-16"),
    ],
)
def test_a_table_that_cannot_be_read_says_why(tmp_path: Path, data: bytes, message: str) -> None:
    with pytest.raises(CatalogueError, match=message):
        read_csv(tmp_path, data)


def test_no_table_two_tables_no_folder(tmp_path: Path) -> None:
    with pytest.raises(CatalogueError, match=r"none of products\.csv"):
        read_table(tmp_path)
    (tmp_path / "products.csv").write_text("sku\n")
    (tmp_path / "products.jsonl").write_text("{}\n")
    with pytest.raises(CatalogueError, match="keep one"):
        read_table(tmp_path)
    with pytest.raises(CatalogueError, match="not a folder"):
        read_table(tmp_path / "nowhere")


@pytest.mark.parametrize("name", ["products.jsonl", "products.json"])
def test_json_lines(tmp_path: Path, name: str) -> None:
    lines = [
        json.dumps({"sku": 17, "name": "우유", "price": 1.1, "available": False, "brand": None}),
        "",
        '{"sku": "b", "price": 12.50, "restricted": true}',
    ]
    (tmp_path / name).write_text("\ufeff" + "\n".join(lines), encoding="utf-8")
    table = read_table(tmp_path)
    first, second = check_rows(table.records, "EUR").rows
    assert (first.line, first.sku, first.name, first.price, first.available, first.brand) == (
        1, "17", "우유", Decimal("1.1"), False, None,
    )  # fmt: skip
    assert (second.line, second.price, second.restricted) == (3, Decimal("12.50"), True)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("[1]", "expected {…}"),
        ("{'sku': 1}", "not one JSON object"),
        ('{"sku": "a", "sku": "b"}', "twice"),
        ('{"sku": "a", "price": NaN}', "NaN"),
        ('{"sku": "a", "name": ["x"]}', "list or an object"),
        ("[" * 100_000, "not one JSON object"),
    ],
)
def test_a_bad_json_line_is_one_problem(tmp_path: Path, line: str, reason: str) -> None:
    (tmp_path / "products.jsonl").write_text('{"sku": "good"}\n' + line + "\n")
    table = read_table(tmp_path)
    [problem] = table.problems
    assert problem.line == 2
    assert reason in problem.reason
    assert [record.values["sku"] for record in table.records] == ["good"]


def test_a_number_with_a_huge_exponent_costs_nothing(tmp_path: Path) -> None:
    (tmp_path / "products.jsonl").write_text('{"sku": "a", "price": 1e999999999}\n')
    [problem] = check_rows(read_table(tmp_path).records, "EUR").problems
    assert problem.field == "price"
    assert len(problem.value or "") < 30
