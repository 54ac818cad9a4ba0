"""``python -m app recognize``: recognise one photo with the served model."""

from __future__ import annotations

from pathlib import Path

import click

from app.api.search import RecognitionOut, recognition_out
from app.cli.common import emit, json_option
from app.config import Settings
from app.services.search import SearchRequest
from app.wiring import build_container


@click.command()
@click.argument("photo", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--category", help='Only this category and below, e.g. "Grocery > Dairy".')
@click.option("--top-k", type=click.IntRange(1, 20), default=5, show_default=True, help="Candidates wanted.")
@json_option
def command(photo: Path, category: str | None, top_k: int, as_json: bool) -> None:
    """Recognise the product in PHOTO and show what each classifier says."""
    container = build_container(Settings.from_env())
    try:
        request = SearchRequest(photo.read_bytes(), category=category, top_k=top_k)
        answer = recognition_out(container.search.recognize(request))
    finally:
        container.close()
    emit(answer.model_dump(mode="json"), as_json, lambda: _lines(answer))


def _lines(answer: RecognitionOut) -> str:
    told = [f"{answer.verdict}{'' if answer.calibrated else ' (not calibrated)'}, model {answer.model_version}"]
    told += [f"  hint: {hint.message}" for hint in answer.advice]
    for candidate in answer.candidates:
        votes = "  ".join(
            f"{name} {vote['rank'] if vote['rank'] is not None else '-'}"
            for name, vote in ({} if candidate.votes is None else candidate.votes.model_dump()).items()
        )
        name = candidate.product.name or candidate.product.sku
        told.append(f"{candidate.rank:>3}. {candidate.score:.2f}  {name}  [{candidate.product.sku}]  {votes}")
    told.append(f"weights {answer.weights}, {answer.timings_ms.total:.0f} ms")
    return "\n".join(told)
