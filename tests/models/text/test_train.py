"""Training on a small catalogue: what can be told is told, with either side missing; care; reports."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from models.errors import NotEnoughData
from models.explain import WordShare
from models.multimodal.classifier import Listing
from models.training.care.teaching import Care
from models.training.replacing import against
from models.training.reports.text import explained_names, text_report
from models.training.text.care import care_for_types
from models.training.text.confusions import ambiguous_types, catch_all_types
from models.training.text.evaluate import evaluate_text
from models.training.text.learn import Learner
from models.training.text.noise import flipped
from models.training.text.replacing import compare_classifiers
from models.training.text.rows import codes_of, encode_rows
from models.training.text.settings import TextSettings
from models.training.text.train import TrainedText, answers_of, fit_classifier, train_text
from tests.models.text.world import TYPES, catalogue

SETTINGS = TextSettings(
    vocabulary=200, buckets=512, embedded=16, width=32, epochs=6, batch_size=64, learning_rate=0.01, care=Care.NONE
)


@pytest.fixture(scope="module")
def trained() -> TrainedText:
    return fit_classifier(catalogue(), SETTINGS, 1)


def test_each_side_tells_what_it_can_and_both_tell_all(trained: TrainedText) -> None:
    found = evaluate_text(trained.classifier, trained.words, trained.counts, catalogue(200, seed=1))
    assert found["rows"] == 200 and 0 < found["with_image"] < 200
    assert found["fused"]["accuracy"] > 0.95 and found["image"]["accuracy"] > 0.9
    assert 0.6 < found["name"]["accuracy"] < 0.9  # two of four types share their word
    assert found["name_masked"]["accuracy"] < 0.5 < found["fused_masked"]["accuracy"]


def test_without_pictures_names_are_measured_on_all_rows(trained: TrainedText) -> None:
    found = evaluate_text(trained.classifier, trained.words, trained.counts, catalogue(60, seed=2, shown=0.0))
    assert found["with_image"] == 0 and found["name"]["accuracy"] > 0.6
    assert found["image"] == {"accuracy": None, "top5": None, "macro_f1": None}


def test_the_category_of_the_type_is_told(trained: TrainedText) -> None:
    answer = trained.classifier.classify(Listing.of_names(["Birna watch B123"]))[0]
    assert answer.ranked[0].label == "watch" and answer.category == "Goods > Watch"
    assert answer.further["season"].label == "Summer"


def test_the_same_rows_and_seed_give_the_same_network() -> None:
    rows = catalogue(80)
    two = [fit_classifier(rows, replace(SETTINGS, epochs=1), 1).classifier.members[0] for _ in range(2)]
    for name, values in two[0].parameters.items():
        assert np.allclose(values, two[1].parameters[name], atol=1e-4), name


def test_fixed_parameters_stay_and_others_learn() -> None:
    rows = catalogue(80)
    start = fit_classifier(rows, replace(SETTINGS, epochs=1, taught_with="name"), 1)
    network = start.classifier.members[0]
    encoded = encode_rows(rows, start.classifier.features, start.words)
    settings = replace(SETTINGS, vocabulary=start.classifier.features.subwords.size)
    learner = Learner(encoded, answers_of(rows, settings), settings, network.parameters, ("text/",))
    learner.epoch()
    after = learner.network().parameters
    assert all((after[name] == values).all() for name, values in network.parameters.items() if name[:5] == "text/")
    assert not np.allclose(after["head/type/weight"], network.parameters["head/type/weight"])


def test_training_as_a_whole_measures_and_reports() -> None:
    found = train_text(catalogue(200), replace(SETTINGS, epochs=2), 1)
    metrics = found.metrics
    assert metrics["data"]["rows"] == 200 and metrics["data"]["types"] == len(TYPES)
    assert set(metrics["categories"]) == {"ambiguous", "catch_all", "stop_words"}
    assert metrics["measured"]["rows"] == metrics["data"]["test"] == len(found.held) > 0
    assert found.trial is not None and sum(found.trial.counts.values()) == metrics["data"]["training"]
    told: list[str] = []

    def shares(listing: Listing, label: str) -> list[WordShare]:
        told.append(label)
        return [WordShare(word, 1.0 if word in label else -0.5) for word in listing.names[0].split()]

    page = text_report({"version": "<v1>", "space": "s", "created_at": "now"}, found, catalogue(200), shares)
    assert "&lt;v1&gt;" in page and "<v1>" not in page
    hits, misses = explained_names(found, catalogue(200), shares)
    assert len(hits) + len(misses) > 0 and {item.sku for item in (*hits, *misses)} <= set(found.held)
    assert all(item.named == item.truth for item in hits) and all(item.named != item.truth for item in misses)
    assert len({item.named for item in hits}) == len(hits)
    assert all(max(abs(word.weight) for word in item.words) == 1.0 for item in (*hits, *misses))


def test_two_classifiers_are_compared_on_rows_that_neither_has_seen(trained: TrainedText) -> None:
    rows = catalogue(200, seed=3)
    worse = fit_classifier(catalogue(40), replace(SETTINGS, epochs=1, taught_with="name_masked"), 1).classifier
    held = [*rows.skus[:120], "gone"]
    table = compare_classifiers(trained.classifier, worse, rows, held)["types"]
    assert table["asked"] == 120 and table["champion"] > 0.9 and table["difference"] < -0.1
    assert "worse beyond chance" in against({"types": table}, 0.02)[0]
    assert against({"types": compare_classifiers(worse, trained.classifier, rows, held)["types"]}, 0.0) == []
    untyped = replace(rows, types=(None,) * 200)
    assert compare_classifiers(trained.classifier, worse, untyped, held)["types"]["asked"] == 0


def test_names_without_a_type_teach_nothing() -> None:
    with pytest.raises(NotEnoughData, match="type"):
        fit_classifier(replace(catalogue(8), types=(None,) * 8), SETTINGS, 1)


@pytest.mark.parametrize("care", [Care.RELABEL, Care.LEAVE_OUT, Care.SELFIE, None])
def test_care_finds_most_flipped_types(trained: TrainedText, care: Care | None) -> None:
    clean = catalogue(480, shown=1.0)
    noisy = flipped(clean, 0.3, 0)
    encoded = encode_rows(noisy, trained.classifier.features, trained.words)
    truth, given = codes_of(clean.types, TYPES), codes_of(noisy.types, TYPES)
    cared = care_for_types(encoded, given, len(TYPES), care)
    wrong = (cared.codes != truth)[cared.used].mean()
    assert wrong < 0.5 * (given != truth).mean()
    assert cared.noise > 0.1


def test_pairs_and_catch_alls_are_named() -> None:
    truth = ["mug"] * 10 + ["cup"] * 10 + ["other"] * 10
    named = ["mug"] * 5 + ["cup"] * 5 + ["cup"] * 10 + ["mug", "cup", "pan", "pot", "lid"] * 2
    skus = [str(i) for i in range(30)]
    advice = {(pair.first, pair.second): pair.advice for pair in ambiguous_types(skus, truth, named)}
    assert advice["mug", "cup"] == "merge" and advice["other", "mug"] == "describe"
    assert [kind.type for kind in catch_all_types(truth, named)] == ["other"]
