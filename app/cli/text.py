"""``python -m app text ...``: what reads names and pictures together."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from app.cli.common import emit, json_option, say
from app.cli.proposals import say_proposed
from app.cli.text_tables import compared_lines, measured_lines, noise_lines, stop_word_lines
from app.config import Settings
from app.jobs.experiments import write_result
from app.jobs.text import NOISE, compare_text, evaluate_text_model, photo_vector, train_text_model
from app.services.name_shares import name_shares
from app.services.text_models import store_stop_words
from app.store.text_models import TextModelStore
from app.wiring import Container, build_container
from models.errors import NotEnoughData, UsageError
from models.multimodal.classifier import CategoryAnswer, Listing
from models.training.bottlenecks.progress import TqdmProgress
from models.training.text.compare import COMPARISONS, SEEDS
from models.training.text.settings import TextSettings

_DEFAULTS = TextSettings()
_PARTS = ("categories", "words")


@click.group()
def command() -> None:
    """Train, measure and ask the model that tells a product's category from its name and picture."""


@command.command()
@click.option("--vocabulary", type=click.IntRange(100, 200_000), default=_DEFAULTS.vocabulary, show_default=True)
@click.option("--only", type=click.Choice(_PARTS), help="One of the two models: categories, or words to search by.")
@json_option
def train(vocabulary: int, only: str | None, as_json: bool) -> None:
    """Learn from the imported catalogue: names, stored bottlenecks of photos, types, colours, seasons.

    Two models come of it: one tells a product's category, the other (the shared space) finds products by words.
    """
    container = build_container(Settings.from_env())
    result: dict[str, Any] = {}
    lines: list[str] = []
    try:
        if only != "words":
            _train_categories(container, vocabulary, result, lines)
            say_proposed(container)
        if only != "categories":
            _train_words(container, vocabulary, result, lines, required=only is not None)
    finally:
        container.close()
    emit(result, as_json, lambda: "\n".join(lines))


def _train_categories(container: Container, vocabulary: int, result: dict[str, Any], lines: list[str]) -> None:
    report = train_text_model(container.settings, container.engine, replace(_DEFAULTS, vocabulary=vocabulary), say=say)
    result |= {"version": report.version, "space": report.space, "metrics": report.metrics}
    lines += [f"text model {report.version}", *measured_lines(report.metrics["measured"])]


def _train_words(
    container: Container, vocabulary: int, result: dict[str, Any], lines: list[str], *, required: bool
) -> None:
    """required: whether a catalogue with too few photos for it is an error, and not just told."""
    from app.cli.shared_tables import shared_lines
    from app.jobs.shared import train_shared_space
    from models.training.shared.run import SharedOptions

    try:
        report = train_shared_space(
            container.settings, container.engine, container.media, SharedOptions(vocabulary=vocabulary), say
        )
    except NotEnoughData as error:
        if required:
            raise
        result["shared"] = {"state": f"not run: {error}"}
        lines.append(f"shared space: not run: {error}")
        return
    result["shared"] = {
        "state": "run",
        "version": report.version,
        "space": report.space,
        "placed": report.placed,
        "metrics": report.metrics,
    }
    lines += shared_lines(report.version, report.placed, report.metrics)


@command.command()
@click.argument("directory", type=click.Path(exists=True, file_okay=False, path_type=Path), metavar="DIR")
@json_option
def evaluate(directory: Path, as_json: bool) -> None:
    """Measure the text model on a catalogue folder whose rows give their type."""
    with TqdmProgress("bottlenecks") as progress:
        result = evaluate_text_model(Settings.from_env(), directory, say, progress)
    emit(result, as_json, lambda: "\n".join(measured_lines(result)))


@command.command()
@click.argument("what", type=click.Choice([*COMPARISONS, NOISE]))
@click.option("--years", is_flag=True, help="Teach on odd years, ask about even ones; else a random tenth is asked.")
@click.option("--seeds", type=click.IntRange(1, 100), default=SEEDS, show_default=True)
@json_option
def compare(what: str, years: bool, seeds: int, as_json: bool) -> None:
    """Compare what the networks are taught with, and how, on the imported catalogue."""
    container = build_container(Settings.from_env())
    try:
        result = compare_text(container.settings, container.engine, what, years, seeds, say)
        path = write_result(container.settings.home, f"text-{what}{'-years' if years else ''}", result)
    finally:
        container.close()
    say(f"written: {path}")
    result = json.loads(path.read_text("utf-8"))  # as JSON allows it: null where nothing could be measured
    emit(result, as_json, lambda: "\n".join(noise_lines(result) if what == NOISE else compared_lines(result)))


@command.command(name="stop-words")
@click.option("--approve", nargs=2, metavar="CATEGORY WORD", help="Leave the word out of the category's names.")
@click.option("--withdraw", nargs=2, metavar="CATEGORY WORD", help="No longer leave it out.")
@json_option
def stop_words(approve: tuple[str, str] | None, withdraw: tuple[str, str] | None, as_json: bool) -> None:
    """Words that the last training proposes to leave out of names, and those approved. Train again afterwards."""
    store = TextModelStore(Settings.from_env().home)
    if approve:
        store.approve(*approve)
    if withdraw:
        store.approve(*withdraw, approved=False)
    found = store_stop_words(store)
    result = {"proposed": list(found.proposed), "approved": found.approved}
    emit(result, as_json, lambda: "\n".join(stop_word_lines(result)))


@command.command()
@click.option("--name", default="", help="The product's name.")
@click.option("--image", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="A photo of it.")
@click.option("--source", help="Which mall or supplier it comes from.")
@click.option("--mall-category", help="That source's own category.")
@json_option
def classify(name: str, image: Path | None, source: str | None, mall_category: str | None, as_json: bool) -> None:
    """Category, type, colour and season of one product, and what each word of its name adds to the type."""
    if not name.strip() and image is None and not mall_category:
        raise UsageError("nothing to classify: give --name, --image or --mall-category")
    settings = Settings.from_env()
    bundle = TextModelStore(settings.home).load()
    vectors = None if image is None else photo_vector(settings, bundle.space, image.read_bytes())
    listing = replace(Listing.of_names([name], vectors), sources=(source,), mall_categories=(mall_category,))
    answer = bundle.classifier.classify(listing)[0]
    threshold = bundle.classifier.calibration.threshold
    shares = name_shares(bundle.classifier, listing, answer.ranked[0].label) if answer.ranked else ()
    words = [{"word": one.word, "share": one.share} for one in shares]
    told = "  ".join(f"{one.word} {one.share:+.2f}" for one in shares)
    plain = {**_plain(answer, threshold, bundle.version), "words": words}
    emit(plain, as_json, lambda: f"{_lines(answer)}\nwords: {told}")


def _plain(answer: CategoryAnswer, threshold: float, version: str) -> dict[str, Any]:
    return {
        "answered": answer.answered,
        "category": answer.category,
        "types": [{"type": scored.label, "probability": scored.score} for scored in answer.ranked],
        **{head: {"value": scored.label, "probability": scored.score} for head, scored in answer.further.items()},
        "threshold": threshold,
        "model_version": version,
    }


def _lines(answer: CategoryAnswer) -> str:
    told = [answer.category or "no category" if answer.answered else "hard to tell"]
    told += [f"{scored.score:7.1%}  {scored.label}" for scored in answer.ranked]
    told += [f"{head}: {scored.label} ({scored.score:.1%})" for head, scored in answer.further.items()]
    return "\n".join(told)
