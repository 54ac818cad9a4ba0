"""What is doubtful in a pick by itself, and what counts as one address."""

from __future__ import annotations

from typing import Any

import pytest

from app.services.review_guards import findings_of, site
from app.store.tables import Query


def candidate(label: str, knn: str | None) -> dict[str, Any]:
    """A candidate as a query keeps it; knn: the state of k-NN's vote, None for queries that kept no votes."""
    found: dict[str, Any] = {"label": label, "sku": label, "score": 0.5}
    return found if knn is None else {**found, "votes": {"knn": {"state": knn, "rank": None, "score": None}}}


@pytest.mark.parametrize(
    ("label", "knn", "verdict", "expected"),
    [
        ("cap", "ranked", "known", []),
        ("cap", "ranked", "unsure", []),
        ("cap", "not_ranked", "known", ["far_from_references"]),
        ("cap", "label_unknown", "known", []),
        ("cap", None, "known", []),
        ("shoe", "ranked", "known", ["not_a_candidate"]),
        ("cap", "ranked", "unknown", ["model_says_unknown"]),
        ("shoe", "ranked", "unknown", ["not_a_candidate", "model_says_unknown"]),
        (None, "ranked", "unknown", []),
    ],
)
def test_findings(label: str | None, knn: str | None, verdict: str, expected: list[str]) -> None:
    query = Query(verdict=verdict, candidates=[candidate("milk", "ranked"), candidate("cap", knn)])
    assert findings_of(query, label) == expected


def test_a_pick_where_the_model_named_nothing_is_a_finding() -> None:
    assert findings_of(Query(verdict="unsure", candidates=[]), "cap") == ["not_a_candidate"]


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::", "2001:db8:1:2::/64"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("unix:", "unix:"),
    ],
)
def test_one_customers_addresses_are_one_site(address: str, expected: str) -> None:
    assert site(address) == expected
