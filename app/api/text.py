"""/v1/admin/text: the text models in service, their report, and the words left out of names."""

from __future__ import annotations

from typing import Any

from flask import Response, jsonify
from pydantic import BaseModel, ConfigDict, Field

from app.api.admin_models import REPORT_POLICY
from app.api.context import container
from app.api.fields import CategoryLevels, Name
from app.api.resource import resource
from app.services.text_models import StopWordState, TextVersion

api = resource("text", "/v1/admin/text", secured=True, admin=True)


class TextVersionOut(BaseModel):
    """A text model in service."""

    version: str
    space: str = Field(description="The vector world of the bottlenecks it reads.")
    created_at: str
    metrics: dict[str, Any] = Field(description="What was measured on products that taught nothing.")
    decision: dict[str, Any] | None = Field(
        description="What a retraining decided about it, as in the job's result; null where it was trained by hand."
    )


class TextModelsOut(BaseModel):
    """Both text models; null before the first training."""

    categories: TextVersionOut | None = Field(description="Tells type, category, colour and season.")
    words: TextVersionOut | None = Field(description="The shared space, which words are searched in.")


class ProposedWordOut(BaseModel):
    """A word without which the types of a category's products were told better."""

    category: str = Field(description="The category's path without its last level.")
    word: str
    rows: int = Field(description="Names that were asked about without it.")
    gain: float = Field(description="Mean probability of the right type without the word, less that with it.")


class StopWordsOut(BaseModel):
    """Words left out of names."""

    proposed: list[ProposedWordOut] = Field(description="By the last training, the most telling first.")
    approved: dict[str, list[str]] = Field(description="Category -> words; they count from the next training on.")


class StopWordRequest(BaseModel):
    """One word of one category."""

    model_config = ConfigDict(extra="forbid")

    category: CategoryLevels = Field(description='As proposed; "" for names without a category above their own.')
    word: Name
    approved: bool = Field(description="False takes an approval back.")


@api.get("", responses={200: TextModelsOut})
def show_text() -> Response:
    """Show the text models in service with their measures."""
    texts = container().texts
    out = TextModelsOut(categories=_version_out(texts.categories()), words=_version_out(texts.words()))
    return jsonify(out.model_dump(mode="json"))


@api.get("/report", responses={200: {"content": {"text/html": {"schema": {"type": "string"}}}}})
def show_text_report() -> Response:
    """The report of the model that tells categories, as a page."""
    response = Response(container().texts.report(), mimetype="text/html")
    response.headers["Content-Security-Policy"] = REPORT_POLICY
    return response


@api.get("/stop-words", responses={200: StopWordsOut})
def list_stop_words() -> Response:
    """List the words that the last training proposes to leave out of names, and those approved."""
    return _answer(container().texts.stop_words())


@api.post("/stop-words", responses={200: StopWordsOut})
def decide_stop_word(body: StopWordRequest) -> Response:
    """Approve a word to be left out of a category's names, or take that back; the next training follows."""
    return _answer(container().texts.approve(body.category, body.word, approved=body.approved))


def _answer(found: StopWordState) -> Response:
    proposed = [ProposedWordOut(**word) for word in found.proposed]
    return jsonify(StopWordsOut(proposed=proposed, approved=dict(found.approved)).model_dump(mode="json"))


def _version_out(found: TextVersion | None) -> TextVersionOut | None:
    if found is None:
        return None
    return TextVersionOut(
        version=found.version,
        space=found.space,
        created_at=found.created_at,
        metrics=dict(found.metrics),
        decision=None if found.decision is None else found.decision.to_json(),
    )
