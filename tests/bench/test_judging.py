"""What the measurements judge by: each judgement has something that passes and something that does not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.bench import chaos, judging
from tests.bench.accidents import ADMINISTRATOR
from tests.bench.checks import Facts, champion_fault, half_bundles, losses, media_faults, media_files, strays
from tests.bench.judging import Promise, answer_fault, has_fallen, paired, share
from tests.bench.shoppers import Acknowledged, Asked, Journal, Ledger, counted, faults

PROBLEM = {"content-type": "application/problem+json", "retry-after": "5"}


def body(**fields: object) -> bytes:
    return json.dumps(fields).encode()


@pytest.mark.parametrize(
    ("status", "headers", "data", "words"),
    [
        (200, {"content-type": "application/json"}, b"{}", None),
        (404, PROBLEM, body(status=404, code="query_not_found"), None),
        (503, PROBLEM, body(status=503, code="storage_full"), None),
        (503, {"content-type": PROBLEM["content-type"]}, body(status=503, code="x"), "503 x without Retry-After"),
        (500, PROBLEM, body(status=500, code="internal"), "500 internal"),
        (502, {"content-type": "text/html"}, b"<html>Bad gateway", "502 as text/html: b'<html>Bad gateway'"),
        (503, PROBLEM, b"nothing", "503, not JSON: b'nothing'"),
        (503, PROBLEM, body(status=500, code="x"), "503, a problem without its status or code"),
        (503, PROBLEM, body(status=503), "503, a problem without its status or code"),
        (200, {}, b"<pre>Traceback (most recent call last):", "a stack trace"),
    ],
)
def test_only_problems_that_an_app_can_act_on_are_clear(
    status: int, headers: dict[str, str], data: bytes, words: str | None
) -> None:
    found = answer_fault(status, headers, data)
    assert found == words or (words is not None and found is not None and found.startswith(words))


def test_pairs_are_counted_photo_by_photo_with_exact_probabilities() -> None:
    found = paired([True, True, False, False], [True, False, True, True])
    assert (found.photos, found.before, found.after, found.won, found.lost) == (4, 0.5, 0.75, 2, 1)
    assert found.p_fell == pytest.approx(7 / 8), "at most two of three coins"
    assert found.p_rose == pytest.approx(4 / 8), "at most one of three coins"
    with pytest.raises(ValueError, match="2 photos before and 1 after"):
        paired([True, False], [True])


def test_a_fall_is_one_beyond_chance_or_beyond_the_bound() -> None:
    same = [True] * 100
    assert not has_fallen(paired(same, same), 0.01)
    assert not has_fallen(paired(same, [False] + [True] * 99), 0.01), "one photo of a hundred is the bound"
    assert has_fallen(paired(same, [False] * 2 + [True] * 98), 0.01)
    many = [True] * 1000
    assert has_fallen(paired(many, [False] * 6 + [True] * 994), 0.01), "six lost and none won is no chance"


def test_a_rise_that_chance_explains_is_unclear_and_none_at_all_is_broken() -> None:
    before = [False] * 100
    rises = [(0, False), (1, None), (5, None), (6, True), (30, True)]
    for won, risen in rises:
        assert judging.has_risen(paired(before, [True] * won + [False] * (100 - won))) is risen
    assert judging.has_risen(paired([True], [False])) is False
    unclear = Promise("a", None, "one photo more")
    assert judging.table([unclear]) == "UNCLEAR  a  one photo more" and judging.exit_status([unclear]) == 0


def test_no_photos_have_no_share() -> None:
    assert share([]) is None
    assert share([True, False, True, True]) == 0.75


def test_a_broken_promise_fails_and_one_not_run_is_seen() -> None:
    promises = [Promise("a", True, "fine"), Promise("b", None, "no root", was_run=False)]
    assert judging.exit_status(promises) == 0
    assert "NOT RUN  b  no root" in judging.table(promises)
    assert judging.exit_status([*promises, Promise("c", False, "bad")]) == 1


def test_the_journal_counts_answers_and_faults() -> None:
    journal = Journal()
    journal.add(Asked("search", 1.0, 0.1, 200, None, None, "v1"))
    for at in (2.0, 3.0):
        journal.add(Asked("search", at, 0.1, 503, "not_ready", None, None))
    journal.add(Asked("pick", 4.0, 0.1, 0, None, "no answer: ConnectionError", None))
    assert counted(journal.since(2.0)) == {"search 503 not_ready": 2, "pick no answer": 1}
    assert faults(journal.entries) == ["1 x pick: no answer: ConnectionError"]


def test_what_was_acknowledged_and_is_gone_is_lost() -> None:
    ledger = Ledger()
    ledger.photo("apple", "aa")
    ledger.pick("q1", "apple")
    ledger.kept("q1", "bb")
    said = ledger.now()
    whole = Facts({}, frozenset({("apple", "aa"), ("other", "cc")}), {"q1": "apple", "q2": "other"}, {"q1": "bb"})
    assert losses(said, whole) == []
    assert losses(said, Facts({}, frozenset(), {"q1": "another"}, {})) == [
        "1 photos lost, e.g. [('apple', 'aa')]",
        "1 picks lost, e.g. [('q1', 'apple')]",
        "1 kept searches lost, e.g. [('q1', 'bb')]",
    ]
    assert losses(Acknowledged(frozenset(), {}, {}), whole) == []


def test_a_file_without_a_row_is_a_stray_unless_the_catalogue_was_sent_it(tmp_path: Path) -> None:
    for name in ("aa", "bb", "cc", "dd", "ee"):
        (tmp_path / "media" / name / (name * 32)).mkdir(parents=True)
    there = media_files(tmp_path)
    facts = Facts({}, frozenset({("apple", "aa" * 32)}), {}, {"q1": "bb" * 32}, {}, frozenset({"cc" * 32}))
    said = Acknowledged(frozenset(), {}, {}, {}, frozenset({"dd" * 32}))
    assert strays(there, said, facts) == [f"1 of 5 photos in the media store have no row, e.g. ['{'ee' * 32}']"]


def test_a_reviewed_photo_that_is_gone_or_another_products_is_lost() -> None:
    said = Acknowledged(frozenset(), {}, {}, {"q1": "apple", "q2": "pear"})
    facts = Facts({}, frozenset(), {}, {}, {"q1": "apple", "q2": "apple"})
    assert losses(said, facts) == ["1 reviewed photos lost, e.g. [('q2', 'pear')]"]


def test_every_problem_is_judged_by_one_promise_and_the_rest_by_the_last() -> None:
    found = judging.sorted_out(
        [
            "champion: bundle v1: torn",
            "database killed: the service is not ready after 600 s",
            "bundle v2: torn",
            "2 photos lost, e.g. []",
            "1 of 9 photos are not whole in the media store, e.g. []",
            "1 of 9 photos in the media store have no row, e.g. []",
            "3 x search: 500 internal",
            "the worker was back after None s",
            "the retraining failed: None",
            f"{ADMINISTRATOR}: a stack trace",
            "processes [7] of the killed worker's job still run",
            "the database does not answer: closed",
        ],
        chaos.KINDS,
    )
    assert {kind: len(problems) for kind, problems in found.items()} == {
        "champion": 2, "half": 1, "administrator": 1, "stray": 1, "lost": 2, "answer": 1, "back": 1, "job": 1, "else": 2
    }  # fmt: skip


def test_a_bundle_folder_without_its_files_is_half(tmp_path: Path) -> None:
    nothing = Facts({}, frozenset(), {}, {})
    assert half_bundles(tmp_path, nothing) == []
    assert champion_fault(tmp_path, nothing) == "0 champions"
    (tmp_path / "bundles" / ".v1-cut").mkdir(parents=True)
    assert half_bundles(tmp_path, nothing) == [], "nothing loads a hidden folder"
    (tmp_path / "bundles" / "v1").mkdir()
    [fault] = half_bundles(tmp_path, nothing)
    assert fault.startswith("bundle v1: ")
    recorded = Facts({"v2": ("champion", "0" * 64)}, frozenset(), {}, {})
    assert len(half_bundles(tmp_path, recorded)) == 2
    assert (champion_fault(tmp_path, recorded) or "").startswith("bundle v2: ")


def test_a_row_whose_photo_is_not_in_the_media_store_is_a_fault(tmp_path: Path) -> None:
    facts = Facts({}, frozenset({("apple", "0" * 64)}), {}, {})
    [fault] = media_faults(tmp_path, facts)
    assert fault.startswith("1 of 1 photos are not whole")
