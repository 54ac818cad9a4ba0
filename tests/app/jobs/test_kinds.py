"""What a job's process does and says: the kinds, their reports, and every way to end."""

from __future__ import annotations

import asyncio
import io
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from app.jobs.kinds import KINDS, run_bottlenecks, run_retrain, run_train, work_of
from app.jobs.process import LOG_LINES, JobProcess
from app.jobs.reporting import MAX_ROW_ERRORS, FollowUp, Outcome, Reporter
from app.store import jobs
from app.store.jobs import Report
from app.store.media import content_hash
from app.wiring import assemble
from models.errors import UsageError
from tests.app.learning import LearningShop, learning_shop, shots


@pytest.fixture
def shop(tmp_path: Path, database_url: str, prepared_home: Path) -> Iterator[LearningShop]:
    """Three products of two photos each: k-NN learns alone, so nothing here waits for TensorFlow."""
    with learning_shop(tmp_path / "home", database_url, prepared_home) as made:
        for place, sku in enumerate(("cocoa", "apple", "bread")):
            made.add_product(sku, shots(place, 2))
        yield made


def said(out: io.StringIO) -> list[dict[str, Any]]:
    """The lines of a report."""
    return [json.loads(line) for line in out.getvalue().splitlines()]


def test_bottlenecks_and_training_tell_what_they_did(shop: LearningShop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.jobs.training.FAR_FOREIGN_PHOTOS", 4)
    container = assemble(shop.settings, shop.engine)
    shop.media.delete(content_hash(shots(2, 2)[1]))
    out = io.StringIO()
    filled = run_bottlenecks(container, uuid4(), {"originals_only": True}, Reporter(out))
    assert (filled.result["photos"], filled.result["new"], filled.result["vectors"]) == (6, 5, 5)
    assert filled.follow_up is None
    [errors] = [line for line in said(out) if "row_errors" in line]
    assert errors["total"] == 1
    assert errors["row_errors"][0]["value"] == content_hash(shots(2, 2)[1])
    assert [line["progress"] for line in said(out) if "progress" in line][-1] == 1.0

    out = io.StringIO()
    trained = run_train(container, uuid4(), {"folds": 2, "without_variants": True}, Reporter(out))
    json.dumps(trained.result)
    assert trained.result["version"] == container.model.current().recognizer.version
    shares = [line["progress"] for line in said(out) if "progress" in line]
    assert shares == sorted(shares)
    assert 0 < shares[0] <= shares[-1] < 1
    container.close()


def test_a_training_that_was_ended_before_its_report_publishes_once(
    shop: LearningShop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.jobs.training.FAR_FOREIGN_PHOTOS", 4)
    container = assemble(shop.settings, shop.engine)
    run_bottlenecks(container, uuid4(), {"originals_only": True}, Reporter(io.StringIO()))
    job_id = uuid4()
    payload = {"folds": 2, "without_variants": True}
    first, second = (run_train(container, job_id, payload, Reporter(io.StringIO())) for _ in range(2))
    assert first == second
    assert [model.version for model in container.versions.all()] == [first.result["version"]]
    another = run_train(container, uuid4(), payload, Reporter(io.StringIO()))
    assert len(container.versions.all()) == 2 and another.result["version"] != first.result["version"]
    container.close()


def test_a_retraining_tells_what_was_new_and_what_was_decided(
    shop: LearningShop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Products of two photos have no hold-out: the second model is kept for a person to look at."""
    monkeypatch.setattr("app.jobs.training.FAR_FOREIGN_PHOTOS", 4)
    container = assemble(shop.settings, shop.engine)
    out = io.StringIO()
    first = run_retrain(container, uuid4(), {"folds": 2}, Reporter(out))
    json.dumps(first.result, allow_nan=False)
    assert (first.result["promoted"], first.result["reason"]) == (True, "first model")
    assert (first.result["bottlenecks"]["new_photos"], first.result["bottlenecks"]["computed"]) == (6, 54)
    shares = [line["progress"] for line in said(out) if "progress" in line]
    assert shares == sorted(shares) and 0.4 < shares[-1] < 1
    assert any("6 of 6 photos were new: 54 images computed" in line.get("step", "") for line in said(out))

    shop.add_product("tea", shots(3, 2))
    shop.add_product("gone", shots(4, 1))
    shop.media.delete(content_hash(shots(4, 1)[0]))
    out = io.StringIO()
    second = run_retrain(container, uuid4(), {"folds": 2, "promote": "auto"}, Reporter(out))
    assert (second.result["bottlenecks"]["new_photos"], second.result["bottlenecks"]["computed"]) == (2, 18)
    [errors] = [line for line in said(out) if "row_errors" in line]
    assert errors["total"] == 1
    assert (second.result["promoted"], second.result["decision"]) == (False, "kept")
    assert second.result["champion"] == first.result["version"]
    assert "only 0 hold-out photos could be compared" in second.result["reason"]
    assert {model.version: model.state for model in container.versions.all()} == {
        first.result["version"]: "champion",
        second.result["version"]: "challenger",
    }
    container.close()


def test_kinds_without_work_are_refused() -> None:
    assert set(KINDS) == {"import", "bottlenecks", "train", "retrain", "outbox"} == set(jobs.KINDS)
    with pytest.raises(UsageError, match="finetune"):
        work_of("finetune")


def test_reports_are_bounded_and_end_with_one_last_word() -> None:
    out = io.StringIO()
    tell = Reporter(out)
    for done in range(1001):
        tell.progress(done / 1000)
    shares = [line["progress"] for line in said(out)]
    assert shares[0] == 0.0
    assert shares[-1] == 1.0
    assert len(shares) < 1001
    tell.row_errors([{"reason": str(n)} for n in range(MAX_ROW_ERRORS + 5)])
    assert len(said(out)[-1]["row_errors"]) == MAX_ROW_ERRORS
    assert said(out)[-1]["total"] == MAX_ROW_ERRORS + 5
    tell.done(Outcome({"photos": 1}, FollowUp("bottlenecks", {"originals_only": True})))
    follow_up = {"kind": "bottlenecks", "payload": {"originals_only": True}}
    assert said(out)[-1] == {"result": {"photos": 1}, "follow_up": follow_up}
    tell.failed("internal", "no", again=False)
    assert said(out)[-1] == {"error": {"code": "internal", "message": "no"}, "again": False}


def run_process(script: str, tail: str = "") -> JobProcess:
    """A job's process that is this Python script instead, to its end."""

    async def run() -> JobProcess:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", script, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE, start_new_session=True,
        )  # fmt: skip
        made = JobProcess(process, tail)
        assert await made.wait(60)
        return made

    return asyncio.run(run())


def test_the_log_keeps_its_last_lines_and_a_half_line_of_a_dead_process_is_passed_over() -> None:
    script = (
        "import sys\n"
        "for n in range(500): print(n, file=sys.stderr)\n"
        'print(\'{"step": "decoding"}\')\n'
        "print('{\"progress\": 0.5}')\n"
        "print('{\"result\": {', end='')\n"
        "sys.exit(9)\n"
    )
    process = run_process(script, "from before")
    news = process.news()
    assert (news.progress, news.step) == (0.5, "decoding")
    lines = (news.log_tail or "").splitlines()
    assert len(lines) == LOG_LINES
    assert "499" in lines
    assert "from before" not in lines
    assert process.last_word is None
    assert process.status == 9


def test_news_that_could_not_be_written_is_kept_but_newer_news_wins() -> None:
    process = run_process("print('{\"progress\": 0.7}')")
    process.keep(Report(progress=0.2, step="before"))
    news = process.news()
    assert (news.progress, news.step) == (0.7, "before")
    assert process.news() == Report()


def test_what_postgresql_cannot_store_is_left_out_of_what_a_process_says() -> None:
    said = [
        {"step": "a\x00b"},
        {"row_errors": [{"line": 2, "value": "Oat\x00Milk", "reason": "half \ud800"}], "total": 1},
        {"error": {"code": "c\x00", "message": "m\x00"}, "again": False},
    ]
    lines = "".join(json.dumps(line) + "\n" for line in said)
    process = run_process(f"import sys; sys.stdout.write({lines!r}); sys.stderr.write('x\\x00y')")
    news = process.news()
    assert news.step == "ab"
    assert news.row_errors == [{"line": 2, "value": "OatMilk", "reason": "half \\ud800"}]
    assert sorted((news.log_tail or "").splitlines()) == ["ab", "xy"]
    assert process.last_word is not None and process.last_word.error == {"code": "c", "message": "m"}


def test_a_child_tells_also_of_names_that_are_no_text() -> None:
    async def run() -> JobProcess:
        process = await JobProcess.start(uuid4(), "caf\udce9", {}, "")
        assert await process.wait(60)
        return process

    process = asyncio.run(run())
    assert process.status == 0 and process.last_word is not None and process.last_word.error is not None
    assert "caf\\udce9" in process.last_word.error["message"]


def test_waiting_leaves_nothing_behind() -> None:
    async def run() -> None:
        process = await asyncio.create_subprocess_exec(
            "sleep", "600", stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE, start_new_session=True,
        )  # fmt: skip
        made = JobProcess(process, "")
        assert not await made.wait(0.01)
        before = len(asyncio.all_tasks())
        for _ in range(5):
            assert not await made.wait(0.01)
        assert len(asyncio.all_tasks()) == before
        await made.stop()

    asyncio.run(run())


def test_a_last_word_is_heard() -> None:
    process = run_process('print(\'{"error": {"code": "c", "message": "m"}, "again": true}\')')
    assert process.last_word is not None
    assert (process.last_word.error, process.last_word.again) == ({"code": "c", "message": "m"}, True)
