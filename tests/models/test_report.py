"""The HTML reports: they render whatever was measured, escape labels, and hold their pictures."""

from __future__ import annotations

import base64
import re
from dataclasses import replace
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from models.training.bottlenecks.descriptor import SCENE_SIZE
from models.training.crossfit import CrossFit
from models.training.data import TrainingPhotos
from models.training.measures import summary
from models.training.reports.html import write_evaluation_report, write_report
from models.training.reports.pictures import thumbnail
from models.training.reports.plots import bottleneck_map
from models.training.reports.review import review_photos
from models.training.reports.tables import rejection_curve, voted_photos
from models.training.splits import make_split
from models.training.train import Trained, TrainingData, train
from tests.contracts.neighbours import unit
from tests.models.conftest import Run
from tests.models.synthetic import digest, judged, make_photos, says, strangers

ABOUT = {"version": "v1", "space": "s", "weights": "embedded", "created_at": "2026-01-01T00:00:00+00:00"}
NASTY = "<script>alert('x')</script>"


def picture(_: str = "") -> bytes:
    """A photo larger than a thumbnail."""
    out = BytesIO()
    Image.fromarray(np.full((400, 300, 3), (200, 30, 30), np.uint8)).save(out, "PNG")
    return out.getvalue()


class _Reader(HTMLParser):
    """Collects the tags, and complains about any that is closed without being open."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []
        self.pictures: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)
        if tag == "img":
            self.pictures.append(dict(attrs)["src"] or "")
        if tag not in ("meta", "img", "br", "path", "use", "rect"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in self.open:
            while self.open.pop() != tag:
                pass
        else:
            assert tag in ("path", "use", "rect"), f"</{tag}> closes nothing"


def read(path: Path) -> tuple[str, _Reader]:
    text = path.read_text("utf-8")
    reader = _Reader()
    reader.feed(text)
    assert text.startswith("<!doctype html>")
    assert reader.seen.count("html") == reader.seen.count("body") == 1
    return text, reader


def with_review(trained: Trained, data: TrainingData) -> Trained:
    descriptors = unit(np.random.default_rng(1).gamma(0.3, size=(len(data.photos), SCENE_SIZE)))
    review = review_photos(data.photos, descriptors, data.split)
    return replace(trained, metrics={**trained.metrics, "review": review})


def renamed(trained: Trained, old: str, new: str) -> Trained:
    """The same run in which the label ``old`` is called ``new`` in truths and lists."""

    def call(label: str) -> str:
        return new if label == old else label

    known = [
        replace(
            photo,
            truth=photo.truth and call(photo.truth),
            predictions=tuple(
                replace(
                    p,
                    ranked=tuple(replace(s, label=call(s.label)) for s in p.ranked),
                    known=None if p.known is None else frozenset(map(call, p.known)),
                )
                for p in photo.predictions
            ),
        )
        for photo in trained.fit.known
    ]
    fit = CrossFit(known=known, histories=trained.fit.histories)
    return replace(trained, fit=fit)


def test_a_training_report_with_everything(run: Run, tmp_path: Path) -> None:
    trained = with_review(run.trained, run.data)
    write_report(tmp_path / "report.html", ABOUT, trained, picture)
    text, reader = read(tmp_path / "report.html")
    for words in ("Model v1", "embedded", "Table 3", "rank_sum", "Rejection", "augmentation gains", "Worst confusions"):
        assert words in text
    for name in ("fcn", "knn", "svm", "vote"):
        assert f"<td>{name}</td>" in text
    assert f"{100 * trained.metrics['table3']['vote']['top1']['mean']:.1f} %" in text
    assert reader.seen.count("svg") == 4, "reliability, loss, validation Top-1 and rejection"
    assert sum(source.startswith("data:image/png") for source in reader.pictures) == 1, "the map of bottlenecks"
    for words in (
        "Data care",
        "label is probably wrong: 0",
        "hard to tell apart",
        "Nearly the same photo",
        "Map of the photos",
    ):
        assert words in text
    assert len(text) < 3_000_000
    assert "Too few photos: 14 labels" in text
    assert "4 photos were seen by the backbone" in text
    assert f"{len(trained.fit.known)} in all, which flatters" in text
    assert text.count("<th>fitting</th>") == 2
    assert reader.open == []


def test_pictures_are_embedded_as_small_jpegs_and_nothing_is_loaded_from_elsewhere(run: Run, tmp_path: Path) -> None:
    write_report(tmp_path / "report.html", ABOUT, with_review(run.trained, run.data), picture)
    text, reader = read(tmp_path / "report.html")
    assert len(reader.pictures) > 10
    for source in (source for source in reader.pictures if not source.startswith("data:image/png")):
        kind, data = source.split(",", 1)
        assert kind == "data:image/jpeg;base64"
        image = Image.open(BytesIO(base64.b64decode(data)))
        assert image.format == "JPEG"
        assert max(image.size) == 140
    assert not re.findall(r'(?:src|href)="(?!data:|#)', text)
    assert "<script" not in text


def test_a_label_that_looks_like_html_is_escaped(run: Run, tmp_path: Path) -> None:
    confused = with_review(renamed(run.trained, "label 03", NASTY), run.data)
    labels = confused.metrics["review"]["too_few"]["labels"]
    labels.append({"label": NASTY, "photos": 1})
    labels.insert(0, {"label": NASTY, "photos": 0})
    write_report(tmp_path / "report.html", {**ABOUT, "weights": f"file:{NASTY}"}, confused, picture)
    text, reader = read(tmp_path / "report.html")
    assert "<script" not in text
    assert "script" not in reader.seen
    assert text.count("&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;") >= 4


def test_photos_that_are_gone_or_damaged_leave_their_place_empty(run: Run, tmp_path: Path) -> None:
    def lost(name: str) -> bytes:
        raise FileNotFoundError(name)

    write_report(tmp_path / "report.html", ABOUT, with_review(run.trained, run.data), lost)
    pictures = read(tmp_path / "report.html")[1].pictures
    assert [source.split(",")[0] for source in pictures] == ["data:image/png;base64"], "the map needs no photo"
    assert thumbnail(lambda name: b"no photo", "x") == ""
    assert thumbnail(picture, "x").startswith("data:image/jpeg")


FINDINGS: dict[str, Any] = {
    "mislabels": {
        "count": 60,
        "noise": 0.2,
        "photos": [{"photo": "p1", "label": NASTY, "suggested": "oat", "margin": 0.1}] * 30,
        "advice": "look at each photo",
    },
    "confusable": {
        "count": 1,
        "pairs": [
            {
                "first": "oat",
                "second": NASTY,
                "as_second": 3,
                "as_first": 1,
                "first_photos": 9,
                "second_photos": 8,
                "first_examples": ["p2"],
                "second_examples": [],
                "count": 4,
            }
        ],
        "advice": "photograph what tells the two apart",
    },
    "twins": {
        "count": 2,
        "pairs": [{"photos": ["p3", "p4"], "labels": ["oat", NASTY], "cosine": 0.991}],
        "advice": "keep the photo where it belongs",
    },
    "balance": {"median": 6.0, "smaller": 0.5, "larger": 0.75, "did": "nothing", "advice": "photograph more"},
    "training": {"care": "selfie", "did": "FCN and SVM learned", "photos": 5, "left_out": 2, "relabelled": 7},
    "drift": {
        "before": 300,
        "now": 200,
        "level": "large",
        "versions": 2,
        "changes": [
            {
                "name": "nearest",
                "psi": 0.4,
                "bound": 0.05,
                "level": "large",
                "shares": {},
                "advice": "add phone photos",
            },
            {"name": "score", "psi": 0.01, "bound": 0.05, "level": "none", "shares": {}, "advice": "retrain"},
        ],
    },
}


def with_findings(trained: Trained, **parts: Any) -> Trained:
    return replace(trained, metrics={**trained.metrics, "data_care": {**FINDINGS, **parts}})


def test_data_care_shows_findings_pictures_and_what_to_do(run: Run, tmp_path: Path) -> None:
    asked: list[str] = []

    def load(name: str) -> bytes:
        asked.append(name)
        return picture()

    write_report(tmp_path / "report.html", ABOUT, with_findings(with_review(run.trained, run.data)), load)
    text, reader = read(tmp_path / "report.html")
    for words in (
        "label is probably wrong: 60",
        "looks like <strong>oat</strong>",
        "<td>3 of 9</td><td>1 of 8</td>",
        "likeness 0.991",
        "2 photos left\nout, 7 learned under another label",
        "Top-1 of labels with fewer photos than the median\n50.0 %, of the others 75.0 %",
        "200 searches of the last 30 days against 300 before",
        "add phone photos",
        "2 model versions answered",
    ):
        assert words in text, words
    assert "<td>retrain</td>" not in text
    assert {"p1", "p2", "p3", "p4"} <= set(asked)
    assert asked.count("p1") == 1, "each photo is read once"
    assert "<script" not in text
    assert reader.open == []


def test_too_few_searches_are_said_and_none_kept_shows_nothing(run: Run, tmp_path: Path) -> None:
    trained = with_review(run.trained, run.data)
    few = {"before": 3, "now": 2, "level": "none", "versions": 1, "changes": []}
    write_report(tmp_path / "few.html", ABOUT, with_findings(trained, drift=few), picture)
    assert "Not available: 2 searches in the last 30 days and 3 before" in (tmp_path / "few.html").read_text("utf-8")
    write_report(tmp_path / "none.html", ABOUT, trained, picture)
    assert "searches" not in (tmp_path / "none.html").read_text("utf-8")


def test_the_map_is_the_same_each_time_and_small_catalogues_have_none(run: Run) -> None:
    photos = run.data.photos
    one = bottleneck_map(photos, frozenset(photos.hashes[:3]))
    assert one == bottleneck_map(photos, frozenset(photos.hashes[:3]))
    assert one != bottleneck_map(photos)
    image = Image.open(BytesIO(base64.b64decode(one.split(",", 1)[1])))
    assert image.size == (946, 726)
    assert bottleneck_map(photos.subset(np.arange(29))) == ""


def test_the_map_draws_a_sample_of_many_photos(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[int] = []

    def places(vectors: Any, seed: int) -> Any:
        drawn.append(len(vectors))
        return np.zeros((len(vectors), 2), np.float32)

    monkeypatch.setattr("models.training.reports.plots.embedded", places)
    monkeypatch.setattr("models.training.reports.plots.MAP_PHOTOS", 40)
    assert bottleneck_map(run.data.photos)
    assert drawn == [40]


def test_the_rejection_curve_goes_from_accepting_all_to_rejecting_all() -> None:
    curve = rejection_curve([0.9, 0.8, 0.7, 0.2], [0.5, 0.75], [])
    assert curve["far"] == []
    assert (curve["false_reject"][0], curve["false_reject"][-1]) == (0.0, 1.0)
    assert (curve["near"][0], curve["near"][-1]) == (1.0, 0.0)
    assert curve["false_reject"] == sorted(curve["false_reject"])
    assert curve["near"] == sorted(curve["near"], reverse=True)
    assert rejection_curve([], [0.5], [0.5]) == {"false_reject": [], "near": [], "far": []}


def knn_only(shots: dict[str, list[int]], *, all_seen: bool = False) -> Trained:
    photos, scenes = make_photos(shots)
    data = TrainingData(
        TrainingPhotos(photos.hashes, photos.labels, photos.originals, photos.variants),
        [None] * len(photos),
        make_split(photos.hashes, photos.labels, scenes, folds=2),
        strangers(4),
        frozenset(photos.hashes) if all_seen else frozenset(),
    )
    return with_review(train(data), data)


@pytest.mark.parametrize(
    ("shots", "words"),
    [
        ({f"l{i}": [2] for i in range(4)}, "nothing could be cross-validated"),
        ({f"l{i}": [1, 1] for i in range(4)}, "<td>knn</td>"),
    ],
    ids=["one scene a label", "two photos a label"],
)
def test_a_training_report_without_cross_validation_or_without_fcn_and_svm(
    shots: dict[str, list[int]], words: str, tmp_path: Path
) -> None:
    write_report(tmp_path / "report.html", ABOUT, knn_only(shots), picture)
    text, reader = read(tmp_path / "report.html")
    assert words in text
    assert "shipped prior judged" in text
    assert "<td>fcn</td>" not in text
    assert "nan" not in re.sub(r"data:[^\"]*", "", text).lower()
    assert reader.open == []


def test_a_training_report_where_the_backbone_has_seen_everything(tmp_path: Path) -> None:
    trained = knn_only({f"l{i}": [1, 1] for i in range(4)}, all_seen=True)
    write_report(tmp_path / "report.html", ABOUT, trained, picture)
    text, reader = read(tmp_path / "report.html")
    assert "no honest figure can be given" in text
    assert "8 in all, which flatters" in text
    assert text.count("<td>knn</td>") == 1
    assert "Worst confusions" not in text and "Misses" not in text and "Hits" not in text
    assert "nan" not in re.sub(r"data:[^\"]*", "", text).lower()
    assert reader.open == []


def evaluation(known: int) -> dict[str, Any]:
    """What ``evaluate`` returns, with or without photos."""
    names = [["a", "b"]] * known
    measured = {k: None if np.isnan(v) else v for k, v in summary(names, ["a"] * known).items()}
    return {
        "photos": known,
        "known_photos": known,
        "foreign_photos": 0,
        "leaked_photos": min(1, known),
        **dict.fromkeys(("fcn", "knn", "svm", "vote"), measured),
        "verdict": dict.fromkeys(
            ("false_accept", "false_reject", "unsure_known", "unsure_foreign", "wrong_known"), None
        ),
        "calibration": {"ece": 0.1 if known else None, "calibrated": False},
        "latency_ms": {"p50": 12.3 if known else None, "p95": 20.0 if known else None},
        "memory_mb": 300.0,
        "model_version": "v9",
        "weights": "imagenet",
        "unreadable": [],
    }


def test_an_evaluation_report_shows_figures_misses_hits_and_leaked_photos(tmp_path: Path) -> None:
    seen = [
        judged(truth, 0, says("knn", {first: 0.9, "b": 0.2}), name=digest(truth))
        for truth, first in (("a", "a"), (NASTY, "a"), ("c", NASTY))
    ]
    write_evaluation_report(tmp_path / "e.html", evaluation(3), voted_photos(seen, 1), picture)
    text, reader = read(tmp_path / "e.html")
    assert "Evaluation of model v9" in text
    assert "1 are in the catalogue itself" in text
    assert "12.0 ms (median)" in text
    assert "Worst confusions" in text and "Hits" in text
    assert "<script" not in text
    assert "&lt;script&gt;" in text
    assert reader.seen.count("svg") == 1
    assert len(reader.pictures) >= 4
    assert reader.open == []


def test_an_evaluation_report_without_a_single_photo(tmp_path: Path) -> None:
    write_evaluation_report(tmp_path / "e.html", evaluation(0), [], picture)
    text, reader = read(tmp_path / "e.html")
    assert "n/a" in text
    assert reader.pictures == []
    assert reader.open == []
