"""Every way in which a row can be wrong, with its line, field, value and reason."""

from __future__ import annotations

import unicodedata
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from app.services.catalogue.rows import ProductRow, RawRecord, check_rows


def check(**values: str) -> tuple[ProductRow | None, list[tuple[str | None, str | None, str]], list[str]]:
    """(row, [(field, value, reason)], warnings) of one row on line 7."""
    checked = check_rows([RawRecord(7, values)], "EUR")
    assert all(problem.line == 7 for problem in checked.problems)
    problems = [(problem.field, problem.value, problem.reason) for problem in checked.problems]
    return (checked.rows[0] if checked.rows else None), problems, [item.reason for item in checked.warnings]


def test_a_full_row_is_typed() -> None:
    row, problems, warnings = check(
        sku=" A-1 ",
        name="  서울   우유 ",
        brand="Seoul",
        category="Grocery>Dairy >  Milk",
        type="Milk",
        colour="White",
        price="2.50",
        currency="eur",
        description="first line \r\nsecond",
        source="erp",
        group="milk",
        gtin="4006381333931",
        url="https://shop.example/a?b=1",
        available="No",
        mall_category="food",
        listed_at="2024-05-31T09:30:00+09:00",
        catalogue_id="c9",
        restricted="1",
    )
    assert (problems, warnings) == ([], [])
    assert row == ProductRow(
        line=7,
        sku="A-1",
        name="서울 우유",
        brand="Seoul",
        category="Grocery > Dairy > Milk",
        type="Milk",
        colour="White",
        price=Decimal("2.50"),
        currency="EUR",
        description="first line\nsecond",
        source="erp",
        group="milk",
        gtin="4006381333931",
        url="https://shop.example/a?b=1",
        available=False,
        mall_category="food",
        listed_at=datetime(2024, 5, 31, 0, 30, tzinfo=UTC),
        catalogue_id="c9",
        restricted=True,
    )


def test_what_is_not_said_stays_unknown() -> None:
    row, problems, _ = check(sku="x", currency="EUR")
    assert problems == []
    assert row == ProductRow(line=7, sku="x", available=True)


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("sku", "a/b", "names a folder"),
        ("sku", "a\\b", "names a folder"),
        ("sku", "..", "dot"),
        ("sku", ".hidden", "dot"),
        ("sku", "a\x07b", "U+0007"),
        ("sku", "a\nb", "U+000A"),
        ("sku", "a\u200bb", "invisible"),
        ("sku", "x" * 129, "128 characters"),
        ("sku", "우" * 100, "255 bytes"),
        ("price", "1,99", "write 1.99"),
        ("price", "1,299.00", "write 1299.00"),
        ("price", "-1", "negative"),
        ("price", "1.999", "two decimals"),
        ("price", "€5", "12.90"),
        ("price", "1e3", "12.90"),
        ("price", "NaN", "12.90"),
        ("price", "١٢", "12.90"),
        ("price", "1" * 13, "too large"),
        ("currency", "USD", "sells in EUR only"),
        ("currency", "euro", "ISO 4217"),
        ("category", "A > > B", "empty level"),
        ("category", "> A", "empty level"),
        ("category", " > ".join("ABCDEFGHI"), "at most 8"),
        ("available", "maybe", "neither true nor false"),
        ("restricted", "2", "neither true nor false"),
        ("listed_at", "31.05.2024", "ISO date"),
        ("listed_at", "2024-02-30", "ISO date"),
        ("listed_at", "2024", "ISO date"),
        ("url", "ftp://x.example", "http"),
        ("url", "javascript:alert(1)", "http"),
        ("url", "https://", "http"),
        ("name", "n" * 501, "501 characters"),
        ("name", "a\x00b", "U+0000"),
        ("description", "a\ud800b", "U+D800"),
    ],
)
def test_a_bad_value_is_named(field: str, value: str, reason: str) -> None:
    row, problems, _ = check(**({"sku": "good"} | {field: value}))
    assert row is None
    [(found_field, found_value, found_reason)] = problems
    assert found_field == field
    assert reason in found_reason
    assert found_value is not None
    told = value.replace("\x00", "\\x00").encode("utf-8", "backslashreplace")
    assert found_value.encode()[:100] == told[:100] or "…" in found_value


def test_everything_wrong_with_a_row_is_listed() -> None:
    row, problems, _ = check(price="x", available="?", url="z")
    assert row is None
    assert [field for field, _, _ in problems] == ["price", "available", "url", "sku"]
    assert problems[-1][2].startswith("is missing")


@pytest.mark.parametrize("value", ["true", "YES", "y", "1", "On"])
def test_spellings_of_true(value: str) -> None:
    row, _, _ = check(sku="x", restricted=value)
    assert row is not None
    assert row.restricted is True


@pytest.mark.parametrize("price", ["0", "0.00", "12.9", "999999999999.99"])
def test_prices_that_fit(price: str) -> None:
    row, problems, _ = check(sku="x", price=price)
    assert problems == []
    assert row is not None
    assert (row.price, row.currency) == (Decimal(price), "EUR")


def test_dates_without_offset_are_utc() -> None:
    for value in ("2024-05-31", "2024-05-31 00:00", "2024-05-31T00:00:00Z"):
        row, _, _ = check(sku="x", listed_at=value)
        assert row is not None
        assert row.listed_at == datetime(2024, 5, 31, tzinfo=UTC)


@pytest.mark.parametrize(
    ("gtin", "doubt"),
    [
        ("96385074", None),
        ("036000291452", None),
        ("4006381333932", "would be 1"),
        ("12-34", "8, 12, 13 or 14"),
    ],
)
def test_a_doubtful_gtin_is_kept_with_a_warning(gtin: str, doubt: str | None) -> None:
    row, problems, warnings = check(sku="x", gtin=gtin)
    assert problems == []
    assert row is not None
    assert row.gtin == gtin
    assert len(warnings) == (doubt is not None)
    assert doubt is None or doubt in warnings[0]


def test_of_two_rows_with_one_sku_the_first_stands() -> None:
    decomposed = unicodedata.normalize("NFD", "가방")
    records = [RawRecord(2, {"sku": "가방", "name": "a"}), RawRecord(3, {"sku": decomposed, "name": "b"})]
    checked = check_rows(records, "EUR")
    assert [row.name for row in checked.rows] == ["a"]
    [problem] = checked.problems
    assert (problem.line, problem.field) == (3, "sku")
    assert "line 2" in problem.reason
    assert checked.refused == frozenset()


def test_a_group_named_like_a_stranger_is_doubtful() -> None:
    records = [RawRecord(2, {"sku": "a"}), RawRecord(3, {"sku": "b", "group": "a"})]
    checked = check_rows(records, "EUR")
    assert len(checked.rows) == 2
    [warning] = checked.warnings
    assert (warning.line, warning.field, warning.value) == (3, "group", "a")


def test_a_group_may_be_named_like_its_first_member() -> None:
    records = [RawRecord(2, {"sku": "a", "group": "a"}), RawRecord(3, {"sku": "b", "group": "a"})]
    assert check_rows(records, "EUR").warnings == ()
