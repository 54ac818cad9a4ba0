"""POST /v1/search: a photo in, candidates out."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from flask import Response, jsonify, request
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from app.api import metrics
from app.api.context import container
from app.api.fields import Name
from app.api.problems import invalid
from app.api.products import ProductOut, product_out
from app.api.resource import resource
from app.api.security import principal
from app.errors import NotAvailable, Overloaded, RequestInvalid
from app.services.intake import Crop
from app.services.search import MAX_TOP_K, FoundCandidate, Recognition, SearchRequest
from models.values import TOP_K, CastVote

api = resource("search", "/v1", secured=True)


def _crop(value: object) -> object:
    """``x,y,w,h`` -> four numbers."""
    return value.split(",") if isinstance(value, str) else value


class SearchForm(BaseModel):
    """The fields beside the photo."""

    model_config = ConfigDict(extra="forbid")

    text: Name | None = Field(None, description="Words to search by; not available yet.")
    category: Name | None = Field(None, description='Only this category and below, e.g. "Grocery > Dairy".')
    crop: Annotated[tuple[float, float, float, float], BeforeValidator(_crop)] | None = Field(
        None,
        description="Part of the photo to look at: x,y,w,h as fractions of the upright photo.",
        json_schema_extra={"type": "string", "examples": ["0.1,0.2,0.5,0.6"]},
    )
    top_k: int = Field(TOP_K, ge=1, le=MAX_TOP_K, description="Candidates wanted.")
    keep_photo: bool = Field(
        False, description="The shopper consents: the photo is kept, without metadata, for training."
    )
    explain: bool = Field(False, description="Say why; not available yet.")


class AdviceOut(BaseModel):
    """A hint to the shopper about the photo."""

    code: str
    message: str


class CropOut(BaseModel):
    """A part of the photo worth searching again, as fractions of the upright photo."""

    x: float
    y: float
    w: float
    h: float


class VoteOut(BaseModel):
    """What one classifier says of a candidate; rank and score only where it is `ranked`."""

    state: Literal["ranked", "not_ranked", "label_unknown"]
    rank: int | None = None
    score: float | None = None


class VotesOut(BaseModel):
    """The jury."""

    fcn: VoteOut
    knn: VoteOut
    svm: VoteOut


class KnownSinceOut(BaseModel):
    """When each classifier could first name the label; null where it cannot yet."""

    fcn: datetime | None
    knn: datetime | None
    svm: datetime | None


class CandidateOut(BaseModel):
    """One candidate."""

    rank: int
    score: float = Field(description="Estimated probability in [0, 1] that this is the product.")
    label: str
    product: ProductOut
    other_skus: list[str] = Field(description="Other products of the same label, e.g. sizes; at most 50.")
    votes: VotesOut
    known_since: KnownSinceOut


class TimingsOut(BaseModel):
    """Wall milliseconds a stage."""

    decode: float
    network: float = Field(description="0 where the same photo was looked at a moment ago.")
    classify: float
    total: float


class RecognitionOut(BaseModel):
    """What was recognised in a photo."""

    verdict: Literal["known", "unsure", "unknown"]
    calibrated: bool = Field(description="False where the catalogue is too small to fit the verdict to it.")
    advice: list[AdviceOut]
    suggested_crops: list[CropOut] = Field(description="May be empty.")
    candidates: list[CandidateOut] = Field(description="Best first, distinct labels.")
    model_version: str
    weights: str
    timings_ms: TimingsOut


class SearchOut(RecognitionOut):
    """The answer to a search."""

    query_id: UUID = Field(description="For feedback, recommendations and deletion.")


def _multipart_schema() -> dict[str, Any]:
    schema = SearchForm.model_json_schema()
    photo = {
        "type": "string",
        "format": "binary",
        "description": "JPEG, PNG, WebP or HEIC as the phone made it.",
    }
    schema["properties"] = {"photo": photo, **schema["properties"]}
    schema["required"] = ["photo"]
    return {"required": True, "content": {"multipart/form-data": {"schema": schema}}}


@api.post(
    "/search",
    responses={200: SearchOut},
    openapi_extensions={"requestBody": _multipart_schema()},
)
def search() -> Response:
    """Recognise a product from a photo.

    The photo is forgotten after the answer unless `keep_photo` says otherwise.
    """
    counters = metrics.metrics()
    try:
        with container().admission.enter(), counters.in_work.track_inprogress():
            # Only now is the body read: a full house refuses before it takes 20 MB in.
            query_id, found = container().search.search(_read_request(), principal())
    except Overloaded:
        counters.refused.inc()
        raise
    counters.verdicts.labels(found.verdict.value).inc()
    for stage, spent_ms in found.timings_ms.items():
        counters.stages.labels(stage).observe(spent_ms / 1000)
    answer = SearchOut(query_id=query_id, **recognition_out(found).model_dump())
    return jsonify(answer.model_dump(mode="json"))


def _read_request() -> SearchRequest:
    try:
        form = SearchForm.model_validate(request.form.to_dict())
    except ValidationError as error:
        raise invalid(error) from None
    if form.text is not None:
        raise NotAvailable("text: searching by words is not available; send a photo alone")
    if form.explain:
        raise NotAvailable("explain: explanations are not available; leave the field out")
    photo = request.files.get("photo")
    if photo is None:
        raise RequestInvalid.of("photo", "required: the photo as a file part of a multipart/form-data body")
    return SearchRequest(
        photo=photo.stream.read(),
        category=form.category,
        crop=None if form.crop is None else Crop(*form.crop),
        top_k=form.top_k,
        keep_photo=form.keep_photo,
    )


def recognition_out(found: Recognition) -> RecognitionOut:
    """Serialise an answer."""
    return RecognitionOut(
        verdict=found.verdict.value,
        calibrated=found.calibrated,
        advice=[AdviceOut(code=hint.code, message=hint.message) for hint in found.advice],
        suggested_crops=[],
        candidates=[_candidate_out(candidate) for candidate in found.candidates],
        model_version=found.model_version,
        weights=found.weights,
        timings_ms=TimingsOut(
            **{stage: round(found.timings_ms[stage], 2) for stage in ("decode", "network", "classify", "total")}
        ),
    )


def _candidate_out(candidate: FoundCandidate) -> CandidateOut:
    return CandidateOut(
        rank=candidate.rank,
        score=candidate.score,
        label=candidate.label,
        product=product_out(candidate.product, candidate.image_token),
        other_skus=list(candidate.other_skus),
        votes=VotesOut(
            fcn=_vote_out(candidate.votes["fcn"]),
            knn=_vote_out(candidate.votes["knn"]),
            svm=_vote_out(candidate.votes["svm"]),
        ),
        known_since=KnownSinceOut(
            fcn=candidate.known_since["fcn"],
            knn=candidate.known_since["knn"],
            svm=candidate.known_since["svm"],
        ),
    )


def _vote_out(vote: CastVote) -> VoteOut:
    return VoteOut(state=vote.state.value, rank=vote.rank, score=vote.score)
